//! The event files of a run, read back with TensorBoard's own reader where Python has it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::process::Command;

use front_door::Room;
use serde_json::Value;

/// Prints every scalar of a folder as JSON: `{tag: [[step, value], ..]}`.
const READER: &str = r#"
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={"scalars": 0})
events.Reload()
tags = events.Tags()["scalars"]
print(json.dumps({tag: [[s.step, s.value] for s in events.Scalars(tag)] for tag in tags}))
"#;

/// The interpreter: `PYTHON`, or `python3`.
fn python() -> String {
    std::env::var("PYTHON").unwrap_or_else(|_| "python3".into())
}

fn scalars(room: &Room, run: &str) -> Option<Value> {
    let output = Command::new(python()).args(["-c", READER]).arg(room.path(run)).output().ok()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("No module named 'tensorboard'") {
        return None;
    }
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).expect("JSON"))
}

#[test]
fn tensorboard_reads_what_the_metrics_say() {
    let room = Room::furnished();
    let train = ["train", "g.ron", "--data", "D", "--batch", "3", "--steps", "7", "--out", "R"];
    let sets =
        ["train.schedule=Constant()", "nodes.h0.layer.units=4", "nodes.hidden.layer.units=4"];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    room.runs(&[train.as_slice(), &sets].concat());
    // A second sitting has a file of its own, and what is in both counts once.
    room.runs(&["train", "--resume", "R", "--steps", "11"]);
    let Some(found) = scalars(&room, "R") else {
        println!("skipped: {} has no package `tensorboard`", python());
        return;
    };
    let text = room.read("R/metrics.jsonl");
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for (tag, key) in [
        ("loss/step", "loss"),
        ("optimizer/learning_rate", "learning_rate"),
        ("optimizer/gradient_norm", "gradient_norm"),
        ("speed/captions_per_second", "captions_per_second"),
        ("loss/training", "train_loss"),
        ("loss/validation", "val_loss"),
    ] {
        let right = lines
            .iter()
            .filter_map(|line| Some((line["iteration"].as_u64()?, line[key].as_f64()?)));
        let right: Vec<(u64, f32)> = right.map(|(step, value)| (step, value as f32)).collect();
        assert!(right.len() >= 4, "{tag}");
        let found = found[tag].as_array().unwrap_or_else(|| panic!("{tag} in {found}"));
        let found: Vec<(u64, f32)> = found
            .iter()
            .map(|pair| (pair[0].as_u64().unwrap(), pair[1].as_f64().unwrap() as f32))
            .collect();
        assert_eq!(found, right, "{tag}");
    }
}
