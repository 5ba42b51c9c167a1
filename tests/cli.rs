//! The command as it is meant to be used: help, data, training, captions, and what a run leaves in its folder.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::fs;

use engine::RunFolder;
use engine_core::graph::PASSES;
use front_door::data::Data;
use front_door::{GRAPH, Outcome, Room, SMALL, report};
use safetensors::SafeTensors;
use serde_json::Value;

/// A room with the graph, and pictures of shapes in `D`: 300 captions to train on, 100 to validate on.
fn studio() -> Room {
    let room = Room::new();
    room.write("caption_lstm.ron", GRAPH);
    room.runs(&["data", "scenes", "D", "--train", "60", "--val", "20"]);
    room
}

fn trains(room: &Room, more: &[&str]) -> Outcome {
    let begin = ["train", "caption_lstm.ron", "--data", "D", "--batch", "20"];
    room.runs(&[&begin, SMALL.as_slice(), more].concat())
}

/// The lines of a run's metrics: steps and evaluations.
fn lines(room: &Room, run: &str) -> (Vec<Value>, Vec<Value>) {
    let text = room.read(&format!("{run}/metrics.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str(line).expect("a JSON object"));
    lines.partition(|line: &Value| line.get("val_loss").is_none())
}

/// What a run's metrics say of its steps.
fn metrics(room: &Room, run: &str) -> Vec<Value> {
    lines(room, run).0
}

/// The file with the latest parameters of a run.
fn latest_parameters(room: &Room, run: &str) -> Vec<u8> {
    let run = RunFolder::open(&room.path(run)).unwrap();
    fs::read(run.checkpoints().latest().unwrap().parameters()).unwrap()
}

/// All that does not depend on the clock.
fn trajectory(room: &Room, run: &str) -> Vec<Value> {
    let (mut lines, evaluations) = lines(room, run);
    lines.extend(evaluations);
    for line in &mut lines {
        let fields = line.as_object_mut().expect("an object");
        let clocks = ["captions_per_second", "data_wait", "seconds"];
        fields.retain(|key, _| !clocks.contains(&key.as_str()));
    }
    lines
}

fn number(line: &Value, key: &str) -> f64 {
    line[key].as_f64().unwrap_or_else(|| panic!("{key} in {line}"))
}

/// The mean loss of an epoch, counted from 1.
fn epoch_loss(lines: &[Value], epoch: u64) -> f64 {
    let losses =
        lines.iter().filter(|line| line["epoch"] == epoch).map(|line| number(line, "loss"));
    let losses: Vec<f64> = losses.collect();
    losses.iter().sum::<f64>() / losses.len() as f64
}

#[test]
fn help_shows_examples() {
    let room = Room::new();
    let commands: [(&[&str], &str); 9] = [
        (&[], "engine train graphs/caption_lstm.ron"),
        (
            &["train"],
            "engine train graphs/caption_lstm.ron --set nodes.hidden.layer='Gru(units: 256)'",
        ),
        (&["sample"], "engine sample runs/caption_lstm-1"),
        (&["check"], "engine check graphs/*.ron"),
        (&["bench"], "engine bench graphs/caption_lstm.ron"),
        (&["layers"], "engine layers Lstm"),
        (&["data"], "engine data info datasets/scenes"),
        (&["data", "info"], "engine data info datasets/scenes"),
        (&["data", "scenes"], "engine data scenes datasets/scenes"),
    ];
    report(commands.map(|(command, example)| {
        let args = [command, &["--help"]].concat();
        let outcome = room.engine(&args);
        let mut missing = outcome.missing(0, "");
        if !outcome.out.contains(example) {
            missing.push(format!("does not show {example:?}"));
        }
        outcome.verdict(&args, missing)
    }));
    assert!(room.runs(&["--version"]).out.starts_with("engine "));
}

#[test]
fn data_info_shows_the_default_data_set() {
    let room = studio();
    let info = room.runs(&["data", "info", "D"]).out;
    for part in [
        "train: 300 captions of 60 images",
        "val: 100 captions of 20 images",
        "words a caption: 8 to ",
        "commonest words",
        "  a  ",
        "  circle  ",
    ] {
        assert!(info.contains(part), "{part:?} in\n{info}");
    }
    let captions = info.lines().filter(|line| line.contains("(images/train_")).count();
    assert_eq!(captions, 5, "{info}");
}

#[test]
fn the_same_seed_makes_the_same_data() {
    let room = Room::new();
    for (dir, seed) in [("A", "7"), ("B", "7"), ("C", "8")] {
        room.runs(&["data", "scenes", dir, "--train", "12", "--val", "4", "--seed", seed]);
    }
    let captions = |dir: &str| fs::read(room.path(dir).join("coco2014_captions.h5")).unwrap();
    assert!(captions("A") == captions("B") && captions("A") != captions("C"));
}

#[test]
fn training_leaves_a_run() {
    let room = studio();
    let outcome = trains(&room, &["--epochs", "2", "--seed", "3"]);
    let graph = room.read("runs/caption_lstm-1/graph.ron");
    for part in [
        "Projection(units: 16)",
        "Embedding(units: 12)",
        "Lstm(units: 16)",
        "dir: \"D\"",
        "batch: 20,",
        "epochs: 2,",
        "seed: 3,",
    ] {
        assert!(graph.contains(part), "{part:?} in\n{graph}");
    }

    let (lines, evaluations) = lines(&room, "runs/caption_lstm-1");
    assert_eq!(lines.len(), 30);
    for (line, iteration) in lines.iter().zip(1..) {
        assert_eq!(line["iteration"], iteration);
        assert_eq!(line["epoch"], (iteration - 1) / 15 + 1);
        let rate = if iteration <= 15 { 1e-3 } else { 0.8e-3 };
        assert!((number(line, "learning_rate") - rate).abs() < 1e-12, "{line}");
        assert!(number(line, "loss") > 0.0 && number(line, "captions_per_second") > 0.0, "{line}");
        assert!(number(line, "data_wait") >= 0.0, "{line}");
    }
    assert_eq!(evaluations.len(), 2);
    for (line, epoch) in evaluations.iter().zip(1..) {
        assert!(line["iteration"] == 15 * epoch && line["epoch"] == epoch, "{line}");
        assert_eq!(line["best"], true, "{line}");
        let mean = epoch_loss(&lines, epoch);
        assert!((number(line, "train_loss") - mean).abs() < 1e-12 * mean, "{line}");
    }
    assert!(number(&evaluations[1], "val_loss") < number(&evaluations[0], "val_loss"));

    let names =
        ["h0.b", "h0.w", "hidden.b", "hidden.wh", "hidden.wx", "scores.b", "scores.w", "words.w"];
    let bytes = latest_parameters(&room, "runs/caption_lstm-1");
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let mut found = tensors.names();
    found.sort_unstable();
    assert_eq!(found, names);
    assert_eq!(tensors.tensor("hidden.wx").unwrap().shape(), [12, 64]);

    let out = outcome.out;
    let share = " of 20 captions of unseen images are true of their picture: ";
    assert!(out.lines().any(|line| line.contains(share) && line.ends_with(" %")), "{out}");
    assert!(
        out.contains("30 steps in ") && out.contains("run folder        runs/caption_lstm-1"),
        "{out}"
    );
    let whole = out.lines().find(|line| line.starts_with("30 steps in ")).unwrap_or_default();
    assert!(whole.ends_with(" % of it waiting for data"), "{out}");
    assert_eq!(out.lines().filter(|line| line.starts_with("  caption ")).count(), 5, "{out}");
    for part in
        ["300 captions of 60 images, 39 words", "epoch 1: loss ", "epoch 2: loss ", "(best)"]
    {
        assert!(outcome.err.contains(part), "{part:?} in\n{}", outcome.raw);
    }
}

#[test]
fn runs_are_numbered() {
    let room = Room::furnished();
    for number in 1..=2 {
        let out = room.runs(&["train", "g.ron", "--data", "D", "--steps", "1"]).out;
        assert!(out.contains(&format!("run folder        runs/g-{number}")), "{out}");
    }
    fs::rename(room.path("runs/g-1"), room.path("runs/g-9")).unwrap();
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1"]);
    let mut runs: Vec<_> =
        fs::read_dir(room.path("runs")).unwrap().map(|e| e.unwrap().file_name()).collect();
    runs.sort();
    assert_eq!(runs, ["g-10", "g-2", "g-9"]);
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1", "--out", "deep/er/R"]);
    assert!(
        room.path("deep/er/R/checkpoints/step-00000001").is_dir()
            && !room.path("runs/g-11").exists()
    );
}

#[test]
fn a_run_can_be_repeated_from_its_folder() {
    let room = studio();
    trains(&room, &["--epochs", "2", "--seed", "5", "--out", "A"]);
    room.runs(&["train", "A/graph.ron", "--out", "B"]);
    assert_eq!(room.read("A/graph.ron"), room.read("B/graph.ron"));
    assert_eq!(trajectory(&room, "A"), trajectory(&room, "B"));
    room.runs(&["train", "A/graph.ron", "--threads", "1", "--out", "C"]);
    assert_eq!(trajectory(&room, "A"), trajectory(&room, "C"));
    room.runs(&["train", "A/graph.ron", "--seed", "6", "--out", "D6"]);
    assert_ne!(trajectory(&room, "A"), trajectory(&room, "D6"));
}

#[test]
fn the_command_line_beats_the_file() {
    let room = Room::furnished();
    let train = |more: &[&str]| room.runs(&[&["train", "g.ron", "--data", "D"], more].concat());
    // The file: batches of 100, 5 epochs, Adam at 1e-3, seed 231; one batch an epoch of these 8 captions.
    train(&["--out", "A"]);
    train(&["--batch", "2", "--epochs", "3", "--out", "B"]);
    train(&["--batch", "2", "--steps", "7", "--out", "C"]);
    train(&["--set", "train.epochs=4", "--epochs", "2", "--out", "E"]);
    let steps = ["A", "B", "C", "E"].map(|run| metrics(&room, run).len());
    assert_eq!(steps, [5, 12, 7, 2]);
    let (steps, evaluations) = lines(&room, "C");
    assert_eq!((&steps[6]["epoch"], &evaluations[1]["iteration"]), (&2.into(), &7.into()));
    train(&[
        "--set",
        "train.optimizer.learning_rate=0.5",
        "--set",
        "train.warm_up=2",
        "--out",
        "F",
    ]);
    assert_eq!(number(&metrics(&room, "F")[0], "learning_rate"), 0.25);
    let graph = room.read("F/graph.ron");
    assert!(graph.contains("Adam(learning_rate: 0.5)") && graph.contains("warm_up: 2"), "{graph}");
}

#[test]
fn cells_and_rules_swap_on_the_command_line() {
    let room = studio();
    let swaps: [(&str, &[&str], [&str; 2]); 6] = [
        ("rnn", &["nodes.hidden.layer=Rnn(units: 16)"], ["hidden.wh", "hidden.wx"]),
        ("gru", &["nodes.hidden.layer=Gru(units: 16)"], ["hidden.wh", "hidden.wx"]),
        (
            "relu",
            &["nodes.hidden.layer=Rnn(units: 16, activation: Relu)"],
            ["hidden.b", "hidden.wh"],
        ),
        ("sgd", &["train.optimizer=Sgd(learning_rate: 0.05)"], ["hidden.wh", "hidden.wx"]),
        (
            "rms",
            &["train.optimizer=RmsProp(learning_rate: 3e-3)", "train.schedule=Constant()"],
            ["h0.w", "words.w"],
        ),
        ("f64", &["precision=F64", "train.optimizer.learning_rate=3e-3"], ["h0.w", "words.w"]),
    ];
    for (run, sets, names) in swaps {
        let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        trains(&room, &[&sets, ["--epochs", "4", "--out", run].as_slice()].concat());
        let lines = metrics(&room, run);
        let (first, last) = (epoch_loss(&lines, 1), epoch_loss(&lines, 4));
        assert!(last < 0.97 * first, "{run}: from {first} to {last}");
        let bytes = latest_parameters(&room, run);
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        assert!(names.iter().all(|name| tensors.tensor(name).is_ok()), "{run}");
    }
}

#[test]
fn captions_stand_beside_references() {
    let room = studio();
    trains(&room, &["--epochs", "1"]);
    let images = |out: &str| -> Vec<String> {
        out.lines().filter(|line| line.starts_with("images/")).map(str::to_owned).collect()
    };
    let count = |out: &str, what: &str| out.lines().filter(|line| line.starts_with(what)).count();
    let sample = |args: &[&str]| room.runs(&[&["sample"], args].concat()).out;

    let run = sample(&["runs/caption_lstm-1"]);
    assert_eq!(
        (images(&run).len(), count(&run, "  caption "), count(&run, "  reference ")),
        (10, 10, 50)
    );
    assert!(images(&run).iter().all(|name| name.starts_with("images/val_")), "{run}");
    assert_eq!(sample(&["caption_lstm.ron"]), run);
    assert_eq!(sample(&["caption_lstm.ron", "--seed", "0", "--threads", "1"]), run);
    assert_ne!(images(&sample(&["caption_lstm.ron", "--seed", "1"])), images(&run));

    let train = sample(&["caption_lstm.ron", "--split", "train", "--count", "3"]);
    assert_eq!(images(&train).len(), 3);
    assert!(images(&train).iter().all(|name| name.starts_with("images/train_")), "{train}");
    assert_eq!(images(&sample(&["caption_lstm.ron", "--count", "1000"])).len(), 20);

    // The latest run is the one with the highest number.
    trains(&room, &["--epochs", "1", "--seed", "9"]);
    assert_eq!(sample(&["caption_lstm.ron"]), sample(&["runs/caption_lstm-2"]));
    assert_ne!(sample(&["caption_lstm.ron"]), run);
    fs::rename(room.path("D"), room.path("moved")).unwrap();
    assert_eq!(sample(&["runs/caption_lstm-1", "--data", "moved"]), run);
}

#[test]
fn data_without_a_judge_has_captions_and_no_verdict() {
    let room = Room::new();
    room.write("g.ron", GRAPH);
    Data { pca: true, ..Data::small() }.write(&room.path("D"));
    let set = ["--set", "data.pca_features=true"];
    let out =
        room.runs(&[&["train", "g.ron", "--data", "D", "--epochs", "20"], &set[..]].concat()).out;
    assert!(out.contains("  caption    a") && out.contains("  reference  a b"), "{out}");
    assert!(out.contains("\nval 0\n") && !out.contains("are true of"), "{out}");
}

#[test]
fn check_accepts_what_is_shipped() {
    let room = studio();
    let graphs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../graphs");
    let folders = [graphs.to_owned(), format!("{graphs}/bench")];
    let mut names: Vec<String> = folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .map(|path| path.display().to_string())
        .collect();
    names.sort();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert!(!names.is_empty());
    let out = room.runs(&[&["check"], &names[..]].concat()).out;
    assert_eq!(out.matches("nothing wrong").count(), names.len(), "{out}");

    let out = room.runs(&["check", "caption_lstm.ron", "--data", "D"]).out;
    for part in [
        "Vocabulary = 39 in D",
        "Lstm            [Batch, Time, 512]",
        "hidden.wx [256, 2048]",
        " parameters, nothing wrong",
    ] {
        assert!(out.contains(part), "{part:?} in\n{out}");
    }
    assert!(!room.path("runs").exists());
}

/// The nodes that `check --passes` shows of a graph, each with what it runs and what is said of its rows; first what is
/// said of all.
fn rewritten(room: &Room, graph: &str, more: &[&str]) -> Vec<String> {
    let out = room.runs(&[&["check", graph, "--passes"], more].concat()).out;
    let from = out.find("  as training runs it").unwrap_or_else(|| panic!("rewritten in\n{out}"));
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    out[from..].lines().map(words).collect()
}

#[test]
fn check_shows_rewrites() {
    let room = studio();
    let out = room.runs(&["check", "--passes"]).out;
    let listed: Vec<&str> = out.lines().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(listed.len(), PASSES.len(), "{out}");
    for (line, pass) in listed.iter().zip(PASSES) {
        let (name, summary) = line.trim().split_once(' ').unwrap();
        assert_eq!((name, summary.trim()), (pass.name, pass.summary));
    }

    let plain = room.runs(&["check", "caption_lstm.ron"]).out;
    assert!(!plain.contains("as training runs it"), "{plain}");
    let with = room.runs(&["check", "caption_lstm.ron", "--passes"]).out;
    assert!(with.starts_with(&out) && with.contains(&plain), "{with}");

    let names = |more: &[&str]| -> Vec<String> {
        let lines = rewritten(&room, "caption_lstm.ron", more);
        let name = |line: &String| line.split(' ').next().unwrap_or_default().to_owned();
        lines[1..].iter().map(name).collect()
    };
    let all = rewritten(&room, "caption_lstm.ron", &[]);
    let ends = "as training runs it, sequences end at their last position that counts:";
    assert_eq!(all[0], ends);
    assert_eq!(names(&[]), ["h0", "words", "hidden.input", "hidden", "scores+loss"]);
    let by_word = |lines: &[String]| -> Vec<usize> {
        let by_word = |line: &String| line.ends_with(" once for each different word");
        lines.iter().enumerate().filter(|(_, line)| by_word(line)).map(|(at, _)| at).collect()
    };
    assert_eq!(by_word(&all), [2, 3], "{all:?}");

    let without = |pass| rewritten(&room, "caption_lstm.ron", &["--without", pass]);
    assert_eq!(names(&["--without", "hoist"]), ["h0", "words", "hidden", "scores+loss"]);
    assert_eq!(
        names(&["--without", "blocked-loss"]),
        ["h0", "words", "hidden.input", "hidden", "scores", "loss"]
    );
    assert_eq!(without("padding")[0], "as training runs it:");
    assert_eq!(without("padding")[1..], all[1..]);
    assert!(by_word(&without("distinct-words")).is_empty());
    let fused = without("fused-cells");
    assert_eq!(fused.len(), all.len());
    assert!(fused[4] != all[4] && fused[4].starts_with("hidden "), "{fused:?}\n{all:?}");

    let every: Vec<&str> = PASSES.iter().flat_map(|pass| ["--without", pass.name]).collect();
    let none = rewritten(&room, "caption_lstm.ron", &every);
    assert_eq!(none[0], "as training runs it:");
    assert_eq!(names(&every), ["h0", "words", "hidden", "scores", "loss"]);
    assert!(by_word(&none).is_empty(), "{none:?}");
    assert!(!room.path("runs").exists());
}

#[test]
fn layers_lists_and_explains() {
    let room = Room::new();
    let list = room.runs(&["layers"]).out;
    for name in [
        "Add",
        "Concat",
        "Dropout",
        "Embedding",
        "Gru",
        "Lstm",
        "Multiply",
        "Projection",
        "Relu",
        "Rnn",
        "Sigmoid",
        "SoftmaxLoss",
        "Tanh",
        "TemporalAffine",
        "Adagrad",
        "Adam",
        "AdamW",
        "Momentum",
        "RmsProp",
        "Sgd",
        "Constant",
        "Cosine",
        "Exponential",
        "Step",
        "CocoHdf5",
        "Greedy",
    ] {
        let listed =
            list.lines().any(|line| line.starts_with(&format!("  {name} ")) && line.ends_with('.'));
        assert!(listed, "{name} in\n{list}");
    }
    let explained: [(&str, &[&str]); 4] = [
        (
            "Lstm",
            &[
                "c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)",
                "x: [Batch, Time, Inputs]",
                "h0: [Batch, 512]",
                "units: size (required)",
                "forget_bias:",
                "Example:\n  Lstm(units: 512)",
            ],
        ),
        ("SoftmaxLoss", &["(layer)", "targets: [", "Example:\n  SoftmaxLoss()"]),
        ("Adam", &["(update rule)", "learning_rate:", "default 0.001", "Example:\n  Adam("]),
        ("CocoHdf5", &["(data set)", "dir:", "pca_features:", "Example:\n  CocoHdf5(dir:"]),
    ];
    for (name, parts) in explained {
        let out = room.runs(&["layers", name]).out;
        for part in parts {
            assert!(out.contains(part), "{part:?} in\n{out}");
        }
    }
}
