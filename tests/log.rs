//! What training shows while it runs: a bar on a terminal, plain lines elsewhere, JSON where it is asked for.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::process::{Command, Stdio};

use front_door::Room;
use serde_json::Value;

const TRAIN: [&str; 13] = [
    "train",
    "g.ron",
    "--data",
    "D",
    "--batch",
    "3",
    "--epochs",
    "4",
    "--set",
    "nodes.h0.layer.units=4",
    "--set",
    "nodes.hidden.layer.units=4",
    "--out",
];

fn trains(room: &Room, more: &[&str]) -> String {
    room.runs(&[TRAIN.as_slice(), more].concat()).raw
}

#[test]
fn elsewhere_than_on_a_terminal_lines_are_plain() {
    let room = Room::furnished();
    let said = trains(&room, &["R", "--set", "train.print_every=5"]);
    assert!(said.chars().all(|c| c == '\n' || !c.is_control()), "{said:?}");
    let steps: Vec<&str> = said.lines().filter(|line| line.starts_with("iteration ")).collect();
    assert_eq!(steps.len(), 2, "{said}");
    assert!(
        steps[1].starts_with("iteration 10/12: loss ") && steps[1].ends_with(" left"),
        "{said}"
    );
    assert_eq!(said.lines().filter(|line| line.starts_with("epoch ")).count(), 4, "{said}");
    assert_eq!(said.lines().count(), 1 + 2 + 4, "{said}");
    let silent = trains(&room, &["S", "--set", "train.verbose=false"]);
    assert_eq!(silent, "");
}

#[test]
fn json_is_an_object_a_line() {
    let room = Room::furnished();
    let said = trains(&room, &["R", "--log", "json", "--set", "train.print_every=4"]);
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let events: Vec<&str> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    let evaluations = events.iter().filter(|event| **event == "evaluation").count();
    let steps = events.iter().filter(|event| **event == "step").count();
    assert_eq!((events[0], events[events.len() - 1], steps, evaluations), ("begin", "end", 3, 4));
    assert_eq!((&lines[0]["total"], &lines[0]["captions"]), (&12.into(), &8.into()));
    let end = &lines[lines.len() - 1];
    assert_eq!((&end["iteration"], &end["reason"]), (&12.into(), &"complete".into()));
    // What is shown is what is kept.
    let kept = room.read("R/metrics.jsonl");
    let kept: Vec<Value> = kept.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines[1..lines.len() - 1] {
        let mut line = line.clone();
        line.as_object_mut().unwrap().remove("event");
        assert!(kept.contains(&line), "{line}");
    }
}

#[test]
fn on_a_terminal_there_is_a_bar() {
    let room = Room::furnished();
    let command = [&[env!("CARGO_BIN_EXE_engine")], TRAIN.as_slice(), &["R"]].concat().join(" ");
    // `script` gives the command a terminal.
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(room.path(""))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output.inspect_err(|error| println!("skipped: no `script`: {error}")) else {
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    // The last picture of the bar before its line is cleared.
    let bar =
        said.split(['\r', '\n']).rfind(|line| line.contains(" captions/s")).unwrap_or_default();
    for part in ["/12 ", "loss ", " val ", " left"] {
        assert!(bar.contains(part), "{part:?} in {bar:?}\n{said}");
    }
    assert!(bar.chars().any(|c| ('▁'..='█').contains(&c)), "{bar:?}");
    assert!(said.contains("epoch 4: loss ") && !said.contains("iteration "), "{said}");
}

#[test]
fn other_forms_are_refused() {
    Room::furnished().refuses(&[TRAIN.as_slice(), &["R", "--log", "xml"]].concat(), "'xml' | json");
}
