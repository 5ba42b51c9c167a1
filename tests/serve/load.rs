//! Many requests from many connections, one in ten of them bad.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Server, form};

/// What a load came to.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Answers by status.
    pub(crate) statuses: BTreeMap<u16, usize>,
    /// Seconds from a request to its answer, sorted.
    pub(crate) latencies: Vec<f64>,
    /// Seconds for all of it.
    pub(crate) seconds: f64,
}

impl Load {
    /// The latency that this share of the answers stays below, in milliseconds.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let at = ((self.latencies.len() as f64 - 1.0) * share).round() as usize;
        1000.0 * self.latencies[at]
    }
}

/// A request and what is wrong with it: every tenth is bad in its own way.
fn request(number: usize, pictures: &[Vec<u8>]) -> Vec<u8> {
    let picture = &pictures[number % pictures.len()];
    let (form_kind, whole) = form(picture, &[("beam", "3")]);
    let (query, kind, body) = match number % 50 {
        9 => ("", "image/jpeg", picture[..picture.len() / 3].to_vec()),
        19 => ("", "application/json", b"{\"url\": ".to_vec()),
        29 => ("", "text/plain", b"hello".to_vec()),
        39 => ("?beam=1000", "image/jpeg", picture.clone()),
        49 => ("", &*form_kind, whole[..whole.len() / 2].to_vec()),
        at if at % 3 == 0 => ("", &*form_kind, whole),
        _ => ("", "image/jpeg", picture.clone()),
    };
    let head = format!(
        "POST /api/caption{query} HTTP/1.1\r\nHost: h\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Sends `count` requests over `connections` that are kept open.
pub(crate) fn load(
    server: &Server,
    pictures: &[Vec<u8>],
    count: usize,
    connections: usize,
) -> Load {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Load::default()));
    let begun = Instant::now();
    thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        break;
                    }
                    let bytes = request(number, pictures);
                    let begun = Instant::now();
                    let (status, kept) = exchange(server, connection.take(), &bytes);
                    connection = kept;
                    let took = begun.elapsed().as_secs_f64();
                    let mut found = found.lock().unwrap();
                    *found.statuses.entry(status).or_default() += 1;
                    found.latencies.push(took);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.seconds = begun.elapsed().as_secs_f64();
    found.latencies.sort_by(f64::total_cmp);
    found
}

/// Sends a request; returns its status, and the connection unless it was closed.
fn exchange(
    server: &Server,
    connection: Option<BufReader<TcpStream>>,
    bytes: &[u8],
) -> (u16, Option<BufReader<TcpStream>>) {
    let mut stream = connection.unwrap_or_else(|| {
        let stream = server.connect();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        BufReader::new(stream)
    });
    stream.get_mut().write_all(bytes).unwrap();
    let (mut status, mut length, mut closes) = (0, 0, false);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if status == 0 {
            status = line.split(' ').nth(1).unwrap().parse().unwrap();
        }
        match line.split_once(": ") {
            Some(("content-length", value)) => length = value.parse().unwrap(),
            Some(("connection", "close")) => closes = true,
            _ => {}
        }
    }
    stream.read_exact(&mut vec![0; length]).unwrap();
    (status, (!closes).then_some(stream))
}
