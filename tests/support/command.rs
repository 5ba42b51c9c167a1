//! The `engine` command, run as a user runs it.

use std::path::Path;
use std::process::Command;

use engine::Record;

/// Runs `engine` with these arguments in a folder, and panics with its output if it fails.
pub(crate) fn engine(dir: &Path, arguments: &[&str]) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_engine")).args(arguments).current_dir(dir).output();
    let output = output.expect("the command starts");
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "engine {}\n{out}\n{err}", arguments.join(" "));
}

/// The metrics that a run has written, a record a step.
pub(crate) fn metrics(run: &Path) -> Vec<Record> {
    let path = run.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let record = |line: &str| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
    text.lines().map(record).collect()
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}
