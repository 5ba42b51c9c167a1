//! The `engine` command, run as a user runs it.

#![allow(dead_code, reason = "each test file uses its share")]

use std::path::{Path, PathBuf};
use std::process::Command;

use engine::{Evaluation, Record, RunFolder};

/// Runs `engine` with these arguments in a folder, and panics with its output if it fails.
pub(crate) fn engine(dir: &Path, arguments: &[&str]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).current_dir(dir).output();
    let output = output.expect("the command starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "engine {}\n{out}\n{err}", arguments.join(" "));
}

/// What a run has written about its steps, and about its evaluations.
pub(crate) fn metrics(run: &Path) -> (Vec<Record>, Vec<Evaluation>) {
    let path = run.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (evaluations, steps): (Vec<&str>, _) =
        text.lines().partition(|line| line.contains("val_loss"));
    let step = |line: &&str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let evaluation =
        |line: &&str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    let steps: Vec<&str> = steps;
    (steps.iter().map(step).collect(), evaluations.iter().map(evaluation).collect())
}

/// The file with the latest parameters of a run.
pub(crate) fn latest_parameters(run: &Path) -> PathBuf {
    let run = RunFolder::open(run).unwrap_or_else(|error| panic!("{error}"));
    run.checkpoints().latest().unwrap_or_else(|error| panic!("{error}")).parameters()
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
