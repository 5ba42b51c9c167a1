//! Whatever is wrong with a graph, an argument, the data or a run: exit code 2, a message that says where it is, what
//! was expected, what was found and the nearest valid name, no panic, and nothing left behind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use engine_core::graph::PASSES;
use front_door::data::{Data, Other, replace};
use front_door::{GRAPH, Room, edited, report};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

#[test]
fn broken_text() {
    reports_each(include_str!("bad_input/broken.txt"));
}

#[test]
fn unknown_names() {
    reports_each(include_str!("bad_input/unknown.txt"));
}

#[test]
fn wrong_values() {
    reports_each(include_str!("bad_input/values.txt"));
}

#[test]
fn wrong_wiring() {
    reports_each(include_str!("bad_input/wiring.txt"));
}

/// Each mistake alone, found by `check` and by `train`. See `bad_input/README.md`.
fn reports_each(mistakes: &str) {
    let room = Room::furnished();
    report(mistakes.trim().split("\n\n").flat_map(|mistake| {
        let mut lines = mistake.lines().map(|line| line.split_at(2));
        let ((_, from), (_, to)) = (lines.next().unwrap(), lines.next().unwrap());
        let marked = edited(GRAPH, from, to);
        let text = marked.replace(['«', '»'], "");
        let mut places = marked.find('«').map(|start| {
            let end = marked.find('»').unwrap() - '«'.len_utf8();
            places(&text, start..end)
        });
        let mut says = "";
        for (sign, content) in lines {
            match sign {
                "@ " => places = Some(places_of(&text, content)),
                "! " => says = content,
                _ => panic!("{sign:?} in\n{mistake}"),
            }
        }
        room.write("g.ron", &text);
        let places = places.unwrap_or_default();
        ["check", "train"]
            .map(|command| room.refusal_at(&[command, "g.ron", "--data", "D"], &places, says))
    }));
}

fn places_of(text: &str, part: &str) -> Vec<String> {
    let start = text.find(part).unwrap_or_else(|| panic!("{part:?} is in the text"));
    places(text, start..start + part.len())
}

/// `[g.ron:line:column]` of each character of a stretch of the text.
fn places(text: &str, stretch: Range<usize>) -> Vec<String> {
    let place = |at: usize| {
        let line = text[..at].matches('\n').count() + 1;
        let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("[g.ron:{line}:{column}]")
    };
    text[stretch.clone()].char_indices().map(|(at, _)| place(stretch.start + at)).collect()
}

#[test]
fn files_that_are_no_graph() {
    let room = Room::furnished();
    fs::create_dir(room.path("folder.ron")).unwrap();
    let not_utf8 = [b"Graph(\n  // ".as_slice(), b"\xff\xfe", b"\n)"].concat();
    let files: [(&str, &[u8], &str); 7] = [
        ("empty.ron", b"", "empty.ron | end of RON"),
        ("blank.ron", b"// only a comment\n", "[blank.ron:1: | end of RON"),
        ("garbage.ron", b"what is this?\n", "[garbage.ron:1:"),
        ("binary.ron", &not_utf8, "binary.ron:2:6 | UTF-8"),
        ("zeros.ron", &[0; 64], "[zeros.ron:1:1]"),
        (
            "other.ron",
            b"Graph(data: CocoHdf5(dir: \"D\"))",
            "no section `inputs` | no section `nodes`",
        ),
        ("folder.ron", b"", "cannot read folder.ron | directory"),
    ];
    let mut findings = Vec::new();
    for (name, content, says) in files {
        if name != "folder.ron" {
            room.write(name, content);
        }
        findings.extend(["check", "train"].map(|command| room.refusal(&[command, name], says)));
    }
    for command in ["check", "train"] {
        findings.push(room.refusal(&[command, "grap.ron"], "cannot read grap.ron | No such file"));
    }
    report(findings);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let room = Room::furnished();
    let files: [(&[(&str, &str)], &str); 3] = [
        (
            &[
                ("Lstm(units: 512)", "Lstmm(units: 512)"),
                ("Embedding(units", "Embedding(unitz"),
                ("sample: Greedy", "sampl: Greedy"),
                ("Adam(learning", "Adm(learning"),
                ("CocoHdf5(", "CocoHdf("),
                ("name: \"loss\"", "nam: \"loss\""),
            ],
            "`Lstmm` | `unitz` | `sampl` | `Adm` | `CocoHdf` | `nam` | the field `name` is missing",
        ),
        (
            &[
                ("Projection(units: 512)", "Projection(units: 256)"),
                ("from: [\"hidden\"]", "from: [\"hiden\"]"),
                ("Vocabulary)", "Vocabluary)"),
                ("\"words_out\"]", "\"words_ot\"]"),
            ],
            "expects [Batch, 512], found [Batch, 256] | `hiden` | `Vocabluary` | `words_ot`",
        ),
        (
            &[
                ("Lstm(units: 512)", "Lstmm(units: 512)"),
                ("from: [\"hidden\"]", "from: [\"hiden\"]"),
                ("batch: 100", "batch: 0"),
                ("epochs: 5", "epochs: 0"),
            ],
            "`Lstmm` | `hiden` | `batch` | `epochs`",
        ),
    ];
    report(files.iter().flat_map(|(edits, says)| {
        room.write("g.ron", all_edits(edits));
        ["check", "train"].map(|command| room.refusal(&[command, "g.ron", "--data", "D"], says))
    }));
    room.write("fine.ron", GRAPH);
    room.write("h.ron", edited(GRAPH, "Lstm(units: 512)", "Lstmm(units: 512)"));
    room.write("i.ron", edited(GRAPH, "CocoHdf5(", "CocoHdf("));
    room.refuses(&["check", "h.ron", "fine.ron", "i.ron"], "[h.ron:12:33] | [i.ron:16:11]");
}

#[test]
fn unused_nodes_are_a_warning() {
    let room = Room::furnished();
    let extra =
        "from: [\"features\"]),\n        (name: \"extra\", layer: Relu(), from: [\"words\"]),";
    room.write("g.ron", edited(GRAPH, "from: [\"features\"]),", extra));
    let commands: [&[&str]; 3] = [
        &["check", "g.ron"],
        &["check", "g.ron", "--data", "D"],
        &["train", "g.ron", "--data", "D", "--steps", "1"],
    ];
    report(commands.map(|args| {
        let outcome = room.engine(args);
        let missing = outcome.missing(0, "node `extra` is not used | [g.ron:11:16]");
        outcome.verdict(args, missing)
    }));
}

#[test]
fn wrong_arguments() {
    let room = Room::furnished();
    let train = |more: &[&'static str]| [&["train", "g.ron", "--data", "D"], more].concat();
    let set = |value| train(&["--set", value]);
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (set("train.epochs"), "'train.epochs' | expected PATH=VALUE"),
        (set("=3"), "'=3' | expected PATH=VALUE"),
        (
            set("nodes.hiden.layer=Relu()"),
            "nodes.hiden.layer | no `hiden` | did you mean `hidden`?",
        ),
        (set("nodes.hidden.layr=Relu()"), "nodes.hidden.layr | `layr` | did you mean `layer`?"),
        (set("tran.epochs=3"), "--set tran.epochs | `tran` | did you mean `train`?"),
        (set("train.epoch=3"), "--set train.epoch | `epoch` | did you mean `epochs`?"),
        (set("nodes.hidden.layer=Lstm("), "--set nodes.hidden.layer=Lstm( | end of RON"),
        (
            set("nodes.hidden.layer=Lstmm(units: 5)"),
            "[--set nodes.hidden.layer:1:1] | node `hidden` | `Lstmm` | did you mean `Lstm`?",
        ),
        (
            set("nodes.hidden.layer=Lstm(unitz: 5)"),
            "[--set nodes.hidden.layer:1:6] | node `hidden` | `unitz` | did you mean `units`?",
        ),
        (
            set("nodes.hidden.layer.units=5"),
            "node `hidden` | port `h0` expects [Batch, 5], found [Batch, 512]",
        ),
        (
            set("train.optimizer=Adm()"),
            "[--set train.optimizer:1:1] | `Adm` | did you mean `Adam`?",
        ),
        (set("train.epochs.more=3"), "--set train.epochs.more=3 | `5` has no fields"),
        (set("train..epochs=3"), "train..epochs | empty part"),
        (
            set("nodes.words.layer.units=268435456"),
            "parameters, expected at most 2147483648 | largest is",
        ),
        (set("train.seed=-1"), "[--set train.seed:1:1] | field `seed` | found `-1`"),
        (set("train.batch=0"), "[--set train.batch:1:1] | at least 1 | found `0`"),
        (set("train.batch=\"many\""), "[--set train.batch:1:1] | xpected | found `\"many\"`"),
        (
            train(&["--set", "nodes.x.layer=1", "--set", "train.epochs.more=1"]),
            "no `x` | no `more`",
        ),
        (train(&["--epochs", "x"]), "'x' | --epochs"),
        (train(&["--epochs", "0"]), "epochs | at least 1 | found `0`"),
        (train(&["--steps", "0"]), "steps | at least 1 | found `0`"),
        (train(&["--batch", "0"]), "batch | at least 1 | found `0`"),
        (train(&["--batch", "-1"]), "-1"),
        (train(&["--threads", "0"]), "--threads | 1..=1024"),
        (train(&["--seed", "1.5"]), "--seed | 1.5"),
        (train(&["--epoch", "1"]), "--epoch | '--epochs'"),
        (vec!["trian", "g.ron"], "'trian' | 'train'"),
        (vec!["train"], "<GRAPH>"),
        (vec![], "Usage: engine"),
        (vec!["check"], "<GRAPH> | Usage: engine check"),
        (vec!["check", "--without", "padding"], "<GRAPH> | Usage: engine check"),
        (vec!["layers", "Lstmm"], "no layer `Lstmm` | did you mean `Lstm`?"),
        (vec!["layers", "CocoHdf"], "`CocoHdf` | did you mean `CocoHdf5`?"),
        (vec!["data", "scenes", "D"], "folder `D` exists | another folder"),
        (vec!["data", "scenes", "E", "--train", "0"], "`train: 0`"),
        (vec!["data", "scenes", "g.ron/E", "--train", "9", "--val", "9"], "g.ron/E"),
    ];
    report(cases.iter().map(|(args, says)| room.refusal(args, says)));
}

#[test]
fn unknown_rewrites() {
    let room = Room::furnished();
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1"]);
    let names: Vec<&str> = PASSES.iter().map(|pass| pass.name).collect();
    let says = format!("no pass `paddin` | did you mean `padding`? | One of: {}", names.join(", "));
    let commands: [&[&str]; 6] = [
        &["train", "g.ron", "--data", "D"],
        &["bench", "g.ron", "--data", "D"],
        &["sample", "g.ron"],
        &["check", "g.ron"],
        &["check", "--passes"],
        &["check", "--passes", "g.ron", "--without", "hoist"],
    ];
    report(commands.iter().flat_map(|command| {
        let slip = [command, ["--without", "paddin"].as_slice()].concat();
        let stranger = [command, ["--without", "Lstm"].as_slice()].concat();
        let one_of = format!("no pass `Lstm` | one of: {}", names.join(", "));
        [room.refusal(&slip, &says), room.refusal(&stranger, &one_of)]
    }));
}

/// The file has good values there, so no line of it is at fault.
#[test]
fn wrong_arguments_are_not_blamed_on_the_file() {
    let room = Room::furnished();
    let cases = [["--epochs", "0"], ["--batch", "0"], ["--set", "train.batch=\"many\""]];
    report(cases.map(|[option, value]| {
        let args = ["train", "g.ron", "--data", "D", option, value];
        let outcome = room.engine(&args);
        let mut missing = outcome.missing(2, "");
        if outcome.err.contains("[g.ron:") {
            missing.push("points into the file".to_owned());
        }
        outcome.verdict(&args, missing)
    }));
}

/// Damage to a good data set, and what the refusal must say.
type Damage = (fn(&mut Data), fn(&Path), &'static str);

const CAPTIONS: &str = "coco2014_captions.h5";
const VOCABULARY: &str = "coco2014_vocab.json";
const TRAIN: &str = "train2014_vgg16_fc7.h5";
const VAL: &str = "val2014_vgg16_fc7.h5";

fn same(_: &mut Data) {}
fn keep(_: &Path) {}

const DAMAGES: &[Damage] = &[
    (
        same,
        |d| fs::remove_file(d.join(CAPTIONS)).unwrap(),
        "`D/coco2014_captions.h5` is missing | captions | `coco2014_vocab.json`",
    ),
    (
        same,
        |d| fs::remove_file(d.join(VOCABULARY)).unwrap(),
        "`D/coco2014_vocab.json` is missing | the vocabulary",
    ),
    (
        same,
        |d| fs::remove_file(d.join(TRAIN)).unwrap(),
        "`D/train2014_vgg16_fc7 | is missing | training images",
    ),
    (
        same,
        |d| fs::remove_file(d.join(VAL)).unwrap(),
        "`D/val2014_vgg16_fc7 | is missing | validation images",
    ),
    (
        same,
        |d| fs::write(d.join(CAPTIONS), "image,caption\n").unwrap(),
        "`D/coco2014_captions.h5` cannot be read as HDF5 | begins with \"image,caption",
    ),
    (
        same,
        |d| fs::write(d.join(TRAIN), "version https://git-lfs.github.com/spec/v1\n").unwrap(),
        "D/train2014_vgg16_fc7.h5 | Git LFS pointer | git lfs pull",
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "val_captions", &Other::Nothing),
        "`D/coco2014_captions.h5` has no data set `val_captions` | `train_captions`",
    ),
    (
        same,
        |d| replace(&d.join(VAL), "features", &Other::Nothing),
        "`D/val2014_vgg16_fc7.h5` has no data set `features`",
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_captions", &Other::Integers1(8)),
        "`train_captions` in `D/coco2014_captions.h5` | [captions, T] | has [8]",
    ),
    (
        same,
        |d| replace(&d.join(TRAIN), "features", &Other::Numbers1(4)),
        "`features` in `D/train2014_vgg16_fc7.h5` | [images, width] | has [4]",
    ),
    (
        same,
        |d| replace(&d.join(TRAIN), "features", &Other::Numbers3([4, 3, 2])),
        "`features` in `D/train2014_vgg16_fc7.h5` | [images, width] | has [4, 3, 2]",
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_captions", &Other::Words),
        "`train_captions` in `D/coco2014_captions.h5` | should hold integers | unicode",
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_image_idxs", &Other::Numbers1(8)),
        "`train_image_idxs` | should hold integers | float32",
    ),
    (
        same,
        |d| replace(&d.join(VAL), "features", &Other::Integers1(6)),
        "`features` in `D/val2014_vgg16_fc7.h5` | floating-point numbers | int32",
    ),
    (
        |d| d.captions[0][[5, 2]] = 4000,
        keep,
        "`train_captions` in `D/coco2014_captions.h5`, row 5, column 2: token 4000 | 6 words",
    ),
    (|d| d.captions[1][[3, 1]] = -1, keep, "`val_captions` | row 3, column 1: token -1"),
    (|d| d.words.truncate(5), keep, "`train_captions` | row 1, column 2: token 5 | 5 words"),
    (
        |d| d.image_idxs[0][6] = 4,
        keep,
        "`train_image_idxs` in `D/coco2014_captions.h5`, row 6: image 4 | holds 4 images",
    ),
    (|d| d.image_idxs[1][2] = -1, keep, "`val_image_idxs` | row 2: image -1 | holds 2 images"),
    (|d| d.image_idxs[0].truncate(7), keep, "8 train captions | 7 image numbers"),
    (|d| d.image_idxs[1].push(0), keep, "4 val captions | 5 image numbers"),
    (|d| d.words[2] = "END", keep, "vocabulary `D/coco2014_vocab.json` has no word `<END>`"),
    (|d| d.words[5] = "a", keep, "D/coco2014_vocab.json | the word `a` twice, at 4 and at 5"),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "{\"idx_to_word\":\n [\"<NULL>\",, \"a\"]}").unwrap(),
        "`D/coco2014_vocab.json`, line 2, column 12",
    ),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "").unwrap(),
        "`D/coco2014_vocab.json`, line 1, column 0",
    ),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "{\"words\": []}").unwrap(),
        "`D/coco2014_vocab.json` | `idx_to_word`",
    ),
    (
        |d| d.features[0][[2, 1]] = f32::NAN,
        keep,
        "`features` in `D/train2014_vgg16_fc7.h5`, row 2, column 1: NaN",
    ),
    (
        |d| d.features[1][[1, 0]] = f32::INFINITY,
        keep,
        "`features` in `D/val2014_vgg16_fc7.h5`, row 1, column 0: inf",
    ),
    (
        |d| d.features[1] = ndarray::Array2::zeros((2, 5)),
        keep,
        "differ in width | 3 in `D/train2014_vgg16_fc7.h5`, 5 in `D/val2014_vgg16_fc7.h5`",
    ),
    (
        |d| d.features[1] = ndarray::Array2::zeros((0, 3)),
        keep,
        "`features` in `D/val2014_vgg16_fc7.h5` is empty | [0, 3]",
    ),
    (
        |d| {
            d.captions[1] = ndarray::Array2::zeros((0, 4));
            d.image_idxs[1].clear();
        },
        keep,
        "`val_captions` in `D/coco2014_captions.h5` is empty | [0, 4]",
    ),
    (
        |d| d.captions[0] = ndarray::Array2::ones((8, 1)),
        keep,
        "`train_captions` | T at least 2 | [8, 1]",
    ),
];

#[test]
fn damaged_data() {
    let graph = Room::furnished();
    report(DAMAGES.iter().flat_map(|(change, damage, says)| {
        let room = Room::new();
        room.write("g.ron", graph.read("g.ron"));
        let mut data = Data::small();
        change(&mut data);
        data.write(&room.path("D"));
        damage(&room.path("D"));
        let train = room.refusal(&["train", "g.ron", "--data", "D"], says);
        [train, room.refusal(&["data", "info", "D"], says)]
    }));
}

#[test]
fn data_in_the_wrong_place() {
    let room = Room::furnished();
    let train = |dir| ["train", "g.ron", "--data", dir];
    report([
        room.refusal(&train("nowhere"), "no folder `nowhere` | engine data scenes nowhere"),
        room.refusal(&train("g.ron"), "`g.ron` is not a folder"),
        room.refusal(&["data", "info", "DD"], "no folder `DD` | engine data scenes DD"),
    ]);
    let pca = Room::furnished();
    fs::remove_dir_all(pca.path("D")).unwrap();
    Data { pca: true, ..Data::small() }.write(&pca.path("D"));
    let says = "`D/train2014_vgg16_fc7.h5` is missing | write `pca_features: true`";
    report(["train", "check"].map(|command| pca.refusal(&[command, "g.ron", "--data", "D"], says)));
}

#[test]
fn files_cut_short() {
    let room = Room::furnished();
    let mut findings = Vec::new();
    for name in [CAPTIONS, TRAIN, VAL] {
        let path = room.path("D").join(name);
        let whole = fs::read(&path).unwrap();
        for length in [0, 1, 7, 8, 100, 512, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            let says = format!("`D/{name}` cannot be read as HDF5 | again");
            findings.push(room.refusal(&["train", "g.ron", "--data", "D"], &says));
            findings.push(room.refusal(&["data", "info", "D"], &says));
        }
        fs::write(&path, &whole).unwrap();
    }
    report(findings);
}

/// Where training leaves the numbers it stops, says where, and leaves the last parameters that were finite.
#[test]
fn numbers_that_are_not_finite() {
    type Case = (fn(&mut Data), &'static str, &'static str);
    let cases: [Case; 4] = [
        (
            |d| d.features[0].fill(3e38),
            "train.seed=1",
            "the loss of iteration 1 | `h0` is the first node",
        ),
        (
            |d| d.features[1].fill(3e38),
            "train.seed=1",
            "the validation loss | `h0` is the first node",
        ),
        (
            same,
            "train.optimizer=Sgd(learning_rate: 1e38)",
            "iteration | is the first node | learning rate",
        ),
        (
            same,
            "train.optimizer=Adam(learning_rate: 1e39)",
            "iteration | is the first node | learning rate",
        ),
    ];
    report(cases.map(|(change, set, says)| {
        let room = Room::new();
        room.write("g.ron", GRAPH);
        let mut data = Data::small();
        change(&mut data);
        data.write(&room.path("D"));
        let args = [
            "train",
            "g.ron",
            "--data",
            "D",
            "--batch",
            "4",
            "--set",
            set,
            "--set",
            "train.clip_norm=None",
            "--out",
            "R",
        ];
        let outcome = room.engine(&args);
        let mut missing = outcome.missing(2, says);
        missing.extend(
            outcome.missing(2, "not finite | last good parameters are in R/checkpoints/step-0000"),
        );
        for generation in fs::read_dir(room.path("R/checkpoints")).unwrap() {
            let parameters = generation.unwrap().path().join("parameters.safetensors");
            missing.extend(parameters_fault(&parameters));
        }
        outcome.verdict(&args, missing)
    }));
}

/// What keeps a checkpoint from holding parameters that are all finite.
fn parameters_fault(path: &Path) -> Option<String> {
    let Ok(bytes) = fs::read(path) else { return Some(format!("no {}", path.display())) };
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let finite =
        |bytes: &[u8]| bytes.as_chunks().0.iter().all(|b| f32::from_le_bytes(*b).is_finite());
    let bad = tensors.tensors().into_iter().find(|(_, tensor)| !finite(tensor.data()));
    bad.map(|(name, _)| format!("{name} in {} is not finite", path.display()))
}

/// An output folder that cannot be is found before training, which here would take hours.
#[test]
fn output_folders_that_cannot_be() {
    let room = Room::furnished();
    let long = ["train", "g.ron", "--data", "D", "--epochs", "1000000000"];
    let with = |more: &[&'static str]| [&long, more].concat();
    let mut findings = vec![
        room.refusal(&with(&["--out", "g.ron/run"]), "g.ron/run | --out"),
        room.refusal(&with(&["--out", "g.ron"]), "g.ron | --out"),
        room.refusal(&with(&["--out", "/proc/run"]), "/proc/run | --out"),
    ];
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1", "--out", "R"]);
    findings.push(room.refusal(&with(&["--out", "R"]), "R already holds a run | --out"));
    room.write("runs", "no folder");
    findings.push(room.refusal(&long, "runs | --out"));
    let took = room.engine(&with(&["--out", "g.ron/run"])).took;
    assert!(took < Duration::from_secs(5), "took {took:?}");
    report(findings);
}

/// Inputs that the graph and the data see differently, found before there is a run folder.
#[test]
fn data_that_does_not_fit_the_graph() {
    const FEATURES: &str = "\"features\": [Batch, Features]";
    const H0: &str = "Projection(units: 512),            from: [\"features\"]";
    const WORDS: &str = "from: [\"words_in\"]";
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&[(FEATURES, "\"features\": [Batch, 7]")], "`features` | [Batch, 7] | 3"),
        (&[("Embedding(units: 256)", "Embedding(units: 256, vocabulary: 5)")], "`words_in` | 5"),
        (
            &[
                ("\"words_in\": [Batch, Time]", "\"words_in\": [Batch, Features]"),
                (WORDS, "from: [\"words_out\"]"),
                (H0, "Projection(units: 512), from: [\"words_in\"]"),
            ],
            "`words_in` | numbers | vocabulary indices",
        ),
        (
            &[
                (FEATURES, "\"features\": [Batch, Time]"),
                (H0, "Relu(), from: [\"words\"]"),
                (WORDS, "from: [\"features\"]"),
                ("[\"words\", \"h0\"]", "[\"words\"]"),
            ],
            "`features` | numbers | vocabulary indices",
        ),
    ];
    report(cases.iter().map(|(edits, says)| {
        let room = Room::furnished();
        room.write("g.ron", all_edits(edits));
        room.refusal(&["train", "g.ron", "--data", "D", "--out", "R"], says)
    }));
}

/// The shipped graph with several changes.
fn all_edits(edits: &[(&str, &str)]) -> String {
    edits.iter().fold(GRAPH.to_owned(), |text, (from, to)| edited(&text, from, to))
}

#[test]
fn runs_that_cannot_be_sampled() {
    let room = Room::furnished();
    room.refuses(&["sample", "g.ron"], "g.ron has no run | engine train g.ron");
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1"]);
    let run = "runs/g-1";
    let graph = format!("{run}/graph.ron");
    let best = format!("{run}/checkpoints/step-00000001/parameters.safetensors");
    let (text, whole) = (room.read(&graph), fs::read(room.path(&best)).unwrap());
    room.runs(&["sample", run]);
    let mut findings = vec![
        room.refusal(&["sample", "D"], "D is no run | graph.ron"),
        room.refusal(&["sample", "runs/g-2"], "runs/g-2 | runs/g-1"),
        room.refusal(&["sample", run, "--split", "test"], "`test` | `train` or `val`"),
        room.refusal(&["sample", run, "--count", "x"], "--count | 'x'"),
        room.refusal(&["sample", run, "--data", "nowhere"], "no folder `nowhere`"),
    ];
    for length in [0, 7, 8, 50, whole.len() / 2, whole.len() - 1] {
        room.write(&best, &whole[..length]);
        let says = "checkpoints/step-00000001 is damaged | parameters.safetensors | move";
        findings.push(room.refusal(&["sample", run], says));
    }
    room.write(&best, &whole);
    room.write(
        &graph,
        edited(
            &edited(&text, "Lstm(units: 512)", "Lstm(units: 5)"),
            "Projection(units: 512)",
            "Projection(units: 5)",
        ),
    );
    findings.push(room.refusal(
        &["sample", run],
        &format!("{best} | parameter `h0.w` | expected [3, 5] | [3, 512]"),
    ));
    room.write(
        &graph,
        edited(
            &edited(&text, "name: \"hidden\"", "name: \"hiden\""),
            "from: [\"hidden\"]",
            "from: [\"hiden\"]",
        ),
    );
    findings.push(
        room.refusal(&["sample", run], &format!("{best} | `hidden. | the nearest is `hiden.")),
    );
    room.write(&graph, edited(&text, "Lstm(units: 512)", "Lstmm(units: 512)"));
    findings
        .push(room.refusal(&["sample", run], "[runs/g-1/graph.ron:12:33] | did you mean `Lstm`?"));
    room.write(&graph, &text[..text.len() / 2]);
    findings.push(room.refusal(&["sample", run], "[runs/g-1/graph.ron:"));
    room.write(&graph, &text);
    fs::remove_file(room.path(&best)).unwrap();
    findings
        .push(room.refusal(&["sample", run], "cannot read parameters.safetensors: No such file"));
    fs::remove_dir_all(room.path(run).join("checkpoints")).unwrap();
    findings.push(room.refusal(&["sample", run], "no checkpoint in runs/g-1/checkpoints"));
    fs::remove_file(room.path(&graph)).unwrap();
    findings.push(room.refusal(&["sample", run], "runs/g-1 | no graph.ron"));
    findings.push(room.refusal(&["sample", "g.ron"], "runs/g-1 | no graph.ron"));
    report(findings);
}

/// The graph that this project ships.
const CAPTION_LSTM: &str = include_str!("../graphs/caption_lstm.ron");

/// The seed of all random damage.
const SEED: u64 = 231;

/// Neither 0 nor 2, or a panic.
fn crash(room: &Room, args: &[&str], what: &str) -> Result<(), String> {
    let outcome = room.engine(args);
    let code = if outcome.code == Some(0) { 0 } else { 2 };
    let missing = outcome.missing(code, "");
    outcome.verdict(args, missing).map_err(|complaint| format!("{what}: {complaint}"))
}

#[test]
fn no_edit_of_a_graph_panics() {
    let room = Room::new();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    println!("seed {SEED}");
    let body = CAPTION_LSTM.find("Graph(").unwrap();
    let lines: Vec<&str> = CAPTION_LSTM.split_inclusive('\n').collect();
    let without_line =
        (0..lines.len()).map(|at| [&lines[..at], &lines[at + 1..]].concat().concat());
    let cut = |from: usize, to: usize| [&CAPTION_LSTM[..from], &CAPTION_LSTM[to..]].concat();
    let without_token = tokens(CAPTION_LSTM, body).into_iter().map(|(from, to)| cut(from, to));
    let odd: Vec<char> = "()[]{}\",:.-0x_#/*'é∞\0\n".chars().collect();
    let random = (0..150).map(|_| {
        let at = rng.random_range(body..CAPTION_LSTM.len());
        let new = odd[rng.random_range(0..odd.len())];
        let end = at + rng.random_range(0..2);
        [&CAPTION_LSTM[..at], &new.to_string(), &CAPTION_LSTM[end.min(CAPTION_LSTM.len())..]]
            .concat()
    });
    report(without_line.chain(without_token).chain(random).map(|text| {
        room.write("g.ron", &text);
        crash(&room, &["check", "g.ron"], &text)
    }));
}

/// Where the words, numbers, texts and signs of a graph begin and end.
fn tokens(text: &str, from: usize) -> Vec<(usize, usize)> {
    let word = |c: char| c.is_alphanumeric() || "_.-\"".contains(c);
    let mut tokens: Vec<(usize, usize)> = Vec::new();
    let mut last = ' ';
    for (at, c) in text.char_indices().skip_while(|(at, _)| *at < from) {
        match tokens.last_mut() {
            Some(token) if word(c) && word(last) => token.1 = at + c.len_utf8(),
            _ if !c.is_whitespace() => tokens.push((at, at + c.len_utf8())),
            _ => {}
        }
        last = c;
    }
    tokens
}

#[test]
fn no_flipped_byte_of_the_data_panics() {
    let room = Room::furnished();
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    println!("seed {SEED}");
    let mut findings = Vec::new();
    for name in [CAPTIONS, TRAIN, VOCABULARY] {
        let path = room.path("D").join(name);
        let whole = fs::read(&path).unwrap();
        for _ in 0..30 {
            let mut damaged = whole.clone();
            let at = rng.random_range(0..whole.len().min(2048));
            let flip = rng.random_range(1..=255u8);
            damaged[at] ^= flip;
            fs::write(&path, damaged).unwrap();
            let what = format!("{name}, byte {at} xor {flip}");
            findings.push(crash(&room, &["data", "info", "D"], &what));
            findings.push(crash(&room, &["check", "g.ron", "--data", "D"], &what));
        }
        fs::write(&path, whole).unwrap();
    }
    report(findings);
}
