//! `engine serve` as it is used: by programs, by a browser, by many at once, and by those that mean no good.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "serve/browser.rs"]
mod browser;
#[path = "serve/client.rs"]
mod client;
#[path = "front_door/mod.rs"]
mod front_door;
#[path = "serve/load.rs"]
mod load;
#[path = "serve/pictures.rs"]
mod pictures;

use std::io::Write;
use std::net::TcpStream;
use std::thread;

use browser::Browser;
use client::{Reply, Server, form, request};
use image::ImageFormat;
use pictures::{COLOURS, furnished, picture, picture_of, truth};
use serde_json::{Value, json};

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
    let twice = [&whole[..whole.len() - 10], b"--line\r\nContent-Disposition: form-data; name=\"b\"; filename=\"b\"\r\n\r\nx\r\n--line--\r\n"].concat();
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
fn pictures_are_fetched_from_addresses() {
    let room = furnished();
    let at = client::elsewhere(jpeg(1));
    let ask = |server: &Server, url: &str| {
        server.ask("", "application/json", json!({ "url": url, "beam": 2 }).to_string().as_bytes())
    };
    let server = Server::start(&room, "R", &["--allow-private"]);
    let found = ask(&server, &format!("http://{at}/photo.jpg"));
    assert_eq!(found.json()["caption"], truth(1), "{}", found.text());
    assert_eq!(found.json()["alternatives"].as_array().unwrap().len(), 2);
    problem(&ask(&server, &format!("http://{at}/absent.jpg")), 502, "status");
    problem(&ask(&server, &format!("http://{at}/around")), 502, "redirects");
    problem(&ask(&server, "http://127.0.0.1:1/a.jpg"), 502, "refused");
    problem(&ask(&server, &format!("http://{at}/page")), 422, "no-picture");
    problem(&ask(&server, "file:///etc/passwd"), 422, "scheme");
    problem(&ask(&server, "no address"), 422, "url");
    // A server that others ask fetches nothing from its own network.
    let server = Server::start(&room, "R", &[]);
    problem(&ask(&server, &format!("http://{at}/photo.jpg")), 422, "private");
    problem(
        &ask(&server, &format!("http://[::ffff:127.0.0.1]:{}/photo.jpg", at.port())),
        422,
        "private",
    );
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

/// Where pictures of the page go, for whoever wants to look at them.
fn keep(browser: &mut Browser, name: &str) {
    if let Some(folder) = std::env::var_os("ENGINE_PAGE_PICTURES") {
        let file = std::path::Path::new(&folder).join(format!("{name}.png"));
        std::fs::write(file, browser.picture()).unwrap();
    }
}

/// The sentence that the page shows.
const SAID: &str = "[...document.querySelectorAll('#caption .word')].map((word) => word.firstChild.textContent).join(' ')";
const DONE: &str = "document.querySelector('main').getAttribute('aria-busy') === 'false' && !document.getElementById('said').hidden";

#[test]
fn a_person_gets_a_caption_in_a_browser() {
    let Some(path) = browser::find() else {
        println!("skipped: there is no chromium");
        return;
    };
    let room = furnished();
    let (photo, other) = (room.path("photo.jpg"), room.path("other.png"));
    std::fs::write(&photo, picture_of((640, 480), 0, 4, ImageFormat::Jpeg)).unwrap();
    std::fs::write(&other, picture_of((300, 500), 2, 4, ImageFormat::Png)).unwrap();
    room.write("text.jpg", "a text");
    let server = Server::start(&room, "A", &[]);
    let home = format!("http://{}/", server.address);
    let mut page = Browser::start(&path);
    for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
        let look = format!("{width}-{}", if dark { "dark" } else { "light" });
        page.size(width, dark);
        page.open(&home);
        keep(&mut page, &format!("{look}-empty"));
        let no_overflow =
            "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(page.value(no_overflow), 0, "{look}");

        // A file that is chosen.
        page.choose("#file", &photo);
        page.wait(DONE);
        assert_eq!(page.value(SAID), truth(0), "{look}");
        assert_eq!(page.value("document.getElementById('alternatives').children.length"), 2);
        let took = page.value("document.getElementById('took').textContent");
        assert!(took.as_str().unwrap().contains(" ms in the network"), "{took}");
        let status = page.value("document.getElementById('status').textContent");
        assert_eq!(status, format!("Caption: {}", truth(0)), "what a screen reader is told");
        page.wait("document.getElementById('picture').naturalWidth === 640");
        assert_eq!(page.value(no_overflow), 0, "{look}");
        keep(&mut page, &format!("{look}-caption"));

        // Where the network looked, by pointer and by keyboard.
        let shaded = "!document.getElementById('attention').hidden";
        assert_eq!(page.value(shaded), false);
        page.point("document.querySelectorAll('#caption .word')[1]");
        page.wait(shaded);
        let looking = page.value("document.getElementById('looking').textContent");
        assert!(
            looking.as_str().unwrap().starts_with("For “red” the network looked most"),
            "{looking}"
        );
        keep(&mut page, &format!("{look}-attention"));
        page.point("document.querySelector('h1')");
        page.wait("document.getElementById('attention').hidden");
        page.value("document.getElementById('url').focus()");
        for _ in 0..2 {
            page.press("Tab", 9);
        }
        let focused = "document.activeElement.classList.contains('word')";
        assert_eq!(
            page.value(focused),
            true,
            "{look}: {}",
            page.value("document.activeElement.outerHTML")
        );
        let outline = "getComputedStyle(document.activeElement).outlineStyle";
        assert_eq!(page.value(outline), "solid");
        page.wait(shaded);

        // What is no picture.
        page.choose("#file", &room.path("text.jpg"));
        page.wait("!document.getElementById('problem').hidden");
        assert_eq!(page.value("document.getElementById('said').hidden"), true);
        let help = page.value("document.getElementById('problem-help').textContent");
        assert!(help.as_str().unwrap().len() > 12, "{help}");
        keep(&mut page, &format!("{look}-problem"));
        assert_eq!(page.value(no_overflow), 0, "{look}");

        // An address, by keyboard alone.
        page.value("document.getElementById('url').focus()");
        page.types("http://127.0.0.1:9/a.jpg");
        page.press("Enter", 13);
        page.wait("!document.getElementById('problem').hidden && document.getElementById('problem-error').textContent.includes('127.0.0.1')");

        // The other input, then another number of sentences.
        page.choose("#camera", &other);
        page.wait(DONE);
        assert_eq!(page.value(SAID), truth(2));
        page.value("(() => { const beam = document.getElementById('beam'); beam.value = '5'; beam.dispatchEvent(new Event('change')); })()");
        page.wait("document.getElementById('alternatives').children.length === 4");
        keep(&mut page, &format!("{look}-tall"));
        assert_eq!(page.value(no_overflow), 0, "{look}");
    }

    // A picture that is dropped, and one that is pasted.
    page.open(&home);
    for kind in ["dragEnter", "dragOver", "drop"] {
        let data = json!({ "items": [], "files": [photo], "dragOperationsMask": 1 });
        let event = json!({ "type": kind, "x": 200, "y": 300, "data": data });
        page.call("Input.dispatchDragEvent", event);
    }
    page.wait(DONE);
    assert_eq!(page.value(SAID), truth(0));
    assert_eq!(page.value("document.getElementById('drop').hidden"), true);
    let paste = format!(
        "(() => {{ const bytes = Uint8Array.from(atob('{}'), (c) => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'p.png', {{ type: 'image/png' }}));
        document.body.dispatchEvent(new ClipboardEvent('paste', {{ clipboardData: data, bubbles: true }})); }})()",
        base64(&picture(3, 4, ImageFormat::Png))
    );
    page.value(&paste);
    page.wait(&format!("{SAID} === '{}'", truth(3)));

    // Every control has a name.
    let unnamed = "[...document.querySelectorAll('input, select, button')].filter((control) => \
        !(control.labels?.length || control.getAttribute('aria-label') || control.textContent.trim())).length";
    assert_eq!(page.value(unnamed), 0);
    page.size(390, false);
    page.open(&format!("{home}api"));
    keep(&mut page, "390-light-api");
    assert_eq!(
        page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth"),
        0
    );
    page.size(1280, true);
    keep(&mut page, "1280-dark-api");
    assert_eq!(page.faults, Vec::<String>::new());
    let ours = |url: &String| {
        ["blob:", "data:", "about:", &home].iter().any(|begin| url.starts_with(*begin))
    };
    let others: Vec<_> = page.requests.iter().filter(|url| !ours(url)).collect();
    assert!(others.is_empty(), "{others:?}");
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn the_browser_sees_what_is_wrong() {
    let Some(path) = browser::find() else {
        println!("skipped: there is no chromium");
        return;
    };
    let mut page = Browser::start(&path);
    page.open("data:text/html,<script>console.error('told');absent.call()</script>");
    page.value("1");
    assert!(
        page.faults.iter().any(|fault| fault.contains("absent is not defined")),
        "{:?}",
        page.faults
    );
    assert!(page.faults.iter().any(|fault| fault.contains("told")), "{:?}", page.faults);
}

/// Sends a load, prints what it came to, and holds it against what a server may answer.
fn bears(count: usize, connections: usize) {
    let room = furnished();
    let server = Server::start(&room, "A", &[]);
    let pictures: Vec<Vec<u8>> = (0..COLOURS.len())
        .map(|colour| picture_of((500, 375), colour, 3, ImageFormat::Jpeg))
        .collect();
    // What is kept for batches of every size is there after a first round.
    load::load(&server, &pictures, count / 4, connections);
    let before = server.memory("VmRSS");
    let found = load::load(&server, &pictures, count, connections);
    let after = server.memory("VmRSS");
    println!(
        "{count} requests, {connections} connections: {:.0} a second, p50 {:.1} ms, p99 {:.1} ms, {:?}, {before} KiB before, {after} after, {} at most",
        count as f64 / found.seconds,
        found.quantile(0.5),
        found.quantile(0.99),
        found.statuses,
        server.memory("VmHWM"),
    );
    assert_eq!(found.statuses.values().sum::<usize>(), count);
    let faults = found.statuses.keys().filter(|status| **status >= 500 && **status != 503);
    assert_eq!(faults.count(), 0, "{:?}", found.statuses);
    // A tenth is bad, and so told; the rest is captioned, but for those that found no place.
    let bad: usize = [400, 415, 422].iter().filter_map(|status| found.statuses.get(status)).sum();
    let busy = found.statuses.get(&503).copied().unwrap_or(0);
    let well = found.statuses.get(&200).copied().unwrap_or(0);
    assert_eq!(bad + busy + well, count, "{:?}", found.statuses);
    assert!(bad <= count / 10 && bad + busy >= count / 10, "{:?}", found.statuses);
    assert!(after < before + before / 4 + 8 * 1024, "{before} KiB before, {after} KiB after");
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_small_load_is_borne() {
    bears(400, 16);
}

#[test]
#[ignore = "takes a while: cargo test --release -p engine --test serve -- --ignored --nocapture"]
fn a_large_load_is_borne() {
    bears(5000, 64);
}
