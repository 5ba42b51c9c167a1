//! A run that is stopped, in whatever way, goes on as if it had never stopped.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::collections::BTreeMap;
use std::fs;

use engine::{Generation, RunFolder};
use front_door::{GRAPH, Outcome, Room, edited, report};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Steps of a run: ten epochs of 15, so that there is time to stop one.
const STEPS: u64 = 150;

/// A room with data and a network that has noise in it.
fn studio() -> Room {
    let room = Room::new();
    let scores = "(name: \"scores\"";
    let noise = "(name: \"noisy\", layer: Dropout(rate: 0.4), from: [\"hidden\"]),";
    let noisy = edited(GRAPH, scores, &format!("{noise}\n        {scores}"));
    let noisy = edited(
        &noisy,
        "layer: TemporalAffine(units: Vocabulary), from: [\"hidden\"]",
        "layer: TemporalAffine(units: Vocabulary), from: [\"noisy\"]",
    );
    room.write("g.ron", noisy);
    room.runs(&["data", "scenes", "D", "--train", "60", "--val", "20"]);
    room
}

/// The arguments of a run into `out`: 15 steps an epoch, a line for each step.
fn training<'a>(out: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let begin = ["train", "g.ron", "--data", "D", "--batch", "20", "--epochs", "10", "--out", out];
    let sets = [
        "nodes.h0.layer.units=16",
        "nodes.words.layer.units=12",
        "nodes.hidden.layer.units=16",
        "train.print_every=1",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    begin.into_iter().chain(sets).chain(more.iter().copied()).collect()
}

/// All that a run leaves but for what the clock says.
#[derive(Debug, PartialEq)]
struct Left {
    metrics: Vec<Value>,
    state: Value,
    files: BTreeMap<&'static str, Vec<u8>>,
    sample: String,
}

fn left(room: &Room, run: &str) -> Left {
    let generation = latest(room, run);
    let file = |name: &'static str| (name, fs::read(generation.path().join(name)).unwrap());
    let text = room.read(&format!("{run}/metrics.jsonl"));
    let json = |text: &str| without_clocks(serde_json::from_str(text).expect("JSON"));
    Left {
        metrics: text.lines().map(json).collect(),
        state: json(&fs::read_to_string(generation.path().join("state.json")).unwrap()),
        files: ["parameters.safetensors", "optimizer.safetensors"].map(file).into(),
        sample: room.runs(&["sample", run, "--count", "20"]).out,
    }
}

fn without_clocks(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for clock in ["seconds", "captions_per_second", "data_wait", "metrics"] {
                fields.remove(clock);
            }
            fields.values_mut().for_each(|value| *value = without_clocks(value.take()));
        }
        Value::Array(items) => {
            items.iter_mut().for_each(|value| *value = without_clocks(value.take()));
        }
        _ => {}
    }
    value
}

fn latest(room: &Room, run: &str) -> Generation {
    RunFolder::open(&room.path(run)).unwrap().checkpoints().latest().unwrap()
}

/// The parts of what two runs have left that are not the same.
fn differences(a: &Left, b: &Left) -> Vec<&'static str> {
    let parts = [
        ("metrics", a.metrics == b.metrics),
        ("state", a.state == b.state),
        ("files", a.files == b.files),
        ("samples", a.sample == b.sample),
    ];
    parts.into_iter().filter(|(_, same)| !same).map(|(part, _)| part).collect()
}

#[test]
fn a_run_that_is_killed_goes_on_as_if_it_had_not_been() {
    let room = studio();
    room.runs(&training("whole", &[]));
    let whole = left(&room, "whole");
    assert_eq!(whole.metrics.len() as u64, STEPS + 10);
    let seed = 77;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    for round in 0..10 {
        let out = format!("killed-{round}");
        let threads = rng.random_range(1..4_u32).to_string();
        // Without a figure of its own, checkpoints are those of evaluations: a run goes back to the last one.
        let every = [None, Some(1), Some(4), Some(7)][rng.random_range(0..4)];
        let set = every.map(|every| format!("train.checkpoint_every={every}"));
        let more: Vec<&str> = set.iter().flat_map(|set| ["--set", set.as_str()]).collect();
        let mut args = training(&out, &[&["--threads", &threads], more.as_slice()].concat());
        let mut kills = Vec::new();
        // Some are stopped more than once.
        for _ in 0..rng.random_range(1..=3) {
            let from = kills.last().copied().unwrap_or(0);
            let step = rng.random_range(from + 1..=from + 40);
            let mut running = room.starts(&args, &[]);
            assert!(running.until(&format!("iteration {step}/")), "{}", running.said);
            running.signal("KILL");
            assert_eq!(running.ends().0, None, "a run that ended before it was killed");
            kills.push(step);
            args = vec!["train", "--resume", &out, "--threads", &threads];
        }
        let stood = latest(&room, &out).step;
        let resumed = room.runs(&["train", "--resume", &out]);
        assert!(resumed.err.contains(&format!("going on after step {stood}")), "{}", resumed.raw);
        println!(
            "{threads} threads, checkpoints every {every:?}, killed at {kills:?}, from {stood}"
        );
        let found = left(&room, &out);
        assert_eq!(differences(&whole, &found), Vec::<&str>::new(), "round {round}");
    }
}

/// The graph of the studio with a state that goes from batch to batch.
fn carrying(room: &Room) {
    let graph = edited(
        &room.read("g.ron"),
        "\"words_in\": [Batch, Time],",
        "\"state\": [Batch, 16], \"words_in\": [Batch, Time],",
    );
    let both = "(name: \"both\", layer: Concat(), from: [\"features\", \"state\"]),";
    let end = "(name: \"end\", layer: Tanh(), from: [\"h0\"]),";
    let graph = edited(&graph, "(name: \"h0\"", &format!("{both} {end}\n        (name: \"h0\""));
    let graph = edited(
        &graph,
        "layer: Projection(units: 512),            from: [\"features\"]",
        "layer: Projection(units: 512),            from: [\"both\"]",
    );
    room.write(
        "g.ron",
        edited(&graph, "    nodes: [", "    carry: {\"state\": \"end\"},\n    nodes: ["),
    );
}

#[test]
fn what_is_carried_outlasts_a_kill_within_an_epoch() {
    let room = studio();
    carrying(&room);
    let streams = ["--set", "train.order=Streams", "--set", "train.checkpoint_every=4"];
    room.runs(&training("whole", &streams));
    let whole = left(&room, "whole");
    // Steps that are checkpoints and not the end of one of the epochs of 15 steps.
    for step in [21_u64, 50, 126] {
        let out = format!("killed-{step}");
        let mut running = room.starts(&training(&out, &streams), &[]);
        assert!(running.until(&format!("iteration {step}/")), "{}", running.said);
        running.signal("KILL");
        running.ends();
        let stood = latest(&room, &out);
        let carried = stood.path().join("carried.safetensors");
        assert!(!stood.step.is_multiple_of(15) && carried.is_file(), "{}", stood.path().display());
        room.runs(&["train", "--resume", &out]);
        assert_eq!(differences(&whole, &left(&room, &out)), Vec::<&str>::new(), "step {step}");
    }
    // The state matters: without it, another network is trained.
    let mut graph = room.read("g.ron");
    graph = edited(&graph, "from: [\"h0\"]", "from: [\"off\"]");
    let off = "(name: \"off\", layer: Multiply(), from: [\"state\", \"h0\"]),";
    room.write("g.ron", edited(&graph, "(name: \"both\"", &format!("{off} (name: \"both\"")));
    room.runs(&training("off", &streams));
    assert_ne!(differences(&whole, &left(&room, "off")), Vec::<&str>::new());
}

#[test]
fn shuffled_batches_carry_nothing() {
    let room = studio();
    carrying(&room);
    let says =
        "carry `state`: batches in the order Shuffled do not go on | train: (order: Streams)";
    report([room.refusal(&training("R", &[]), says)]);
}

#[test]
fn signals_save_and_say_how_to_go_on() {
    let room = studio();
    room.runs(&training("whole", &[]));
    let whole = left(&room, "whole");
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut running = room.starts(&training(signal, &["--threads", "2"]), &[]);
        assert!(running.until("iteration 20/"), "{}", running.said);
        running.signal(signal);
        let (found, said) = running.ends();
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(&format!("go on with: engine train --resume {signal}")), "{said}");
        // Every step that was made is in the checkpoint.
        let steps = said.lines().filter(|line| line.starts_with("iteration ")).count() as u64;
        assert!((20..STEPS).contains(&steps), "{said}");
        assert_eq!(latest(&room, signal).step, steps);
        room.runs(&["train", "--resume", signal]);
        assert_eq!(differences(&whole, &left(&room, signal)), Vec::<&str>::new());
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let room = studio();
    // Steps that take long enough for two signals.
    let sets = [
        "nodes.h0.layer.units=1500",
        "nodes.hidden.layer.units=1500",
        "train.print_every=1",
        "train.evaluate_every=100",
    ];
    let sets = sets.iter().flat_map(|set| ["--set", set]);
    let begin = ["train", "g.ron", "--data", "D", "--batch", "300", "--threads", "1", "--out", "R"];
    let args: Vec<&str> = begin.into_iter().chain(sets).collect();
    let mut running = room.starts(&args, &[]);
    assert!(running.until("iteration 1/"), "{}", running.said);
    running.signal("INT");
    running.signal("TERM");
    let (code, said) = running.ends();
    assert!(matches!(code, Some(130 | 143)), "{code:?}\n{said}");
    assert!(!said.contains("go on with"), "{said}");
    assert_eq!(latest(&room, "R").step, 0, "nothing is saved any more");
}

#[test]
fn a_run_goes_further_than_it_was_to_go() {
    let room = studio();
    let longer = ["--set", "train.schedule=Constant()"];
    room.runs(&training("whole", &longer));
    let whole = left(&room, "whole");
    let mut args = training("R", &longer);
    *args.iter_mut().find(|arg| **arg == "10").unwrap() = "4";
    room.runs(&args);
    assert_eq!(latest(&room, "R").step, 60);
    let again = room.runs(&["train", "--resume", "R"]);
    assert!(again.err.contains("all 60 steps are made; --epochs N goes further"), "{}", again.raw);
    room.runs(&["train", "--resume", "R", "--epochs", "10"]);
    assert_eq!(differences(&whole, &left(&room, "R")), Vec::<&str>::new());
    assert!(room.read("R/graph.ron").contains("epochs: 10"));
}

fn steps(room: &Room, run: &str) -> Vec<u64> {
    let checkpoints = RunFolder::open(&room.path(run)).unwrap().checkpoints();
    checkpoints.list().unwrap().iter().map(|generation| generation.step).collect()
}

fn val_losses(room: &Room, run: &str) -> Vec<(u64, f64)> {
    let text = room.read(&format!("{run}/metrics.jsonl"));
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines
        .filter_map(|line| Some((line["iteration"].as_u64()?, line["val_loss"].as_f64()?)))
        .collect()
}

#[test]
fn the_latest_and_the_best_stay() {
    let room = studio();
    // A learning rate at which the loss goes up and down.
    let wild =
        ["--set", "train.optimizer=Adam(learning_rate: 0.3)", "--set", "train.clip_norm=5.0"];
    for (last, best) in [(3, 1), (1, 0), (2, 3)] {
        let keep = format!("train.keep=(last: {last}, best: {best})");
        let out = format!("{last}-{best}");
        let more =
            [wild.as_slice(), &["--set", &keep, "--set", "train.checkpoint_every=4"]].concat();
        room.runs(&training(&out, &more));
        let mut losses = val_losses(&room, &out);
        losses.sort_by(|a, b| a.1.total_cmp(&b.1));
        let mut expected: Vec<u64> = losses.iter().take(best).map(|(step, _)| *step).collect();
        expected.extend([150, 148, 144].iter().take(last));
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(steps(&room, &out), expected, "{losses:?}");
        let sampled = room.runs(&["sample", &out]).out;
        assert!(!sampled.is_empty());
    }
}

#[test]
fn training_ends_when_nothing_is_gained() {
    let room = studio();
    let sets =
        ["train.patience=2", "train.evaluate_every=5", "train.optimizer=Adam(learning_rate: 0.3)"];
    let more: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let outcome = room.runs(&training("R", &more));
    let losses = val_losses(&room, "R");
    let best = losses.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap().0;
    assert_eq!(losses.last().unwrap().0, best + 10, "{losses:?}");
    assert!(losses.last().unwrap().0 < STEPS, "{losses:?}");
    assert!(
        outcome.out.contains("ended early: no gain in the last 2 evaluations"),
        "{}",
        outcome.out
    );
    // It has ended: there is nothing to go on with.
    room.runs(&["train", "--resume", "R"]);
    assert_eq!(val_losses(&room, "R"), losses);
}

/// With a score in the place of the loss, and a beam for it.
#[test]
fn the_best_can_be_the_highest_score() {
    let room = studio();
    let sets = [
        "train.best_by=Cider",
        "train.scores=[BLEU_4, rouge_l]",
        "train.optimizer=Adam(learning_rate: 0.02)",
        "sample=Beam(width: 2, max_length: 12)",
    ];
    let sets: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
    let outcome = room.runs(&training("R", &sets));
    let text = room.read("R/metrics.jsonl");
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let evaluations: Vec<Value> = lines.filter(|line| line.get("scores").is_some()).collect();
    assert_eq!(evaluations.len(), 10);
    let score = |line: &Value, name: &str| line["scores"][name].as_f64().expect(name);
    let mut most = f64::NEG_INFINITY;
    for line in &evaluations {
        assert!(score(line, "BLEU_4") >= 0.0 && score(line, "ROUGE_L") > 0.0, "{line}");
        assert_eq!(line["best"], score(line, "CIDEr") > most, "{line}");
        most = most.max(score(line, "CIDEr"));
    }
    assert!(most > 0.1, "{evaluations:#?}");
    assert!(
        outcome.out.contains(&format!("best CIDEr {most:.4}, after epoch ")),
        "{}",
        outcome.out
    );
    // The parameters that are used are the best ones, and `engine eval` finds their score again.
    room.runs(&["eval", "R", "--json", "scores.json"]);
    let found: Value = serde_json::from_str(&room.read("scores.json")).unwrap();
    let found = found["corpus"]["CIDEr"].as_f64().unwrap();
    assert!((found - most).abs() < 1e-12, "{found} for {most}");
    // A run that is stopped in between comes to the same.
    let mut running = room.starts(&training("S", &sets), &[]);
    assert!(running.until("iteration 50/"), "{}", running.said);
    running.signal("KILL");
    running.ends();
    room.runs(&["train", "--resume", "S"]);
    assert_eq!(differences(&left(&room, "R"), &left(&room, "S")), Vec::<&str>::new());
}

#[test]
fn a_folder_is_one_process_s() {
    let room = studio();
    let mut running = room.starts(&training("R", &["--set", "train.epochs=100000"]), &[]);
    assert!(running.until("iteration 3/"), "{}", running.said);
    let says = "R is in use by process | --out";
    let outcome = room.engine(&["train", "--resume", "R"]);
    let mut findings = vec![outcome.verdict(&["--resume"], outcome.missing(2, says))];
    let outcome = room.engine(&training("R", &[]));
    findings.push(outcome.verdict(&["--out"], outcome.missing(2, "R already holds a run | --out")));
    // Whoever reads is not in the way.
    room.runs(&["sample", "R"]);
    running.signal("KILL");
    running.ends();
    room.runs(&["train", "--resume", "R", "--epochs", "1"]);
    report(findings);
}

#[test]
fn parameters_of_another_run_begin_a_new_one() {
    let room = studio();
    room.runs(&training("A", &["--steps", "60"]));
    let begin = |out, more: &[&'static str]| -> Outcome {
        room.runs(&training(out, &[&["--init", "A", "--steps", "1"], more].concat()))
    };
    let all = begin("B", &[]).err;
    assert!(all.contains("8 of 8 parameters from A/checkpoints/step-00000060"), "{all}");
    let first = |run: &str| -> f64 {
        let text = room.read(&format!("{run}/metrics.jsonl"));
        serde_json::from_str::<Value>(text.lines().next().unwrap()).unwrap()["loss"]
            .as_f64()
            .unwrap()
    };
    assert!(first("B") < 0.99 * first("A"), "{} after {}", first("B"), first("A"));
    let cell = begin("C", &["--set", "nodes.hidden.layer=Gru(units: 16)"]).err;
    for part in [
        "5 of 8 parameters",
        "not taken hidden.wx: expected [12, 48], found [12, 64]",
        "not taken hidden.wh: expected [16, 48], found [16, 64]",
    ] {
        assert!(cell.contains(part), "{part}\n{cell}");
    }
    // Sample: best parameters; a file: those.
    let file = latest(&room, "A").parameters();
    fs::copy(file, room.path("a.safetensors")).unwrap();
    let from_file = room.runs(&training("F", &["--init", "a.safetensors", "--steps", "1"]));
    assert!(from_file.err.contains("8 of 8 parameters from a.safetensors"), "{}", from_file.raw);
    assert_eq!(first("F"), first("B"));
    report([
        room.refusal(&training("X", &["--init", "nowhere"]), "nowhere is no run"),
        room.refusal(&training("X", &["--init", "n.safetensors"]), "n.safetensors | No such file"),
        room.refusal(&["train", "--resume", "A", "--init", "A"], "--resume | --init"),
        room.refusal(&["train", "g.ron", "--resume", "A"], "--resume"),
        room.refusal(&["train", "--resume", "A", "--seed", "3"], "--resume | --seed"),
        room.refusal(&["train"], "GRAPH"),
    ]);
}

#[test]
fn a_run_goes_on_as_what_it_was_and_nothing_else() {
    let room = studio();
    room.runs(&training("A", &["--steps", "5"]));
    room.runs(&training("B", &["--steps", "5", "--set", "nodes.hidden.layer=Rnn(units: 16)"]));
    let graph = room.read("A/graph.ron");
    let resume = ["train", "--resume", "A", "--steps", "9"];
    let mut findings = Vec::new();
    for (from, to, says) in [
        ("Dropout(rate: 0.4)", "Dropout(rate: 0.5)", "of another network"),
        ("Adam(", "AdamW(", "of another update rule: expected AdamW( | found Adam("),
        ("seed: 231", "seed: 232", "of another seed: expected 232, found 231"),
        ("batch: 20", "batch: 30", "of another batch size: expected 30, found 20"),
        ("\"D\"", "\"E\"", "of another data set"),
    ] {
        if to == "\"E\"" {
            room.runs(&["data", "scenes", "E", "--train", "60", "--val", "20", "--seed", "9"]);
        }
        room.write("A/graph.ron", edited(&graph, from, to));
        let says =
            format!("A/checkpoints/step-00000005/state.json is a checkpoint {says} | --init RUN");
        findings.push(resumes_not(&room, &resume, &says));
    }
    room.write("A/graph.ron", &graph);
    // A whole checkpoint, but another network's.
    let (ours, theirs) = (latest(&room, "A"), latest(&room, "B"));
    let aside = room.path("aside");
    fs::rename(ours.path(), &aside).unwrap();
    copy_folder(theirs.path(), ours.path());
    findings.push(resumes_not(&room, &resume, "a checkpoint of another network"));
    findings.push(
        room.refusal(
            &["sample", "A"],
            "parameter `hidden. | expected [12, 64], found F32 [12, 16]",
        ),
    );
    fs::remove_dir_all(ours.path()).unwrap();
    fs::rename(aside, ours.path()).unwrap();

    let metrics = room.read("A/metrics.jsonl");
    room.write("A/metrics.jsonl", metrics.replacen("\"epoch\":1", "\"epoch\":2", 1));
    findings.push(resumes_not(
        &room,
        &resume,
        "A/metrics.jsonl is not as the checkpoint left it | SHA-256",
    ));
    room.write("A/metrics.jsonl", &metrics[..20]);
    findings.push(resumes_not(
        &room,
        &resume,
        "A/metrics.jsonl is not as the checkpoint left it | found 20",
    ));
    room.write("A/metrics.jsonl", metrics);

    let words = room.read("A/vocabulary.json");
    room.write("A/vocabulary.json", words.replace("circle", "cricle"));
    let other = "A/vocabulary.json: expected the words that the run was trained with | --data";
    findings.push(room.refusal(&["sample", "A"], other));
    room.write("A/vocabulary.json", words);

    let about = room.read("A/run.json");
    room.write("A/run.json", edited(&about, "\"format\": 1", "\"format\": 2"));
    let newer = "A/run.json: expected a run of format 1, found format 2 | newer version";
    findings.extend([resume.as_slice(), &["sample", "A"]].map(|args| room.refusal(args, newer)));
    room.write("A/run.json", "{\"format\": }");
    findings.push(room.refusal(&resume, "A/run.json is not in order | line 1 column 12"));
    room.write("A/run.json", about);
    report(findings);
    room.runs(&resume);
}

/// As a refusal, but for the lock, which says who came last.
fn resumes_not(room: &Room, args: &[&str], says: &str) -> Result<(), String> {
    let contents = || {
        let mut all = room.contents();
        all.remove(&room.path("A/lock"));
        all
    };
    let before = contents();
    let outcome = room.engine(args);
    let mut missing = outcome.missing(2, says);
    if contents() != before {
        missing.push("changes something".into());
    }
    outcome.verdict(args, missing)
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_damaged_checkpoint_is_refused_and_nothing_is_lost() {
    let room = studio();
    room.runs(&training("A", &["--steps", "20"]));
    let generation = latest(&room, "A");
    let seed = 5;
    println!("seed {seed}");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut findings = Vec::new();
    for name in ["parameters.safetensors", "optimizer.safetensors", "state.json", "SHA256SUMS"] {
        let file = generation.path().join(name);
        let whole = fs::read(&file).unwrap();
        for round in 0..6 {
            let mut bytes = whole.clone();
            match round % 2 {
                0 => bytes[rng.random_range(0..whole.len())] ^= 1 << rng.random_range(0..8),
                _ => bytes.truncate(rng.random_range(0..whole.len())),
            }
            fs::write(&file, bytes).unwrap();
            let says = "checkpoints/step-00000020 is damaged | step-00000015 is whole: move";
            findings.push(resumes_not(&room, &["train", "--resume", "A", "--steps", "25"], says));
            findings.push(room.refusal(&["sample", "A"], says));
        }
        fs::write(&file, whole).unwrap();
    }
    report(findings);
    // What the message says: without the damaged one, the run goes on from the one before, and comes to the same.
    fs::rename(generation.path(), room.path("damaged")).unwrap();
    room.runs(&["train", "--resume", "A"]);
    let again = latest(&room, "A");
    assert_eq!(again.step, 20);
    let parameters =
        |folder: &std::path::Path| fs::read(folder.join("parameters.safetensors")).unwrap();
    assert!(parameters(again.path()) == parameters(&room.path("damaged")));
}
