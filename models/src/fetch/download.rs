//! A file from the web, however often the way there breaks.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::{HeaderMap, Response, StatusCode, header};
use ureq::{Agent, Body};

use super::{FetchError, Options, Patience, Stage};
use crate::files::replace;

/// Bytes that are read at a time.
const PIECE: usize = 1 << 17;

/// How long a connection may take, and an answer to a request.
const ANSWER: Duration = Duration::from_secs(30);

/// What is known of a file of which a part is there: where it comes from, and which version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    url: String,
    /// The entity tag, or the time of the last change: what a server compares.
    version: Option<String>,
    total: Option<u64>,
}

/// Downloads a file to `path`, where it is whole when it is there. A part of it is kept beside it and gone on with, also by
/// another process, if the server can begin in the middle and still has the same version.
///
/// # Errors
/// When the server cannot be reached or has no such file, breaks off again and again or sends too much, and when the file
/// cannot be written.
pub fn download(
    options: &Options,
    path: &Path,
    watch: &mut dyn FnMut(Stage),
) -> Result<(), FetchError> {
    if path.is_file() {
        return Ok(());
    }
    let Patience { attempts, pause, .. } = options.patience;
    let mut part = Part::open(path);
    let mut failures = 0;
    loop {
        let before = part.done;
        let broken = match attempt(options, &mut part, watch) {
            Ok(()) => return part.finish(path),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing(message)) => message,
        };
        failures = if part.done > before { 1 } else { failures + 1 };
        let (url, done) = (options.url.clone(), part.done);
        // A server that has not been heard of is not waited for.
        if !part.heard {
            return Err(FetchError::Unreachable { url, message: broken });
        }
        if failures > attempts {
            let total = part.origin.total;
            return Err(FetchError::Broken { url, done, total, message: broken });
        }
        thread::sleep(pause * 2u32.saturating_pow(failures - 1).min(32));
    }
}

/// Why an attempt came to nothing.
enum Failure {
    /// Another attempt would fare no better.
    Final(FetchError),
    /// Another one may.
    Passing(String),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Failure::Final(error)
    }
}

/// The part of the file that is there.
struct Part {
    path: PathBuf,
    origin_path: PathBuf,
    origin: Origin,
    done: u64,
    /// Whether the server has sent some of the file in this call, or has tried.
    heard: bool,
}

impl Part {
    /// What an earlier call has left.
    fn open(path: &Path) -> Self {
        let (part, origin_path) = (path.with_extension("part"), path.with_extension("json"));
        let origin =
            fs::read(&origin_path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let none = Origin { url: String::new(), version: None, total: None };
        let done = fs::metadata(&part).map_or(0, |found| found.len());
        Part { path: part, origin_path, origin: origin.unwrap_or(none), done, heard: false }
    }

    /// The version with which the file can be gone on with.
    fn version(&self, url: &str) -> Option<&str> {
        let same = self.done > 0 && self.origin.url == url;
        self.origin.version.as_deref().filter(|_| same)
    }

    /// Begins anew.
    fn restart(&mut self, origin: Origin) -> Result<(), FetchError> {
        let text = serde_json::to_vec(&origin).expect("texts and numbers are JSON");
        File::create(&self.path).map_err(unwritten(&self.path))?;
        replace(&self.origin_path, &text).map_err(unwritten(&self.origin_path))?;
        (self.origin, self.done) = (origin, 0);
        Ok(())
    }

    fn finish(&self, path: &Path) -> Result<(), FetchError> {
        let synced = File::open(&self.path).and_then(|file| file.sync_all());
        let named = synced.and_then(|()| fs::rename(&self.path, path));
        named.map_err(unwritten(path))?;
        let _ = fs::remove_file(&self.origin_path);
        Ok(())
    }
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_owned();
    |error| FetchError::Io { action: "write", path, error }
}

/// One request, and what comes of it.
fn attempt(
    options: &Options,
    part: &mut Part,
    watch: &mut dyn FnMut(Stage),
) -> Result<(), Failure> {
    let response = request(options, part)?;
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => {
            let total = number(headers, header::CONTENT_LENGTH);
            let version = version_of(headers);
            part.restart(Origin { url: options.url.clone(), version, total })?;
        }
        StatusCode::PARTIAL_CONTENT if goes_on(headers, part) => {}
        // The server does not send what was asked for, or has less than is there: from the beginning, next time.
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            part.heard = true;
            if part.origin.total == Some(part.done) {
                return Ok(());
            }
            part.restart(Origin { version: None, ..part.origin.clone() })?;
            return Err(Failure::Passing("the server cannot go on with its file".into()));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return match part.heard {
                false => Err(refused(options, status).into()),
                true => Err(Failure::Passing(format!("status {}", status.as_u16()))),
            };
        }
        status => return Err(refused(options, status).into()),
    }
    receive(options, response, part, watch)
}

fn refused(options: &Options, status: StatusCode) -> FetchError {
    FetchError::Status { url: options.url.clone(), status: status.as_u16() }
}

fn request(options: &Options, part: &Part) -> Result<Response<Body>, Failure> {
    let agent: Agent = Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(ANSWER))
        .timeout_recv_response(Some(ANSWER))
        .user_agent(concat!("engine/", env!("CARGO_PKG_VERSION")))
        .build()
        .into();
    let mut request = agent.get(&options.url);
    if let Some(version) = part.version(&options.url) {
        request = request.header(header::RANGE, format!("bytes={}-", part.done));
        request = request.header(header::IF_RANGE, version);
    }
    request.call().map_err(|error| {
        let (url, message) = (options.url.clone(), error.to_string());
        match error {
            ureq::Error::BadUri(_) | ureq::Error::Http(_) => {
                Failure::Final(FetchError::Address { url, message })
            }
            ureq::Error::TooManyRedirects => {
                Failure::Final(FetchError::Unreachable { url, message })
            }
            _ => Failure::Passing(message),
        }
    })
}

/// Whether what comes begins where the part ends, and belongs to the same whole.
fn goes_on(headers: &HeaderMap, part: &Part) -> bool {
    let range = headers.get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
    let Some((span, total)) = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('/'))
    else {
        return false;
    };
    let first = span.split_once('-').and_then(|(first, _)| first.parse().ok());
    first == Some(part.done) && part.origin.total.is_none_or(|known| total.parse() == Ok(known))
}

/// What tells versions of a file apart: a strong entity tag, or else the time of its last change.
fn version_of(headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    text(header::ETAG).filter(|tag| !tag.starts_with("W/")).or_else(|| text(header::LAST_MODIFIED))
}

fn number(headers: &HeaderMap, name: header::HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Writes what comes behind what is there.
fn receive(
    options: &Options,
    response: Response<Body>,
    part: &mut Part,
    watch: &mut dyn FnMut(Stage),
) -> Result<(), Failure> {
    part.heard = true;
    let limit = options.limits.packed;
    let too_large = || FetchError::TooLarge { what: options.url.clone(), limit };
    let total = part.origin.total;
    if total.is_some_and(|total| total > limit) {
        return Err(too_large().into());
    }
    let mut file = File::options().append(true).open(&part.path).map_err(unwritten(&part.path))?;
    let pieces = pieces(response.into_body());
    watch(Stage::Download { done: part.done, total });
    loop {
        let piece = match pieces.recv_timeout(options.patience.silence) {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Err(Failure::Passing(error.to_string())),
            Err(RecvTimeoutError::Timeout) => {
                let seconds = options.patience.silence.as_secs();
                return Err(Failure::Passing(format!(
                    "the server has been silent for {seconds} s"
                )));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        };
        if part.done + piece.len() as u64 > limit {
            return Err(too_large().into());
        }
        file.write_all(&piece).map_err(unwritten(&part.path))?;
        part.done += piece.len() as u64;
        watch(Stage::Download { done: part.done, total });
    }
    match total {
        Some(total) if part.done != total => {
            Err(Failure::Passing("the connection was closed".into()))
        }
        _ => Ok(()),
    }
}

/// The pieces of a body, read on a thread of their own so that a server's silence can be told from its end. The thread
/// ends with the connection, or when nobody takes the next piece.
fn pieces(body: Body) -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = sync_channel(4);
    thread::spawn(move || {
        let mut reader = body.into_reader();
        loop {
            let mut piece = vec![0; PIECE];
            let read = reader.read(&mut piece);
            let ends = !matches!(read, Ok(1..));
            let piece = read.map(|length| {
                piece.truncate(length);
                piece
            });
            // An empty piece is the end: the channel closes behind it.
            if send.send(piece).is_err() || ends {
                return;
            }
        }
    });
    receive
}
