//! `engine bench`: what it prints, what it writes, and what it refuses. No figure that depends on the clock is held to
//! anything but its place and its sign.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::fs;

use front_door::{GRAPH, Outcome, Room, edited, report};
use serde_json::Value;

/// A room with a small graph, and pictures of shapes in `D`: 300 captions to train on.
fn studio() -> Room {
    let room = Room::new();
    let small = edited(GRAPH, "Projection(units: 512)", "Projection(units: 16)");
    let small = edited(&small, "Embedding(units: 256)", "Embedding(units: 12)");
    let small = edited(&small, "Lstm(units: 512)", "Lstm(units: 16)");
    room.write("small.ron", small);
    room.runs(&["data", "scenes", "D", "--train", "60", "--val", "20"]);
    room
}

fn benches(room: &Room, more: &[&str]) -> Outcome {
    let begin = ["bench", "small.ron", "--data", "D", "--steps", "4"];
    room.runs(&[&begin, more].concat())
}

fn json(room: &Room, file: &str) -> Value {
    serde_json::from_str(&room.read(file)).expect("a JSON object")
}

fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("{key} in {of}"))
}

#[test]
fn json_has_all_figures() {
    let room = studio();
    benches(&room, &["--json", "found.json", "--threads", "2", "--seed", "5"]);
    let found = json(&room, "found.json");
    assert_eq!((&found["graph"], &found["precision"]), (&"small".into(), &"F32".into()));
    for (key, is) in [("threads", 2), ("seed", 5), ("steps", 4), ("batch", 100), ("warm_up", 3)] {
        assert_eq!(found[key], is, "{key}");
    }
    let spread = ["step_ms_min", "step_ms_q1", "step_ms_median", "step_ms_q3", "step_ms_max"];
    let spread = spread.map(|key| number(&found, key));
    assert!(spread[0] > 0.0 && spread.is_sorted(), "{spread:?}");
    for key in [
        "captions_per_second",
        "gflop_needed",
        "gflop_without_rewrites",
        "gflop_per_second",
        "peak_gflop_per_second",
        "peak_gflop_per_second_before",
        "peak_gflop_per_second_after",
        "floor_ms",
        "over_floor",
        "allocations_per_step",
    ] {
        assert!(number(&found, key) > 0.0, "{key} in {found}");
    }
    if cfg!(target_os = "linux") {
        assert!(number(&found, "peak_memory_mib") > 1.0, "{found}");
    }
    assert!((0.0..1.0).contains(&number(&found, "data_share")), "{found}");
}

#[test]
fn phases_and_nodes_add_up() {
    let room = studio();
    benches(&room, &["--json", "found.json"]);
    let found = json(&room, "found.json");
    let lines = |key: &str| found[key].as_array().expect("a list").clone();
    let names = |key, of: &str| {
        lines(key).iter().map(|line| line[of].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let phases = ["batch", "feed", "pack", "forward", "backward", "clip", "update"];
    assert_eq!(names("phases", "phase"), phases);
    let shares: f64 = lines("phases").iter().map(|phase| number(phase, "share")).sum();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");

    // The plan computes h0 and words in the order of the file, for neither reads the other.
    assert_eq!(names("nodes", "name"), ["h0", "words", "hidden.input", "hidden", "scores+loss"]);
    let layers = ["Projection", "Embedding", "Lstm", "Lstm", "SoftmaxLoss"];
    assert_eq!(names("nodes", "layer"), layers);
    let both = |node: &Value| number(node, "forward_gflop") + number(node, "backward_gflop");
    let sum: f64 = lines("nodes").iter().map(both).sum();
    let needed = number(&found, "gflop_needed");
    assert!((sum - needed).abs() < 1e-9 * needed, "{sum}, {needed}");
}

#[test]
fn the_table_shows_every_part() {
    let room = studio();
    let out = benches(&room, &["--set", "precision=F64", "--set", "train.batch=20"]).out;
    for part in [
        "small: 4 steps of 20 captions in F64, after 3 to warm up; ",
        "ms (median); fastest ",
        " captions/s",
        " GFLOP a step, ",
        " GFLOP/s of ",
        " times that",
        " a step\n",
        "% of the time is spent waiting for it",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
    for begin in ["batch ", "forward ", "backward ", "clip ", "update ", "hidden ", "scores+loss "]
    {
        assert!(out.lines().any(|line| line.starts_with(begin)), "{begin:?} in\n{out}");
    }
    assert!(!room.path("runs").exists(), "no run is left behind");
}

#[test]
fn batches_are_full_where_captions_suffice() {
    let room = studio();
    // 300 captions are two batches of 140 and a rest; seven steps see several epochs.
    benches(&room, &["--json", "most.json", "--set", "train.batch=140"]);
    assert_eq!(json(&room, "most.json")["batch"], 140);
    benches(&room, &["--json", "all.json", "--set", "train.batch=1000"]);
    assert_eq!(json(&room, "all.json")["batch"], 300);
}

#[test]
fn bad_input_is_refused_before_anything_is_measured() {
    let room = studio();
    fs::create_dir(room.path("folder")).unwrap();
    let begin = ["bench", "small.ron", "--data", "D"];
    let refusals: [(&[&str], &str); 9] = [
        (&["--steps", "0"], "--steps | 0 is not in 1.."),
        (&["--sample", "0"], "--sample | 0 is not in 1.."),
        (&["--sample", "5", "--steps", "5"], "--sample | cannot be used with | --steps"),
        (&["--steps", "many"], "--steps | invalid digit"),
        (&["--threads", "0"], "--threads"),
        (&["--json", "none/found.json"], "there is no folder none | mkdir -p none"),
        (&["--json", "folder"], "cannot write folder: it is a folder"),
        (&["--set", "nodes.hidden.layer=Lstmm(units: 3)"], "Lstmm | did you mean `Lstm`"),
        (&["--data", "none"], "none"),
    ];
    let mut findings: Vec<_> = refusals
        .map(|(more, says)| {
            let begin = if more[0] == "--data" { &begin[..2] } else { &begin[..] };
            room.refusal(&[begin, more].concat(), says)
        })
        .into();
    let says = "cannot read smal.ron | did you mean `small.ron`";
    findings.push(room.refusal(&["bench", "smal.ron", "--data", "D"], says));
    fs::create_dir(room.path("D/empty")).unwrap();
    findings.push(room.refusal(&["bench", "D/empty", "--sample", "5"], "D/empty is no run"));
    report(findings);
}

#[test]
fn a_run_that_diverges_is_refused() {
    let room = studio();
    let rate = ["--set", "train.optimizer=Sgd(learning_rate: 1e39)"];
    let args = [&["bench", "small.ron", "--data", "D"], &rate[..]].concat();
    room.refuses(&args, "is not finite | lower the learning rate");
}

#[test]
fn captions_are_timed_in_place_of_steps() {
    let room = studio();
    let begin = ["bench", "small.ron", "--data", "D", "--sample", "30", "--threads", "2"];
    let out = room.runs(&[&begin[..], &["--json", "found.json"]].concat()).out;
    let found = json(&room, "found.json");
    assert_eq!((&found["graph"], &found["precision"]), (&"small".into(), &"F32".into()));
    assert_eq!((&found["sampled"], &found["threads"]), (&30.into(), &2.into()));
    for key in [
        "seconds",
        "sampled_per_second",
        "words_per_caption",
        "gflop_per_caption",
        "gflop_per_second",
        "peak_gflop_per_second",
        "share_of_peak",
    ] {
        assert!(number(&found, key) > 0.0, "{key} in {found}");
    }
    let seconds = number(&found, "seconds") * number(&found, "sampled_per_second");
    assert!((seconds - 30.0).abs() < 1e-9, "{found}");
    // Never trained, it goes on to the most tokens of a sentence, but for what it takes for its end.
    assert!(number(&found, "words_per_caption") <= 29.0, "{found}");
    for part in ["small: 30 captions in F32", " captions/s: ", " words a caption", " GFLOP/s of "] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
}

#[test]
fn a_run_writes_with_what_it_has_learned() {
    let room = studio();
    let set = ["--set", "sample=Greedy(max_length: 6)"];
    let train = ["train", "small.ron", "--data", "D", "--steps", "3", "--out", "learned"];
    room.runs(&[&train[..], &set].concat());
    room.runs(&["bench", "learned", "--sample", "5", "--json", "found.json"]);
    let found = json(&room, "found.json");
    assert_eq!(found["graph"], "learned");
    assert!(number(&found, "words_per_caption") <= 5.0, "{found}");
    room.runs(&["bench", "learned", "--steps", "2"]);
}
