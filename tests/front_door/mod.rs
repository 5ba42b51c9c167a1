//! The command as its users meet it: `engine` run in a folder of its own, and what it printed and left there.

#![allow(dead_code, reason = "each test file uses its share")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod data;
pub(crate) mod running;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use data::Data;

/// A graph much like the one that this project ships, but one that stays as it is: tests know its lines and numbers.
pub(crate) const GRAPH: &str = include_str!("graph.ron");

/// Units of that graph that train in a blink.
pub(crate) const SMALL: [&str; 6] = [
    "--set",
    "nodes.h0.layer.units=16",
    "--set",
    "nodes.words.layer.units=12",
    "--set",
    "nodes.hidden.layer.units=16",
];

/// A folder to run `engine` in.
pub(crate) struct Room {
    dir: tempfile::TempDir,
}

/// What a command came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; none for a process that a signal ended, or that was ended after a minute.
    pub(crate) code: Option<i32>,
    /// Standard output.
    pub(crate) out: String,
    /// Standard error as it was printed.
    pub(crate) raw: String,
    /// Standard error without the pictures of source lines, on one line: messages, `[file:line:column]` and help.
    pub(crate) err: String,
    /// How long it ran.
    pub(crate) took: Duration,
}

/// Everything in a folder: the contents of files, nothing for folders.
pub(crate) type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

impl Room {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Room { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// One with the graph `g.ron` and its data in `D`.
    pub(crate) fn furnished() -> Self {
        let room = Room::new();
        room.write("g.ron", GRAPH);
        Data::small().write(&room.path("D"));
        room
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("a file is written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    pub(crate) fn contents(&self) -> Contents {
        let mut all = Contents::new();
        list(self.dir.path(), &mut all);
        all
    }

    /// Runs the command in this folder, for at most a minute.
    pub(crate) fn engine(&self, args: &[&str]) -> Outcome {
        let (mut out, mut err) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        let begun = Instant::now();
        let mut command = Command::new(env!("CARGO_BIN_EXE_engine"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .envs([("NO_COLOR", "1"), ("LC_ALL", "C.UTF-8")])
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(err.try_clone().unwrap());
        let mut child = {
            let _no_data_is_open = data::writing();
            command.spawn().expect("engine starts")
        };
        let status = loop {
            match child.try_wait().expect("engine can be waited for") {
                Some(status) => break status,
                None if begun.elapsed() > Duration::from_secs(60) => {
                    let _ = child.kill();
                    break child.wait().unwrap();
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let took = begun.elapsed();
        let text = |file: &mut fs::File| {
            let mut bytes = Vec::new();
            file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("output can be read");
            String::from_utf8_lossy(&bytes).into_owned()
        };
        let (out, raw) = (text(&mut out), text(&mut err));
        Outcome { code: status.code(), out, err: messages(&raw), raw, took }
    }

    /// Runs the command, which must succeed.
    pub(crate) fn runs(&self, args: &[&str]) -> Outcome {
        let outcome = self.engine(args);
        assert_eq!(outcome.code, Some(0), "engine {}\n{}", args.join(" "), outcome.raw);
        outcome
    }

    /// What falls short of a refusal: exit code 2, no panic, a message with all these parts (`a | b`), nothing changed.
    pub(crate) fn refusal(&self, args: &[&str], says: &str) -> Result<(), String> {
        self.refusal_at(args, &[], says)
    }

    /// As [`refusal`](Self::refusal), of a message that points to one of these places.
    pub(crate) fn refusal_at(
        &self,
        args: &[&str],
        places: &[String],
        says: &str,
    ) -> Result<(), String> {
        let before = self.contents();
        let outcome = self.engine(args);
        let mut missing = outcome.missing(2, says);
        if let Some(first) = places.first()
            && !places.iter().any(|place| outcome.err.contains(place))
        {
            let more = places.len() - 1;
            missing.push(format!("does not point to {first} or the {more} characters after"));
        }
        let after = self.contents();
        let new = after.keys().filter(|path| !before.contains_key(*path));
        missing.extend(new.map(|path| format!("leaves {} behind", path.display())));
        let changed = before.iter().filter(|(path, content)| after.get(*path) != Some(content));
        missing.extend(changed.map(|(path, _)| format!("changes {}", path.display())));
        outcome.verdict(args, missing)
    }

    /// Refuses for certain: see [`refusal`](Self::refusal).
    pub(crate) fn refuses(&self, args: &[&str], says: &str) {
        report([self.refusal(args, says)]);
    }
}

impl Outcome {
    /// What falls short of this exit code and these parts of the message: `a | b`.
    pub(crate) fn missing(&self, code: i32, says: &str) -> Vec<String> {
        let mut missing = Vec::new();
        if self.code != Some(code) {
            missing.push(format!("exit code {:?}, not {code}", self.code));
        }
        if self.raw.contains("panicked") {
            missing.push("panics".to_owned());
        }
        let absent = says.split(" | ").filter(|part| !self.err.contains(*part));
        missing.extend(absent.map(|part| format!("does not say {part:?}")));
        missing
    }

    /// `missing` as one complaint with the command and its output.
    pub(crate) fn verdict(&self, args: &[&str], missing: Vec<String>) -> Result<(), String> {
        if missing.is_empty() {
            return Ok(());
        }
        let missing = missing.join("\n  ! ");
        Err(format!("engine {}\n  ! {missing}\n{}", args.join(" "), self.raw.trim_end()))
    }
}

/// Fails with all complaints at once.
pub(crate) fn report(findings: impl IntoIterator<Item = Result<(), String>>) {
    let complaints: Vec<String> = findings.into_iter().filter_map(Result::err).collect();
    let count = complaints.len();
    assert!(complaints.is_empty(), "{count} shortfalls\n\n{}", complaints.join("\n\n"));
}

/// `text` with `from`, which it must hold exactly once, replaced.
pub(crate) fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} must be there once");
    text.replacen(from, to, 1)
}

fn list(dir: &Path, all: &mut Contents) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, all);
            all.insert(path, None);
        } else {
            let content = fs::read(&path).ok();
            all.insert(path, content);
        }
    }
}

/// The messages of a report, without the source lines that it shows, so that a needle is not found in the very text
/// that is at fault.
fn messages(raw: &str) -> String {
    let mut words = Vec::new();
    for line in raw.lines().map(str::trim) {
        if let Some((_, place)) = line.split_once("╭─[") {
            words.push(format!("[{place}"));
            continue;
        }
        let drawn = line.starts_with(['·', '╰']);
        let (number, rest) = line.split_at(line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0));
        let source = !number.is_empty() && rest.starts_with(" │");
        if !(drawn || source) {
            let text = line.trim_start_matches(['×', '⚠', '│', ' ']);
            words.extend(text.split_whitespace().map(str::to_owned));
        }
    }
    words.join(" ")
}
