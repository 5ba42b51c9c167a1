//! `engine serve` as it is used: by programs, by a browser, by many at once, and by those that mean no good.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "serve/client.rs"]
mod client;
#[path = "front_door/mod.rs"]
mod front_door;
#[path = "serve/pictures.rs"]
mod pictures;

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use client::{Reply, Server, form, request};
use image::ImageFormat;
use pictures::{COLOURS, furnished, picture, truth};
use serde_json::Value;

fn jpeg(colour: usize) -> Vec<u8> {
    picture(colour, 7, ImageFormat::Jpeg)
}

/// The parts of a problem, which every answer without a caption has.
fn problem(reply: &Reply, status: u16, kind: &str) {
    assert_eq!(reply.status, status, "{}\n{}", reply.head, reply.text());
    let found = reply.json();
    for part in ["error", "expected", "found", "help"] {
        assert!(found[part].is_string(), "{part}: {found}");
    }
    assert!(!found["error"].as_str().unwrap().is_empty() && found["help"] != "", "{found}");
    assert_eq!(found["kind"], kind, "{found}");
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

#[test]
fn a_picture_is_captioned_in_every_form() {
    let room = furnished();
    for run in ["R", "A"] {
        let server = Server::start(&room, run, &[]);
        for (colour, _) in COLOURS.iter().enumerate() {
            let raw = server.ask("", "image/jpeg", &jpeg(colour));
            assert_eq!(raw.status, 200, "{}", raw.text());
            assert_eq!(raw.json()["caption"], truth(colour));
        }
        let found = server.ask("?beam=3&best=2", "application/octet-stream", &jpeg(2)).json();
        assert_eq!(found["alternatives"].as_array().unwrap().len(), 2, "{found}");
        let (kind, body) = form(&picture(4, 0, ImageFormat::Png), &[("beam", "4")]);
        let found = server.ask("", &kind, &body).json();
        assert_eq!(
            (&found["caption"], 4),
            (&truth(4).into(), found["alternatives"].as_array().unwrap().len())
        );
        assert_eq!(found["picture"], serde_json::json!({ "width": 60, "height": 40 }));
        let words = found["alternatives"][0]["words"].as_array().unwrap();
        assert!(
            words.iter().all(|word| (0.0..=1.0).contains(&word["probability"].as_f64().unwrap()))
        );
        assert!(found["seconds"]["total"].as_f64().unwrap() > 0.0);
        match run {
            "R" => assert_eq!(found["attention"], Value::Null),
            _ => {
                let weights = found["attention"]["weights"].as_array().unwrap();
                assert_eq!(weights.len(), words.len());
                assert_eq!(weights[0].as_array().unwrap().len(), 64);
                assert_eq!(found["attention"]["over"]["width"], 1.0);
            }
        }
    }
}

#[test]
fn every_problem_has_its_status() {
    let room = furnished();
    let server = Server::start(&room, "R", &["--timeout", "20"]);
    let (kind, whole) = form(&jpeg(0), &[]);
    let ask = |query: &str, kind: &str, body: &[u8]| server.ask(query, kind, body);
    let json = |text: &str| server.ask("", "application/json", text.as_bytes());
    problem(&server.get("/absent"), 404, "path");
    problem(&server.get("/api/caption"), 405, "method");
    problem(&ask("", "", &jpeg(0)), 415, "content-type");
    problem(&ask("", "text/plain", b"a picture"), 415, "content-type");
    problem(&ask("", "image/jpeg", b""), 400, "no-picture");
    problem(&ask("?width=3", "image/jpeg", &jpeg(0)), 400, "query");
    problem(&ask("?beam=x", "image/jpeg", &jpeg(0)), 400, "query");
    problem(&ask("?beam=0", "image/jpeg", &jpeg(0)), 400, "choice");
    problem(&ask("?beam=11", "image/jpeg", &jpeg(0)), 400, "choice");
    problem(&ask("?beam=2&best=3", "image/jpeg", &jpeg(0)), 400, "choice");
    for text in ["", "{", "[]", "{}", "{\"url\": 3}", "{\"url\": \"x\", \"more\": 1}", "\"x\""] {
        problem(&json(text), 400, "json");
    }
    problem(&ask("", "multipart/form-data", &whole), 400, "form");
    problem(&ask("", &kind, &whole[..whole.len() / 2]), 400, "form");
    problem(&ask("", &kind, b"--line--\r\n"), 400, "form");
    let twice = [&whole[..whole.len() - 8], b"--line\r\nContent-Disposition: form-data; name=\"b\"; filename=\"b\"\r\n\r\nx\r\n--line--\r\n"].concat();
    problem(&ask("", &kind, &twice), 400, "form");
    problem(&ask("", &kind, &form(&jpeg(0), &[("beam", "many")]).1), 400, "choice");
    problem(&ask("", &kind, &form(&jpeg(0), &[("bean", "3")]).1), 400, "form");
    // The network knows twelve words, and still takes a beam of ten.
    assert_eq!(ask("?beam=10", "image/jpeg", &jpeg(0)).status, 200);
}

#[test]
fn what_is_too_large_is_refused() {
    let room = furnished();
    let server = Server::start(&room, "R", &[]);
    let before = server.memory("VmRSS");
    let large = vec![0; 10_000_001];
    problem(&server.ask("", "image/jpeg", &large), 413, "too-large");
    // Without a length at its head, as it comes.
    let mut stream = server.connect();
    stream
        .write_all(b"POST /api/caption HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Type: image/png\r\nTransfer-Encoding: chunked\r\n\r\n")
        .unwrap();
    for _ in 0..12 {
        stream.write_all(b"F4240\r\n").unwrap();
        stream.write_all(&large[..1_000_000]).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    problem(&Reply::read(&mut stream), 413, "too-large");
    // A few bytes that promise 2,500,000,000 pixels.
    let reply = server.ask("", "image/png", &vast_png());
    assert_eq!(reply.status, 422, "{}", reply.text());
    assert!(server.memory("VmHWM") < before + 64 * 1024, "{} KiB", server.memory("VmHWM"));
}

/// The head of a picture of 50,000 by 50,000 pixels.
fn vast_png() -> Vec<u8> {
    let mut chunk = b"IHDR".to_vec();
    chunk.extend(50_000u32.to_be_bytes());
    chunk.extend(50_000u32.to_be_bytes());
    chunk.extend([8, 2, 0, 0, 0]);
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\x0d".to_vec();
    png.extend(&chunk);
    png.extend(crc32(&chunk).to_be_bytes());
    png.extend(b"\0\0\0\x08IDAT\x78\x9c\x63\0\0\0\x01\0\x01");
    png
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[test]
fn pictures_that_are_none_are_not_captioned() {
    let room = furnished();
    let server = Server::start(&room, "R", &[]);
    let whole = jpeg(0);
    for bytes in [&b"a text"[..], &whole[..whole.len() / 2], &whole[..3], b"GIF89a", &[0; 100]] {
        let reply = server.ask("", "image/jpeg", bytes);
        assert_eq!(reply.status, 422, "{}", reply.text());
        assert!(reply.json()["help"] != "", "{}", reply.text());
    }
    // A kind that the name does not promise is read all the same.
    assert_eq!(server.ask("", "image/png", &whole).json()["caption"], truth(0));
}

#[test]
fn who_is_slow_is_told_so() {
    let room = furnished();
    let server = Server::start(&room, "R", &["--timeout", "1"]);
    let whole = request("", "image/jpeg", &jpeg(0));
    let mut stream = server.connect();
    stream.write_all(&whole[..whole.len() - 10]).unwrap();
    problem(&Reply::read(&mut stream), 408, "timeout");
    // One whose head does not come is not answered, but does not stay either.
    let mut stream = server.connect();
    stream.write_all(b"POST /api/caption HTTP/1.1\r\nHost:").unwrap();
    let mut rest = Vec::new();
    let _ = std::io::Read::read_to_end(&mut stream, &mut rest);
    assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{rest:?}");
}

#[test]
fn who_finds_no_place_is_told_to_come_back() {
    let room = furnished();
    let server = Server::start(&room, "R", &["--queue", "1"]);
    let whole = request("", "image/jpeg", &jpeg(3));
    let mut first = server.connect();
    first.write_all(&whole[..whole.len() - 10]).unwrap();
    while server.metric("engine_caption_requests_open") < 1.0 {}
    let second = server.ask("", "image/jpeg", &jpeg(4));
    problem(&second, 503, "queue-full");
    assert_eq!(second.header("retry-after"), Some("1"));
    // What needs no place is answered.
    assert_eq!(server.get("/healthz").json()["status"], "ok");
    first.write_all(&whole[whole.len() - 10..]).unwrap();
    assert_eq!(Reply::read(&mut first).json()["caption"], truth(3));
    assert_eq!(server.ask("", "image/jpeg", &jpeg(4)).json()["caption"], truth(4));
}

#[test]
fn requests_that_have_begun_are_answered_after_a_signal() {
    let room = furnished();
    for signal in ["TERM", "INT"] {
        let mut server = Server::start(&room, "R", &[]);
        let whole = request("", "image/jpeg", &jpeg(5));
        let mut stream = server.connect();
        stream.write_all(&whole[..whole.len() - 10]).unwrap();
        while server.metric("engine_caption_requests_open") < 1.0 {}
        server.signal(signal);
        // Nobody new is let in.
        while TcpStream::connect(server.address).is_ok() {}
        stream.write_all(&whole[whole.len() - 10..]).unwrap();
        let reply = Reply::read(&mut stream);
        assert_eq!((reply.status, &reply.json()["caption"]), (200, &truth(5).into()));
        assert_eq!(server.ends(), Some(0));
    }
}

#[test]
fn many_at_once_get_what_each_would_get_alone() {
    let room = furnished();
    let server = Server::start(&room, "A", &[]);
    let alone: Vec<Value> = (0..COLOURS.len())
        .map(|colour| server.ask("?beam=2", "image/jpeg", &jpeg(colour)).json())
        .collect();
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for (colour, alone) in alone.iter().enumerate() {
                    let found = server.ask("?beam=2", "image/jpeg", &jpeg(colour)).json();
                    assert_eq!(found["alternatives"], alone["alternatives"]);
                    assert_eq!(found["attention"], alone["attention"]);
                }
            });
        }
    });
    let count = server.metric("engine_http_requests_total{path=\"/api/caption\",status=\"200\"}");
    assert_eq!(count, 6.0 + 96.0);
    assert_eq!(server.metric("engine_batch_pictures_sum"), count);
    assert!(server.metric("engine_batch_pictures_count") < count, "some were captioned at once");
    assert_eq!(server.metric("engine_caption_request_seconds_count"), count);
    assert_eq!(server.metric("engine_queue_pictures"), 0.0);
}

#[test]
fn pages_need_nothing_from_elsewhere() {
    let room = furnished();
    let server = Server::start(&room, "R", &[]);
    for path in ["/", "/api", "/family.css", "/page.css", "/page.js", "/api/openapi.json"] {
        let reply = server.get(path);
        assert_eq!(reply.status, 200, "{path}");
        let policy = reply.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        let text = reply.text();
        assert!(!text.contains("{MOST_") && !text.contains("{WIDEST}"), "{path}");
        for part in ["src=\"http", "href=\"http", "url(http", "@import", "style=\""] {
            assert!(!text.contains(part), "{path} has {part}");
        }
    }
    let api: Value = server.get("/api/openapi.json").json();
    let answers = &api["paths"]["/api/caption"]["post"]["responses"];
    for status in ["200", "400", "408", "413", "415", "422", "502", "503"] {
        assert!(answers[status].is_object(), "{status}");
    }
}

#[test]
fn a_server_that_cannot_begin_says_why() {
    let room = furnished();
    let server = Server::start(&room, "R", &[]);
    let port = server.address.port().to_string();
    front_door::report([
        room.refusal(&["serve", "R", "--port", &port], "cannot listen on 127.0.0.1 | --port"),
        room.refusal(&["serve", "D"], "D is no run"),
        room.refusal(&["serve", "R", "--queue", "0"], "--queue"),
        room.refusal(&["serve", "R", "--bind", "nowhere"], "--bind"),
        room.refusal(
            &["serve", "R", "--bind", "203.0.113.7"],
            "cannot listen on 203.0.113.7 | --bind",
        ),
    ]);
}
