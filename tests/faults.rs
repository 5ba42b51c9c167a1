//! A save that is stopped at any file operation, or finds the disk full there, leaves a whole generation.
//!
//! A small library (`faults/shim.c`, compiled here) stands between the command and the C library and counts what changes
//! files of the run.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use engine::RunFolder;
use front_door::{Room, report};

/// The steps of the run before it is stopped, and of the whole run.
const BEFORE: u64 = 2;
const WHOLE: &str = "5";

/// A room with a run of [`BEFORE`] steps in `R`, the compiled library in `shim.so`, and what an undisturbed run of
/// [`WHOLE`] steps ends with.
struct Trial {
    room: Room,
    undisturbed: Vec<u8>,
}

impl Trial {
    fn new() -> Self {
        let room = Room::furnished();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/faults/shim.c");
        let flags = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-Wno-nonnull-compare", "-o"];
        let mut compiler = Command::new("cc");
        compiler.args(flags).arg(room.path("shim.so")).arg(source).arg("-ldl");
        assert!(compiler.status().expect("a C compiler").success());
        let trial = Trial { room, undisturbed: Vec::new() };
        trial.train("U", WHOLE);
        trial.train("R", &BEFORE.to_string());
        let undisturbed = parameters(&trial.room, "U");
        Trial { undisturbed, ..trial }
    }

    fn train(&self, out: &str, steps: &str) {
        self.room.runs(&Self::training(out, steps));
    }

    fn training<'a>(out: &'a str, steps: &'a str) -> Vec<&'a str> {
        let sets = [
            "nodes.h0.layer.units=3",
            "nodes.words.layer.units=2",
            "nodes.hidden.layer.units=3",
            "train.evaluate_every=2",
            "train.keep=(last: 1, best: 0)",
            "train.schedule=Constant()",
        ];
        let sets = sets.into_iter().flat_map(|set| ["--set", set]);
        let begin = ["train", "g.ron", "--data", "D", "--batch", "3"];
        begin.into_iter().chain(["--steps", steps, "--out", out]).chain(sets).collect()
    }

    /// Goes on with a copy of the run under a fault; returns its folder's name, the exit code and what was said.
    fn resume(&self, at: usize, how: &str) -> (String, Option<i32>, String) {
        let out = format!("{how}-{at}");
        copy(&self.room.path("R"), &self.room.path(&out));
        let args = ["train", "--resume", &out, "--steps", WHOLE];
        let (code, said) = self.under(at, how, &out, &args);
        (out, code, said)
    }

    /// Runs a command that works in the folder `out` under a fault; returns the exit code and what was said.
    fn under(&self, at: usize, how: &str, out: &str, args: &[&str]) -> (Option<i32>, String) {
        let folder = fs::canonicalize(self.room.path("")).unwrap().join(out);
        let (at, log) = (at.to_string(), self.room.path(&format!("{out}.log")));
        let environment = [
            ("LD_PRELOAD", self.room.path("shim.so")),
            ("FAULT_UNDER", folder),
            ("FAULT_AT", PathBuf::from(at)),
            ("FAULT_HOW", PathBuf::from(how)),
            ("FAULT_LOG", log),
        ];
        let environment =
            environment.each_ref().map(|(name, value)| (*name, value.to_str().unwrap()));
        self.room.starts(args, &environment).ends()
    }

    /// The operations of an undisturbed resumption, in order.
    fn operations(&self) -> Vec<String> {
        let (out, code, said) = self.resume(0, "none");
        assert_eq!(code, Some(0), "{said}");
        assert!(parameters(&self.room, &out) == self.undisturbed);
        self.room.read(&format!("{out}.log")).lines().map(str::to_owned).collect()
    }

    /// What falls short of a folder that can be used, and that goes on to what an undisturbed run comes to.
    fn survives(&self, out: &str) -> Result<(), String> {
        let sampled = self.room.engine(&["sample", out, "--count", "1"]);
        sampled.verdict(&["sample", out], sampled.missing(0, ""))?;
        let args = ["train", "--resume", out, "--steps", WHOLE];
        let resumed = self.room.engine(&args);
        resumed.verdict(&args, resumed.missing(0, ""))?;
        match parameters(&self.room, out) == self.undisturbed {
            true => Ok(()),
            false => Err(format!("{out} comes to other parameters")),
        }
    }
}

fn parameters(room: &Room, run: &str) -> Vec<u8> {
    let checkpoints = RunFolder::open(&room.path(run)).unwrap().checkpoints();
    checkpoints.load(&checkpoints.latest().unwrap()).unwrap().parameters
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to.join(entry.file_name())),
            false => _ = fs::copy(entry.path(), to.join(entry.file_name())).unwrap(),
        }
    }
}

#[test]
fn a_process_that_ends_at_any_operation_leaves_a_whole_generation() {
    let trial = Trial::new();
    let operations = trial.operations();
    let mut findings = Vec::new();
    for at in 1..=operations.len() {
        let (out, code, said) = trial.resume(at, "kill");
        assert_eq!(code, None, "operation {at}, {}: {said}", operations[at - 1]);
        findings.push(trial.survives(&out));
    }
    println!("{} points at which a process ended", operations.len());
    assert!(operations.len() > 40, "{operations:#?}");
    report(findings);
}

/// As early as it gets: before there is anything, or any checkpoint.
#[test]
fn a_run_that_ends_while_it_begins_can_begin_again() {
    let trial = Trial::new();
    let begin = |at, out: &str| trial.under(at, "kill", out, &Trial::training(out, WHOLE));
    assert_eq!(begin(0, "whole").0, Some(0));
    let operations = trial.room.read("whole.log").lines().count();
    let mut findings = Vec::new();
    let mut without = 0;
    for at in 1..=operations {
        let out = format!("new-{at}");
        assert_eq!(begin(at, &out).0, None, "operation {at}");
        match trial.room.path(&format!("{out}/graph.ron")).exists() {
            true => _ = trial.room.runs(&["train", "--resume", &out]),
            false => {
                trial.train(&out, WHOLE);
                without += 1;
            }
        }
        findings.push(trial.survives(&out));
    }
    println!("{operations} points at which a new run ended, {without} of them before it was one");
    assert!(without > 5 && operations > without + 40, "{without} of {operations}");
    report(findings);
}

#[test]
fn an_operation_that_fails_is_an_error_and_leaves_a_whole_generation() {
    let trial = Trial::new();
    let operations = trial.operations();
    let mut findings = Vec::new();
    let mut silent = BTreeSet::new();
    for at in 1..=operations.len() {
        let (out, code, said) = trial.resume(at, "broken");
        match code {
            Some(2) if said.contains("Input/output error") && !said.contains("panicked") => {}
            Some(0) => _ = silent.insert(operations[at - 1].clone()),
            _ => findings.push(Err(format!("{}: exit code {code:?}\n{said}", operations[at - 1]))),
        }
        findings.push(trial.survives(&out));
    }
    println!(
        "{} points at which an operation failed; of no consequence: {silent:#?}",
        operations.len()
    );
    assert!(silent.is_empty(), "{silent:#?}");
    report(findings);
}

#[test]
fn a_full_disk_is_an_error_and_leaves_the_checkpoint_before() {
    let trial = Trial::new();
    let operations = trial.operations();
    let mut findings = Vec::new();
    let mut full = 0;
    for at in 1..=operations.len() {
        let before = parameters(&trial.room, "R");
        let (out, code, said) = trial.resume(at, "full");
        if code != Some(0) {
            full += 1;
            let complaint = || Err(format!("{}: exit code {code:?}\n{said}", operations[at - 1]));
            findings.push(match code == Some(2) && said.contains("No space left on device") {
                true => Ok(()),
                false => complaint(),
            });
            let room = &trial.room;
            let latest = RunFolder::open(&room.path(&out)).unwrap().checkpoints().latest().unwrap();
            if latest.step == BEFORE {
                assert!(parameters(room, &out) == before, "operation {at}");
            }
        }
        findings.push(trial.survives(&out));
    }
    println!("{full} points at which the disk was full");
    assert!(full > 20, "{full} of {}", operations.len());
    report(findings);
}

/// A file's bytes are on the disk before its folder gets its name, and the name is before anything goes on.
#[test]
fn everything_is_synced_before_it_is_renamed() {
    let trial = Trial::new();
    let operations = trial.operations();
    let (mut unsynced, mut renamed) = (BTreeSet::new(), BTreeMap::new());
    for operation in &operations {
        let (what, path) = operation.split_once(' ').unwrap();
        match what {
            "create" | "write" | "mkdir" => _ = unsynced.insert(path.to_owned()),
            "sync" => {
                unsynced.remove(path);
                renamed.retain(|_, folder: &mut PathBuf| folder != Path::new(path));
            }
            "rename" => {
                let (from, to) = path.split_once(' ').unwrap();
                let inside = |path: &&String| Path::new(path).starts_with(from);
                let left: Vec<&String> = unsynced.iter().filter(inside).collect();
                assert!(left.is_empty(), "{operation}: not synced: {left:?}");
                // What is to be removed is renamed first, and need not outlast anything.
                if !to.ends_with(".part") {
                    renamed.insert(to.to_owned(), Path::new(to).parent().unwrap().to_owned());
                }
            }
            _ => {}
        }
    }
    let seen = operations.iter().filter(|operation| operation.starts_with("rename ")).count();
    assert!(seen >= 4, "{operations:#?}");
    assert!(renamed.is_empty(), "the folder is not synced after {renamed:?}");
}

/// A real one, where the system lets a test mount it.
#[test]
fn a_full_file_system_is_an_error_and_leaves_the_checkpoint_before() {
    let trial = Trial::new();
    let engine = env!("CARGO_BIN_EXE_engine");
    fs::create_dir(trial.room.path("small")).unwrap();
    // Room for the folder as it is and a few kB, not for the parameters of one more generation.
    let script = format!(
        "mount -t tmpfs -o size=100k none small || exit 77; cp -r R small/R && \
         dd if=/dev/zero of=small/filler bs=1k count=56 2> /dev/null; df -k small | tail -1; \
         {engine} train --resume small/R --steps {WHOLE}; echo code $?; rm small/filler; \
         {engine} sample small/R --count 1 > /dev/null; echo code $?; \
         {engine} train --resume small/R --steps {WHOLE} > /dev/null; echo code $?"
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .current_dir(trial.room.path(""))
        .env("NO_COLOR", "1")
        .output();
    let Ok(output) = output.inspect_err(|error| println!("skipped: {error}")) else { return };
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(77) || said.contains("unshare failed") {
        println!("skipped: no file system can be mounted here: {said}");
        return;
    }
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let codes: Vec<&str> = out.lines().filter_map(|line| line.strip_prefix("code ")).collect();
    assert_eq!(codes, ["2", "0", "0"], "{out}\n{said}");
    assert!(said.contains("No space left on device"), "{said}");
}
