//! `engine data fetch`: an archive from a server that does what servers do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use front_door::data::Data;
use front_door::{Room, report};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What a server does with one request.
#[derive(Clone)]
struct Manner {
    status: u16,
    file: Arc<Vec<u8>>,
    tag: Option<&'static str>,
    ranges: bool,
    /// Bytes of a body after which the connection ends, or nothing more comes.
    cut: Option<usize>,
    stalls: bool,
    length: bool,
}

/// A server on this machine; the last manner is that of all later requests.
struct Server {
    url: String,
    /// The header lines of requests that matter here.
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(manners: Vec<Manner>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/coco_captioning.zip", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&asked);
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let manner = manners[number.min(manners.len() - 1)].clone();
                let log = Arc::clone(&log);
                thread::spawn(move || _ = serve(stream.unwrap(), &manner, &log));
            }
        });
        Server { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: TcpStream, manner: &Manner, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let (mut from, mut same) = (0, true);
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        let line = line.to_ascii_lowercase();
        if let Some(first) = line.strip_prefix("range: bytes=") {
            from = first.trim_end_matches('-').parse().unwrap();
            log.lock().unwrap().push(line);
        } else if let Some(version) = line.strip_prefix("if-range: ") {
            same = manner.tag.is_some_and(|tag| tag.to_ascii_lowercase() == version);
        } else if line.starts_with("get ") {
            log.lock().unwrap().push("get".into());
        }
    }
    let mut stream = stream;
    let part = manner.ranges && same && from > 0;
    let (from, all) = (if part { from } else { 0 }, manner.file.len());
    let status = if part { 206 } else { manner.status };
    let mut head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\n");
    if manner.length {
        head += &format!("Content-Length: {}\r\n", all - from);
    }
    if part {
        head += &format!("Content-Range: bytes {from}-{}/{all}\r\n", all - 1);
    }
    if let Some(tag) = manner.tag {
        head += &format!("ETag: {tag}\r\n");
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    let body = &manner.file[from..];
    stream.write_all(&body[..manner.cut.unwrap_or(all).min(body.len())])?;
    stream.flush()?;
    if manner.stalls {
        thread::sleep(Duration::from_secs(120));
    }
    stream.shutdown(Shutdown::Write)?;
    // Until the other side has taken all of it.
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

/// An archive of these files.
fn zipped(files: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(*name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A small data set as the course's archive has it: in one folder, with what a Mac adds.
fn archive(seed: u64) -> Vec<u8> {
    let room = Room::new();
    Data { pca: true, ..Data::small() }.write(&room.path("D"));
    let mut files: Vec<(String, Vec<u8>)> = fs::read_dir(room.path("D"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                format!("coco_captioning/{}", entry.file_name().to_str().unwrap()),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect();
    files.sort();
    let mut noise = vec![0; 600_000];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut noise);
    files.push(("coco_captioning/noise".into(), noise));
    files.push(("__MACOSX/coco_captioning/._noise".into(), vec![1]));
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    zipped(&files)
}

fn manner(file: Vec<u8>) -> Manner {
    Manner {
        status: 200,
        file: Arc::new(file),
        tag: Some("\"v1\""),
        ranges: true,
        cut: None,
        stalls: false,
        length: true,
    }
}

fn fetching<'a>(url: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["data", "fetch", "coco", "--out", "D", "--url", url]
        .into_iter()
        .chain(more.iter().copied())
        .collect()
}

/// The set has been unpacked, is that of this seed, and nothing is left beside it.
fn is_there(room: &Room, seed: u64) {
    let mut noise = vec![0; 600_000];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut noise);
    assert!(fs::read(room.path("D/noise")).unwrap() == noise);
    assert!(!room.path("D/__MACOSX").exists());
    let names: Vec<_> =
        fs::read_dir(room.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| !name.to_str().unwrap().starts_with('.')), "{names:?}");
}

#[test]
fn a_set_is_fetched_and_trains() {
    let room = Room::new();
    room.write("a.zip", archive(1));
    let sum = Command::new("sha256sum").arg(room.path("a.zip")).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap()[..64].to_owned();
    let server = Server::new(vec![manner(archive(1))]);
    let outcome = room.runs(&fetching(&server.url, &["--sha256", &sum.to_uppercase()]));
    for part in
        [&format!("sha256 {sum}"), "D: 5 files", "engine train graphs/caption_lstm.ron --data D"]
    {
        assert!(outcome.err.contains(part), "{part}\n{}", outcome.raw);
    }
    is_there(&room, 1);
    assert_eq!(server.asked(), ["get"]);
    room.write("g.ron", front_door::GRAPH);
    let train = ["train", "g.ron", "--data", "D", "--steps", "2", "--batch", "2", "--out", "R"];
    room.runs(&[&train[..], &front_door::SMALL, &["--set", "data.pca_features=true"]].concat());
    room.refuses(&fetching(&server.url, &[]), "the folder `D` exists and is not empty");
}

#[test]
fn a_connection_that_breaks_is_taken_up_where_it_broke() {
    let room = Room::new();
    let whole = manner(archive(2));
    let cut = |at| Manner { cut: Some(at), ..whole.clone() };
    let server = Server::new(vec![cut(200_000), cut(100_000), whole.clone()]);
    room.runs(&fetching(&server.url, &[]));
    is_there(&room, 2);
    assert_eq!(
        server.asked(),
        ["get", "get", "range: bytes=200000-", "get", "range: bytes=300000-"]
    );
}

#[test]
fn a_download_that_is_killed_goes_on() {
    let room = Room::new();
    let whole = manner(archive(3));
    let stalls = Manner { cut: Some(250_000), stalls: true, ..whole.clone() };
    let server = Server::new(vec![stalls, whole]);
    let args = fetching(&server.url, &[]);
    let running = room.starts(&args, &[]);
    let part = room.path(".D.fetching/archive.part");
    while fs::metadata(&part).map_or(0, |found| found.len()) < 250_000 {
        thread::sleep(Duration::from_millis(1));
    }
    room.refuses(&args, "another process ( | wait for it");
    running.signal("KILL");
    running.ends();
    room.runs(&args);
    is_there(&room, 3);
    assert_eq!(server.asked()[1..], ["get", "range: bytes=250000-"]);
}

#[test]
fn servers_without_ranges_begin_again() {
    for whole in [
        Manner { ranges: false, ..manner(archive(4)) },
        Manner { tag: None, ..manner(archive(4)) },
        Manner { tag: Some("W/\"weak\""), ..manner(archive(4)) },
    ] {
        let room = Room::new();
        let cut = Manner { cut: Some(100_000), ..whole.clone() };
        let server = Server::new(vec![cut, whole]);
        room.runs(&fetching(&server.url, &[]));
        is_there(&room, 4);
    }
}

#[test]
fn a_file_of_unknown_length_ends_where_it_ends() {
    let room = Room::new();
    let server = Server::new(vec![Manner { length: false, ..manner(archive(5)) }]);
    room.runs(&fetching(&server.url, &[]));
    is_there(&room, 5);
}

#[test]
fn a_file_that_changes_between_two_parts_is_fetched_anew() {
    let room = Room::new();
    let old = Manner { cut: Some(150_000), ..manner(archive(6)) };
    let new = Manner { tag: Some("\"v2\""), ..manner(archive(7)) };
    let server = Server::new(vec![old, new]);
    room.runs(&fetching(&server.url, &[]));
    is_there(&room, 7);
}

#[test]
fn refusals_say_what_is_wrong() {
    let room = Room::new();
    let whole = manner(archive(8));
    let status = |status| {
        Server::new(vec![Manner { status, file: Arc::new(b"no".to_vec()), ..whole.clone() }])
    };
    let closed = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/a.zip", listener.local_addr().unwrap())
    };
    let fails = |url: &str, more: &[&str], says: &str| {
        let args = fetching(url, more);
        let outcome = room.engine(&args);
        let _ = fs::remove_dir_all(room.path(".D.fetching"));
        outcome.verdict(&args, outcome.missing(2, says))
    };
    let serves = |file: &[u8]| Server::new(vec![manner(file.to_vec())]);
    let mut flipped = archive(8);
    let at = flipped
        .windows(7)
        .position(|bytes| bytes == b"/noise\x00" || bytes.starts_with(b"/noise"))
        .unwrap();
    flipped[at + 5000] ^= 4;
    let mut cut = archive(8);
    cut.truncate(400_000);
    let noise = "0".repeat(64);
    report([
        fails(&status(404).url, &[], "answers with status 404, expected 200 | --url"),
        fails(&status(403).url, &[], "answers with status 403 | does not give it to everybody"),
        fails(&status(500).url, &[], "answers with status 500 | try again later"),
        fails(&closed, &[], "cannot reach http://127.0.0.1: | is the machine on the web?"),
        fails("coco.zip", &[], "`coco.zip` is no address | https://"),
        fails("ftp://example.org/coco.zip", &[], "is no address | https://"),
        fails(&serves(b"<html>").url, &[], "cannot be unpacked: | has been removed"),
        fails(&serves(&flipped).url, &[], "cannot be unpacked: | noise"),
        fails(&serves(&cut).url, &[], "cannot be unpacked: "),
        fails(
            &serves(&zipped(&[("a/b.txt", vec![1])])).url,
            &[],
            "it has no `coco2014_captions.h5`; it holds b.txt",
        ),
        fails(&serves(&zipped(&[("../b.txt", vec![1])])).url, &[], "leads out of the folder"),
        fails(&serves(&archive(8)).url, &["--sha256", &noise], "has the SHA-256 | expected 0000"),
        fails(&closed, &["--sha256", "12"], "expected 64 hexadecimal digits"),
    ]);
    assert!(!room.path("D").exists() && !room.path("b.txt").exists());
}

#[test]
fn what_is_damaged_is_fetched_again() {
    let room = Room::new();
    let mut damaged = archive(9);
    damaged.truncate(300_000);
    let server = Server::new(vec![manner(damaged), manner(archive(9))]);
    let args = fetching(&server.url, &[]);
    let outcome = room.engine(&args);
    outcome.verdict(&args, outcome.missing(2, "cannot be unpacked")).unwrap();
    room.runs(&args);
    is_there(&room, 9);
    assert_eq!(server.asked(), ["get", "get"]);
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error_and_what_is_there_is_kept() {
    let room = Room::new();
    let shim = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults/shim.c");
    let flags = ["-shared", "-fPIC", "-O1", "-o"];
    let mut compiler = Command::new("cc");
    compiler.args(flags).arg(room.path("shim.so")).arg(shim).arg("-ldl");
    assert!(compiler.status().expect("a C compiler").success());
    let server = Server::new(vec![manner(archive(10))]);
    let args = fetching(&server.url, &[]);
    let folder = fs::canonicalize(room.path("")).unwrap().join(".D.fetching");
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let (shim, folder) = (path(&room.path("shim.so")), path(&folder));
    for at in ["1", "5", "7", "9", "12", "20", "26"] {
        let environment = [
            ("LD_PRELOAD", &*shim),
            ("FAULT_UNDER", &*folder),
            ("FAULT_AT", at),
            ("FAULT_HOW", "full"),
        ];
        let (code, said) = room.starts(&args, &environment).ends();
        assert_eq!(code, Some(2), "{at}: {said}");
        assert!(
            said.contains("No space left on device") && said.contains("is the disk full?"),
            "{at}: {said}"
        );
        assert!(!room.path("D").exists(), "{at}");
    }
    room.runs(&args);
    is_there(&room, 10);
}
