//! A server that runs, and a client that speaks to it byte by byte.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::front_door::{Room, data};

/// How long anything may take: a machine that is busy with builds takes its time.
const PATIENCE: Duration = Duration::from_secs(60);

/// `engine serve` at work; it is ended when this goes.
pub(crate) struct Server {
    child: Child,
    _out: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Starts it on any free port, with more arguments.
    pub(crate) fn start(room: &Room, run: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command
            .args(["serve", run, "--port", "0"])
            .args(more)
            .current_dir(room.path("."))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = {
            let _no_data_is_open = data::writing();
            command.spawn().expect("engine starts")
        };
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.split("http://").nth(1).and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("an address: {line}")).parse().unwrap();
        Server { child, _out: out, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends these bytes on a connection of their own.
    pub(crate) fn send(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        Reply::read(&mut stream)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// Asks for a caption.
    pub(crate) fn ask(&self, query: &str, kind: &str, body: &[u8]) -> Reply {
        self.send(&request(query, kind, body))
    }

    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &id]).status().unwrap();
        assert!(sent.success(), "SIG{name} to {id}");
    }

    /// Waits for its end; returns the exit code.
    pub(crate) fn ends(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("the server does not end");
    }

    /// A number of its memory in KiB, such as `VmRSS`.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let text = fs::read_to_string(path).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// A line of its metrics.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text();
        let line =
            text.lines().find(|line| line.strip_prefix(name).is_some_and(|r| r.starts_with(' ')));
        line.unwrap_or_else(|| panic!("{name}\n{text}"))
            .rsplit(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request for a caption.
pub(crate) fn request(query: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    let head = format!(
        "POST /api/caption{query} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{kind}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// A form with one file and these fields; and its content type.
pub(crate) fn form(file: &[u8], fields: &[(&str, &str)]) -> (String, Vec<u8>) {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part =
            format!("--line\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend(part.as_bytes());
    }
    body.extend(
        b"--line\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"p\"\r\n\r\n",
    );
    body.extend(file);
    body.extend(b"\r\n--line--\r\n");
    ("multipart/form-data; boundary=line".into(), body)
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Reads one, up to the end of the connection.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("an answer");
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Reply { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// A web server that has `photo.jpg` and little else. It ends with the process.
pub(crate) fn elsewhere(photo: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { break };
            let mut reader = BufReader::new(stream);
            let mut line = String::new();
            let _ = reader.read_line(&mut line);
            let mut head = line.clone();
            while !head.trim().is_empty() {
                head.clear();
                let _ = reader.read_line(&mut head);
            }
            let (status, body) = match line.split(' ').nth(1) {
                Some("/photo.jpg") => ("200 OK", photo.clone()),
                Some("/page") => ("200 OK", b"<!DOCTYPE html><p>not a picture".to_vec()),
                Some("/around") => ("302 Found\r\nLocation: /around", Vec::new()),
                _ => ("404 Not Found", Vec::new()),
            };
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
            );
            let _ = reader.get_mut().write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}
