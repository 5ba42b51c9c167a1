//! Texts as data: a network that learns to go on with one, one that reads labels, and what is wrong with their files.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use front_door::{Room, edited, report};

const LANGUAGE: &str = r#"Graph(
    inputs: {"words_in": [Batch, Time], "words_out": [Batch, Time]},
    nodes: [
        (name: "vectors", layer: Embedding(units: 12), from: ["words_in"]),
        (name: "hidden", layer: Lstm(units: 32), from: ["vectors"]),
        (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
        (name: "loss", layer: SoftmaxLoss(per: Token), from: ["scores", "words_out"]),
    ],
    data: Text(dir: "D", file: "t.txt", chunk: 12),
    train: (order: Streams, batch: 4, epochs: 12, optimizer: Adam(learning_rate: 0.03), print_every: 50),
    sample: Greedy(max_length: 19),
)"#;

/// A network that guesses labels from what it carries alone.
const LABELLED: &str = r#"Graph(
    inputs: {"state": [Batch, 4], "labels": [Batch]},
    nodes: [
        (name: "mapped", layer: Projection(units: 4), from: ["state"]),
        (name: "end", layer: Tanh(), from: ["mapped"]),
        (name: "guesses", layer: Projection(units: Classes), from: ["end"]),
        (name: "loss", layer: SoftmaxLoss(ignore: None), from: ["guesses", "labels"]),
    ],
    carry: {"state": "end"},
    data: Labelled(dir: "D", file: "t.tsv"),
    train: (order: Streams, batch: 5, epochs: 2),
)"#;

fn room() -> Room {
    let room = Room::new();
    std::fs::create_dir(room.path("D")).unwrap();
    room.write("g.ron", LANGUAGE);
    room.write("c.ron", LABELLED);
    room.write("D/t.txt", "one two three four\n".repeat(60));
    room.write("D/t.tsv", "up\tgo up now\ndown\tcome down\n".repeat(20));
    room
}

#[test]
fn a_network_learns_a_text_and_goes_on_with_it() {
    let room = room();
    let trained = room.runs(&["train", "g.ron", "--out", "R"]);
    for part in ["85 pieces of text, 15 words", "epoch 12: loss ", " nats (best)", " pieces/s"] {
        assert!(trained.raw.contains(part), "{part}\n{}", trained.raw);
    }
    assert!(
        trained.out.contains("A text that the network writes:\n\none two three"),
        "{}",
        trained.out
    );
    assert!(trained.out.contains("more text: engine sample R"), "{}", trained.out);
    let sampled = |args: &[&str]| room.runs(&[&["sample", "R"], args].concat()).out;
    assert_eq!(sampled(&["--text", "two th"]), "two three four\none two t\n");
    assert_eq!(sampled(&[]), "\none two three four\n");
    let several = sampled(&["--text", "one", "--count", "2", "--decode", "Sample(max_length: 9)"]);
    assert!(several.starts_with("--- 1 of 2: ln p "), "{several}");
    assert_eq!(several.matches("\none ").count(), 2, "{several}");
    let beam = sampled(&["--text", "fo", "--decode", "Beam(width: 3, max_length: 4)"]);
    assert_eq!(beam, "four\n\n");
    let likely =
        sampled(&["--text", "fou", "--decode", "Greedy(max_length: 2)", "--probabilities"]);
    assert!(likely.starts_with("four\n  r "), "{likely}");
    room.runs(&["report", "R"]);
    room.runs(&["bench", "g.ron", "--steps", "2"]);
}

#[test]
fn a_run_stops_and_goes_on() {
    let room = room();
    room.runs(&["train", "g.ron", "--out", "whole"]);
    room.runs(&["train", "g.ron", "--out", "R", "--steps", "30"]);
    room.runs(&["train", "--resume", "R", "--steps", "252"]);
    let parameters = |run: &str| {
        let run = engine::RunFolder::open(&room.path(run)).unwrap();
        let latest = run.checkpoints().latest().unwrap();
        (latest.step, std::fs::read(latest.parameters()).unwrap())
    };
    assert_eq!(parameters("R"), parameters("whole"));
}

#[test]
fn labelled_texts_train() {
    let room = room();
    let trained = room.runs(&["train", "c.ron", "--out", "R"]);
    assert!(trained.raw.contains("36 pieces of text, 9 words"), "{}", trained.raw);
    assert!(trained.raw.contains("epoch 2: "), "{}", trained.raw);
    assert!(!trained.out.contains("engine sample"), "{}", trained.out);
}

#[test]
fn the_default_set_has_texts() {
    let room = room();
    room.runs(&["data", "scenes", "S", "--train", "40", "--val", "10"]);
    let set = ["--data", "S", "--set", "data.file=\"captions.txt\"", "--epochs", "1", "--out", "R"];
    room.runs(&[&["train", "g.ron"], set.as_slice()].concat());
    let set = ["--data", "S", "--set", "data.file=\"labelled.tsv\"", "--epochs", "1", "--out", "C"];
    room.runs(&[&["train", "c.ron"], set.as_slice()].concat());
    let graph = edited(front_door::GRAPH, "pca_features: false", "pca_features: false, grid: true");
    room.write("grid.ron", graph);
    let shown = room.runs(&["check", "grid.ron", "--data", "S"]).out;
    assert!(shown.contains("Regions = 16") && shown.contains("Channels = 21"), "{shown}");
    std::fs::remove_file(room.path("S/train2014_grid.h5")).unwrap();
    let says = "train2014_grid.h5` is missing | `grid: true` | `engine data scenes S`";
    room.refuses(&["train", "grid.ron", "--data", "S"], says);
    std::fs::remove_file(room.path("S/captions.txt")).unwrap();
    let says = "captions.txt` is missing (the text) | `engine data scenes S`";
    let set = ["--data", "S", "--set", "data.file=\"captions.txt\""];
    room.refuses(&[&["train", "g.ron"], set.as_slice()].concat(), says);
}

#[test]
fn what_is_wrong_with_a_text_is_said() {
    let room = room();
    room.write("D/empty.txt", "");
    room.write("D/short.txt", "too short");
    room.write("D/few.txt", "long enough to be cut into chunks, though".repeat(3));
    room.write("D/latin1.txt", b"caf\xe9\n");
    let train = |file: &str, says: &str| {
        let set = format!("data.file={file:?}");
        room.refusal(&["train", "g.ron", "--set", &set], says)
    };
    report([
        train("none.txt", "none.txt` is missing (the text) | the folder holds | `t.txt`"),
        train(
            "empty.txt",
            "empty.txt` has 0 characters for training, expected at least 13 | `chunk`",
        ),
        train("short.txt", "short.txt` has 9 characters for training | a smaller `chunk`"),
        train("few.txt", "few.txt` has 12 characters for validation | `validation`"),
        train("latin1.txt", "latin1.txt`, line 1: byte 3 is not UTF-8 | save the file as UTF-8"),
        room.refusal(
            &["train", "g.ron", "--batch", "86"],
            "the data has 85 captions or chunks | a batch's 86 rows | at most 85",
        ),
        room.refusal(&["train", "g.ron", "--data", "E"], "there is no folder `E`"),
        room.refusal(
            &["train", "g.ron", "--set", "data.validation=1.5"],
            "expected a number from 0 to below 1",
        ),
        room.refusal(
            &["train", "g.ron", "--set", "train.best_by=CIDEr"],
            "captions of images, and the data has none",
        ),
    ]);
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let room = room();
    room.write("D/empty.tsv", "\n\n");
    room.write("D/one.tsv", "up\tgo up\n".repeat(20));
    room.write("D/untabbed.tsv", "up\tgo up\ndown come down\n");
    room.write("D/wordless.tsv", "up\tgo up\ndown\t\n");
    room.write("D/latin1.tsv", b"up\tgo\nd\xf6wn\tcome\n");
    let train = |file: &str, says: &str| {
        let set = format!("data.file={file:?}");
        room.refusal(&["train", "c.ron", "--set", &set], says)
    };
    report([
        train("none.tsv", "none.tsv` is missing | `t.tsv`"),
        train("empty.tsv", "empty.tsv` holds no labelled text | `label<TAB>text`"),
        train("one.tsv", "one.tsv` has one label, `up` | two different labels"),
        train("untabbed.tsv", "untabbed.tsv`, line 2: | no tab in \"down come down\""),
        train("wordless.tsv", "wordless.tsv`, line 2: expected a text after the tab"),
        train("latin1.tsv", "latin1.tsv`, line 2: byte 7 is not UTF-8"),
    ]);
}

#[test]
fn what_cannot_be_gone_on_with_is_said() {
    let room = room();
    room.runs(&["train", "g.ron", "--out", "R", "--epochs", "1"]);
    room.runs(&["data", "scenes", "S", "--train", "12", "--val", "4"]);
    room.write("p.ron", front_door::GRAPH);
    let pictures = ["train", "p.ron", "--data", "S", "--out", "P", "--steps", "1", "--batch", "4"];
    room.runs(&[&pictures, front_door::SMALL.as_slice()].concat());
    report([
        room.refusal(&["sample", "R", "--text", ""], "the prompt is empty | leave --text out"),
        room.refusal(&["sample", "R", "--text", "six"], "the prompt has \"s\" | vocabulary.json"),
        room.refusal(
            &["sample", "P", "--text", "a red"],
            "the network writes about the input `features` | leave --text out",
        ),
        room.refusal(&["eval", "R"], "engine eval writes captions of images | --text"),
        room.refusal(&["bench", "R", "--sample", "3"], "--sample writes captions of images"),
    ]);
}
