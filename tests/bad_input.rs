//! Whatever is wrong with a graph, an argument, the data or a run: exit code 2, a message that says where it is, what
//! was expected, what was found and the nearest valid name, no panic, and nothing left behind.

mod front_door;

use std::fs;
use std::path::Path;
use std::time::Duration;

use front_door::{CAPTION_LSTM, Data, Other, Room, edited, replace, report};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::SafeTensors;

/// One mistake in the shipped graph: what to write in place of what, where the message must point (the first such
/// stretch of the new text; "" for no place), and what it must say.
type Mistake = (&'static str, &'static str, &'static str, &'static [&'static str]);

const BROKEN: &[Mistake] = &[
    (
        "sample: Greedy(max_length: 30),\n)",
        "sample: Greedy(max_length: 30),\n",
        "\n",
        &["end of RON"],
    ),
    (
        "from: [\"features\"]),",
        "from: [\"features\"],",
        "(name: \"words\"",
        &["Expected identifier"],
    ),
    (
        "Projection(units: 512),",
        "Projection(units: 512)",
        "from: [\"features\"]",
        &["Expected comma"],
    ),
    ("data: CocoHdf5", "data CocoHdf5", " CocoHdf5", &["Expected colon"]),
    ("    nodes: [", "    nodes: @[", "@[", &["'@'"]),
    ("\"words_in\": [Batch", "\"words_in: [Batch", "words_in: [Batch", &["end of string"]),
    ("Graph(", "Grpah(", "Grpah", &["`Grpah`", "Graph"]),
];

const UNKNOWN: &[Mistake] = &[
    (
        "Lstm(units: 512)",
        "Lstmm(units: 512)",
        "Lstmm",
        &["node `hidden`", "unknown layer `Lstmm`", "did you mean `Lstm`?"],
    ),
    (
        "Lstm(units: 512)",
        "Lstm(unitz: 512)",
        "unitz",
        &["node `hidden`", "Lstm", "unknown field `unitz`", "did you mean `units`?"],
    ),
    (
        "Lstm(units: 512)",
        "Lstm(units: 512, init: Xaver)",
        "Xaver",
        &["node `hidden`", "`Xaver`", "did you mean `Xavier`?"],
    ),
    (
        "Lstm(units: 512)",
        "Rnn(units: 512, activation: Tan)",
        "Tan)",
        &["node `hidden`", "`Tan`", "did you mean `Tanh`?"],
    ),
    (
        "seed: 231",
        "order: Shufled",
        "Shufled",
        &["`Shufled`", "did you mean `Shuffled`?", "WithReplacement"],
    ),
    ("Graph(", "Graph(precision: F16, ", "F16", &["`F16`", "F32", "F64"]),
    (
        "Adam(learning_rate",
        "Adm(learning_rate",
        "Adm",
        &["`Adm`", "did you mean `Adam`?", "RmsProp"],
    ),
    (
        "Adam(learning_rate",
        "Adam(learning_rte",
        "learning_rte",
        &["`learning_rte`", "did you mean `learning_rate`?"],
    ),
    (
        "Exponential(",
        "Exponentil(",
        "Exponentil",
        &["`Exponentil`", "did you mean `Exponential`?", "Cosine"],
    ),
    ("per_epoch: 0.8", "per_epoc: 0.8", "per_epoc", &["`per_epoc`", "did you mean `per_epoch`?"]),
    ("sample: Greedy(", "sample: Gredy(", "Gredy", &["`Gredy`", "did you mean `Greedy`?"]),
    ("max_length", "max_lenght", "max_lenght", &["`max_lenght`", "did you mean `max_length`?"]),
    ("CocoHdf5(", "CocoHdf(", "CocoHdf", &["`CocoHdf`", "did you mean `CocoHdf5`?"]),
    (
        "pca_features",
        "pca_feature",
        "pca_feature",
        &["`pca_feature`", "did you mean `pca_features`?"],
    ),
    ("train: (", "trian: (", "trian: (", &["unknown section `trian`", "did you mean `train`?"]),
    (
        "    epochs: 5",
        "    epoch: 5",
        "epoch: 5",
        &["unknown field `epoch`", "did you mean `epochs`? One of: optimizer, schedule"],
    ),
    (
        "layer: Lstm",
        "layr: Lstm",
        "layr: Lstm(units: 512)",
        &["unknown field `layr`", "did you mean `layer`?"],
    ),
    (
        "from: [\"words\", \"h0\"]",
        "from: [\"wrds\", \"h0\"]",
        "\"wrds\"",
        &["node `hidden` reads `wrds`", "did you mean `words`?"],
    ),
    (
        "from: [\"features\"]",
        "from: [\"fetures\"]",
        "\"fetures\"",
        &["node `h0` reads `fetures`", "did you mean `features`?"],
    ),
    (
        "(units: Vocabulary)",
        "(units: Vocabluary)",
        "TemporalAffine(units: Vocabluary)",
        &["no size `Vocabluary`", "did you mean `Vocabulary`?"],
    ),
    (
        "[Batch, Features]",
        "[Batch, Featurs]",
        "[Batch, Featurs]",
        &["no size `Featurs`", "did you mean `Features`?"],
    ),
    (
        "\"words_out\": [",
        "\"words_ot\": [",
        "[Batch, Time],   //",
        &["feeds no input `words_ot`", "did you mean `words_out`?"],
    ),
    (
        "from: [\"hidden\"])",
        "from: [\"hidden\"], weights_of: \"hiden\")",
        "\"hiden\"",
        &["`weights_of` names `hiden`", "did you mean `hidden`?"],
    ),
    ("name: \"loss\"", "name: \"lss\"", "", &["no node `loss`", "did you mean `lss`?"]),
    (
        "    sample:",
        "    outputs: {\"loss\": \"los\"}, sample:",
        "\"los\"",
        &["output `loss` names `los`", "did you mean `loss`?"],
    ),
];

const WRONG_VALUES: &[Mistake] = &[
    (
        "Embedding(units: 256)",
        "Embedding(units: \"x\")",
        "\"x\"",
        &["node `words`", "Embedding", "whole number", "found `\"x\"`"],
    ),
    (
        "Embedding(units: 256)",
        "Embedding(units: 5.5)",
        "5.5",
        &["node `words`", "whole number", "found `5.5`"],
    ),
    (
        "Embedding(units: 256)",
        "Embedding(units: 0)",
        "0)",
        &["node `words`", "whole number from 1", "found `0`"],
    ),
    ("Embedding(units: 256)", "Embedding(units: -3)", "-3", &["node `words`", "found `-3`"]),
    (
        "Embedding(units: 256)",
        "Embedding(units: 4611686018427387904)",
        "4611686018427387904",
        &["node `words`", "found `4611686018427387904`"],
    ),
    (
        "learning_rate: 1e-3",
        "learning_rate: \"fast\"",
        "\"fast\"",
        &["expected", "number", "`\"fast\"`"],
    ),
    (
        "learning_rate: 1e-3",
        "learning_rate: -1e-3",
        "-1e-3",
        &["expected a number above 0", "found `-0.001`"],
    ),
    (
        "Adam(learning_rate: 1e-3)",
        "Adam(beta1: 1.5)",
        "1.5",
        &["expected a number from 0 to below 1", "found `1.5`"],
    ),
    ("per_epoch: 0.8", "per_epoch: 1.8", "1.8", &["at most 1", "found `1.8`"]),
    (
        "Lstm(units: 512)",
        "Dropout(rate: 1.5)",
        "1.5",
        &["node `hidden`", "Dropout", "from 0 to below 1", "found `1.5`"],
    ),
    (
        "Lstm(units: 512)",
        "Lstm(units: 512, init: Uniform(-1))",
        "-1",
        &["node `hidden`", "above 0", "found `-1`"],
    ),
    (
        "Lstm(units: 512)",
        "Lstm(units: 512, forget_bias: \"x\")",
        "\"x\"",
        &["node `hidden`", "Lstm", "number", "`\"x\"`"],
    ),
    ("batch: 100", "batch: 0", "batch: 0", &["batch", "at least 1", "found 0"]),
    ("epochs: 5", "epochs: 0", "epochs: 0", &["epochs", "at least 1", "found 0"]),
    ("batch: 100", "batch: -1", "-1", &["whole number", "`-1`"]),
    ("batch: 100", "batch: 2.5", "2.5", &["whole number", "`2.5`"]),
    ("batch: 100", "batch: \"x\"", "\"x\"", &["whole number", "`\"x\"`"]),
    ("clip_norm: 5.0", "clip_norm: -5.0", "-5.0", &["above 0", "found `-5`"]),
    ("max_length: 30", "max_length: 0", "max_length: 0", &["max_length", "found", "0"]),
    ("pca_features: false", "pca_features: \"no\"", "\"no\"", &["true or false", "`\"no\"`"]),
    (
        "[Batch, Features]",
        "[Batch, 7]",
        "[Batch, 7]",
        &["features", "expected [Batch, Features=3]", "found [Batch, 7]"],
    ),
    ("[Batch, Features]", "5", "5,", &["expected a shape", "`5`"]),
    (
        "from: [\"features\"]",
        "from: \"features\"",
        "\"features\")",
        &["list in [ ]", "found `\"features\"`"],
    ),
    ("from: [\"features\"]", "from: [3]", "3]", &["node `h0`", "`3`"]),
    (
        "name: \"hidden\"",
        "name: \"hid den\"",
        "\"hid den\"",
        &["`hid den`", "letters, digits and _"],
    ),
    ("Lstm(units: 512)", "Lstm()", "Lstm()", &["node `hidden`", "Lstm", "`units` is missing"]),
    (
        "Lstm(units: 512)",
        "Relu",
        "Relu",
        &["node `hidden`", "`Relu` lacks its parentheses", "write Relu()"],
    ),
    ("Lstm(units: 512)", "512", "512", &["node `hidden`", "`512`"]),
    ("Adam(learning_rate: 1e-3)", "Adam", "Adam", &["`Adam` lacks its parentheses", "Adam()"]),
    ("Lstm(units: 512)", "Adam()", "Adam", &["node `hidden`", "unknown layer `Adam`", "Lstm"]),
    (
        "Lstm(units: 512)",
        "Lstm(units: 512, units: 5)",
        "units: 5)",
        &["node `hidden`", "duplicate field", "`units`"],
    ),
    ("epochs: 5,", "epochs: 5, epochs: 6,", "epochs: 6", &["duplicate field", "`epochs`"]),
];

const MISWIRED: &[Mistake] = &[
    (
        "name: \"words\"",
        "name: \"h0\"",
        "\"h0\",  layer: Embedding",
        &["second node or input `h0`"],
    ),
    (
        "name: \"words\"",
        "name: \"features\"",
        "\"features\",  layer",
        &["second node or input `features`"],
    ),
    (
        "from: [\"words_in\"]",
        "from: [\"hidden\"]",
        "\"words\",",
        &["cycle", "`words` -> `hidden` -> `words`"],
    ),
    (
        "from: [\"words\", \"h0\"]",
        "from: [\"hidden\", \"h0\"]",
        "\"hidden\",",
        &["cycle", "`hidden` -> `hidden`"],
    ),
    (
        "Projection(units: 512)",
        "Projection(units: 256)",
        "\"h0\"])",
        &[
            "node `hidden`",
            "Lstm",
            "port `h0`",
            "expects [Batch, 512]",
            "found [Batch, 256] from `h0`",
        ],
    ),
    (
        "from: [\"hidden\"])",
        "from: [\"h0\"])",
        "\"h0\"])",
        &["node `scores`", "TemporalAffine", "port `x`", "Time", "found [Batch, 512] from `h0`"],
    ),
    (
        "from: [\"words\", \"h0\"]",
        "from: [\"words\", \"h0\", \"h0\", \"h0\"]",
        "Lstm(units: 512)",
        &["node `hidden`", "expected 1 to 3", "x, h0 (optional), c0 (optional)", "found 4"],
    ),
    (
        "from: [\"scores\", \"words_out\"]",
        "from: [\"scores\"]",
        "SoftmaxLoss()",
        &["node `loss`", "expected 2 to 3: scores, targets", "found 1"],
    ),
    (
        "from: [\"words\", \"h0\"]",
        "from: [\"words_in\", \"h0\"]",
        "\"words_in\", \"h0\"",
        &[
            "`hidden` takes input `words_in` as numbers, `words` as vocabulary indices",
            "Embedding turns them into numbers",
        ],
    ),
    (
        "from: [\"words_in\"]",
        "from: [\"features\"]",
        "\"features\"]),\n        (name: \"hidden\"",
        &["`words` takes input `features` as vocabulary indices, `h0` as numbers"],
    ),
    (
        "from: [\"words_in\"]",
        "from: [\"h0\"]",
        "\"h0\"]),\n        (name: \"hidden\"",
        &["port `tokens` of `words` takes vocabulary indices, `h0` computes numbers"],
    ),
    (
        "Projection(units: 512),            from: [\"features\"]",
        "Projection(units: 512),            from: [\"words_in\"]",
        "",
        &["words_in", "h0"],
    ),
    (
        "SoftmaxLoss(),                     from: [\"scores\", \"words_out\"]",
        "Add(), from: [\"scores\", \"scores\"]",
        "\"loss\",",
        &[
            "loss is a single number",
            "found [Batch, Time, Vocabulary",
            "from `loss`",
            "SoftmaxLoss()",
        ],
    ),
    (
        "from: [\"hidden\"])",
        "from: [\"hidden\"], weights_of: \"hidden\")",
        "\"hidden\")",
        &[
            "`scores` cannot use the weights of `hidden`",
            "needs w [512, Vocabulary",
            "found wx [256, 2048]",
        ],
    ),
];

#[test]
fn broken_text() {
    reports_each(BROKEN);
}

#[test]
fn unknown_names() {
    reports_each(UNKNOWN);
}

#[test]
fn wrong_values() {
    reports_each(WRONG_VALUES);
}

#[test]
fn wrong_wiring() {
    reports_each(MISWIRED);
}

/// Each mistake alone, found by `check` and by `train`.
fn reports_each(mistakes: &[Mistake]) {
    let room = Room::furnished();
    report(mistakes.iter().flat_map(|(from, to, at, says)| {
        let text = edited(CAPTION_LSTM, from, to);
        room.write("g.ron", &text);
        let places = places(&text, at);
        ["check", "train"].map(|command| {
            let args = [command, "g.ron", "--data", "D"];
            let refusal = room.refusal(&args, says);
            let printed = room.engine(&args).err;
            let pointed = at.is_empty() || places.iter().any(|place| printed.contains(place));
            match refusal {
                Err(complaint) if !pointed => Err(format!("points not at {at:?}: {complaint}")),
                Ok(()) if !pointed => {
                    Err(format!("points not at {at:?} ({}): {printed}", places[0]))
                }
                refusal => refusal,
            }
        })
    }));
}

/// `[g.ron:line:column]` of each character of the first `part` of the text.
fn places(text: &str, part: &str) -> Vec<String> {
    let start = text.find(part).unwrap_or_else(|| panic!("{part:?} is in the text"));
    let place = |at: usize| {
        let line = text[..at].matches('\n').count() + 1;
        let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("[g.ron:{line}:{column}]")
    };
    part.char_indices().map(|(at, _)| place(start + at)).collect()
}

#[test]
fn files_that_are_no_graph() {
    let room = Room::furnished();
    fs::create_dir(room.path("folder.ron")).unwrap();
    let not_utf8 = [b"Graph(\n  // ".as_slice(), b"\xff\xfe", b"\n)"].concat();
    let files: [(&str, &[u8], &[&str]); 7] = [
        ("empty.ron", b"", &["empty.ron", "end of RON"]),
        ("blank.ron", b"// only a comment\n", &["[blank.ron:1:", "end of RON"]),
        ("garbage.ron", b"what is this?\n", &["[garbage.ron:1:"]),
        ("binary.ron", &not_utf8, &["binary.ron:2:6", "UTF-8"]),
        ("zeros.ron", &[0; 64], &["[zeros.ron:1:1]"]),
        (
            "other.ron",
            b"Graph(data: CocoHdf5(dir: \"D\"))",
            &["no section `inputs`", "no section `nodes`"],
        ),
        ("folder.ron", b"", &["cannot read folder.ron", "directory"]),
    ];
    let mut findings = Vec::new();
    for (name, content, says) in files {
        if name != "folder.ron" {
            room.write(name, content);
        }
        findings.extend(["check", "train"].map(|command| room.refusal(&[command, name], says)));
    }
    for command in ["check", "train"] {
        findings
            .push(room.refusal(&[command, "grap.ron"], &["cannot read grap.ron", "No such file"]));
    }
    report(findings);
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let room = Room::furnished();
    let files: [(&[(&str, &str)], &[&str]); 3] = [
        (
            &[
                ("Lstm(units: 512)", "Lstmm(units: 512)"),
                ("Embedding(units", "Embedding(unitz"),
                ("sample: Greedy", "sampl: Greedy"),
                ("Adam(learning", "Adm(learning"),
                ("CocoHdf5(", "CocoHdf("),
                ("name: \"loss\"", "nam: \"loss\""),
            ],
            &[
                "`Lstmm`",
                "`unitz`",
                "`sampl`",
                "`Adm`",
                "`CocoHdf`",
                "`nam`",
                "lacks its field `name`",
            ],
        ),
        (
            &[
                ("Projection(units: 512)", "Projection(units: 256)"),
                ("from: [\"hidden\"]", "from: [\"hiden\"]"),
                ("Vocabulary)", "Vocabluary)"),
                ("\"words_out\"]", "\"words_ot\"]"),
            ],
            &["expects [Batch, 512], found [Batch, 256]", "`hiden`", "`Vocabluary`", "`words_ot`"],
        ),
        (
            &[
                ("Lstm(units: 512)", "Lstmm(units: 512)"),
                ("from: [\"hidden\"]", "from: [\"hiden\"]"),
                ("batch: 100", "batch: 0"),
                ("epochs: 5", "epochs: 0"),
            ],
            &["`Lstmm`", "`hiden`", "`train.batch`", "`train.epochs`"],
        ),
    ];
    report(files.iter().flat_map(|(edits, says)| {
        let text =
            edits.iter().fold(CAPTION_LSTM.to_owned(), |text, (from, to)| edited(&text, from, to));
        room.write("g.ron", text);
        ["check", "train"].map(|command| room.refusal(&[command, "g.ron", "--data", "D"], says))
    }));
    room.write("fine.ron", CAPTION_LSTM);
    room.write("h.ron", edited(CAPTION_LSTM, "Lstm(units: 512)", "Lstmm(units: 512)"));
    room.write("i.ron", edited(CAPTION_LSTM, "CocoHdf5(", "CocoHdf("));
    room.refuses(&["check", "h.ron", "fine.ron", "i.ron"], &["[h.ron:16:33]", "[i.ron:20:11]"]);
}

#[test]
fn unused_nodes_are_a_warning() {
    let room = Room::furnished();
    let extra =
        "from: [\"features\"]),\n        (name: \"extra\", layer: Relu(), from: [\"words\"]),";
    room.write("g.ron", edited(CAPTION_LSTM, "from: [\"features\"]),", extra));
    let small = "nodes.hidden.layer.units=512";
    let commands: [&[&str]; 3] = [
        &["check", "g.ron"],
        &["check", "g.ron", "--data", "D"],
        &["train", "g.ron", "--data", "D", "--steps", "1", "--set", small],
    ];
    report(commands.map(|args| {
        let outcome = room.engine(args);
        let missing = outcome.missing(0, &["node `extra` is not used", "[g.ron:15:16]"]);
        outcome.verdict(args, missing)
    }));
}

#[test]
fn wrong_arguments() {
    let room = Room::furnished();
    let train = |more: &[&'static str]| [&["train", "g.ron", "--data", "D"], more].concat();
    let set = |value| train(&["--set", value]);
    let cases: Vec<(Vec<&str>, &[&str])> = vec![
        (set("train.epochs"), &["'train.epochs'", "expected PATH=VALUE"]),
        (set("=3"), &["'=3'", "expected PATH=VALUE"]),
        (
            set("nodes.hiden.layer=Relu()"),
            &["nodes.hiden.layer", "no `hiden`", "did you mean `hidden`?"],
        ),
        (
            set("nodes.hidden.layr=Relu()"),
            &["nodes.hidden.layr", "`layr`", "did you mean `layer`?"],
        ),
        (set("tran.epochs=3"), &["--set tran.epochs", "`tran`", "did you mean `train`?"]),
        (set("train.epoch=3"), &["--set train.epoch", "`epoch`", "did you mean `epochs`?"]),
        (set("nodes.hidden.layer=Lstm("), &["--set nodes.hidden.layer=Lstm(", "end of RON"]),
        (
            set("nodes.hidden.layer=Lstmm(units: 5)"),
            &["[--set nodes.hidden.layer:1:1]", "node `hidden`", "`Lstmm`", "did you mean `Lstm`?"],
        ),
        (
            set("nodes.hidden.layer=Lstm(unitz: 5)"),
            &[
                "[--set nodes.hidden.layer:1:6]",
                "node `hidden`",
                "`unitz`",
                "did you mean `units`?",
            ],
        ),
        (
            set("nodes.hidden.layer.units=5"),
            &["node `hidden`", "port `h0` expects [Batch, 5], found [Batch, 512]"],
        ),
        (
            set("train.optimizer=Adm()"),
            &["[--set train.optimizer:1:1]", "`Adm`", "did you mean `Adam`?"],
        ),
        (set("train.epochs.more=3"), &["--set train.epochs.more=3", "`5` has no fields"]),
        (set("train..epochs=3"), &["train..epochs", "empty part"]),
        (set("train.batch=0"), &["[--set train.batch:1:1]", "at least 1", "found 0"]),
        (set("train.batch=\"many\""), &["[--set train.batch:1:", "whole number", "`\"many\"`"]),
        (train(&["--set", "tran.x=1", "--set", "nodes.x.layer=1"]), &["tran.x", "nodes.x.layer"]),
        (train(&["--epochs", "x"]), &["'x'", "--epochs"]),
        (train(&["--epochs", "0"]), &["epochs", "at least 1", "found 0"]),
        (train(&["--steps", "0"]), &["steps", "at least 1", "found 0"]),
        (train(&["--batch", "0"]), &["batch", "at least 1", "found 0"]),
        (train(&["--batch", "-1"]), &["-1"]),
        (train(&["--threads", "0"]), &["--threads", "1..=1024"]),
        (train(&["--seed", "1.5"]), &["--seed", "1.5"]),
        (train(&["--epoch", "1"]), &["--epoch", "'--epochs'"]),
        (vec!["trian", "g.ron"], &["'trian'", "'train'"]),
        (vec!["train"], &["<GRAPH>"]),
        (vec![], &["Usage: engine"]),
        (vec!["layers", "Lstmm"], &["no layer `Lstmm`", "did you mean `Lstm`?"]),
        (vec!["layers", "CocoHdf"], &["`CocoHdf`", "did you mean `CocoHdf5`?"]),
        (vec!["data", "scenes", "D"], &["folder `D` exists", "another folder"]),
        (vec!["data", "scenes", "E", "--train", "0"], &["`train: 0`"]),
        (vec!["data", "scenes", "g.ron/E", "--train", "9", "--val", "9"], &["g.ron/E"]),
    ];
    report(cases.iter().map(|(args, says)| room.refusal(args, says)));
    // The file says 5 and 100: the zeros stand on the command line.
    for args in [train(&["--epochs", "0"]), train(&["--batch", "0"])] {
        let err = room.engine(&args).err;
        assert!(!err.contains("[g.ron:"), "the fault is not in the file: {err}");
    }
}

/// Damage to a good data set, and what the refusal must say.
type Damage = (fn(&mut Data), fn(&Path), &'static [&'static str]);

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
        &["`D/coco2014_captions.h5` is missing", "captions", "`coco2014_vocab.json`"],
    ),
    (
        same,
        |d| fs::remove_file(d.join(VOCABULARY)).unwrap(),
        &["`D/coco2014_vocab.json` is missing", "the vocabulary"],
    ),
    (
        same,
        |d| fs::remove_file(d.join(TRAIN)).unwrap(),
        &["`D/train2014_vgg16_fc7", "is missing", "training images"],
    ),
    (
        same,
        |d| fs::remove_file(d.join(VAL)).unwrap(),
        &["`D/val2014_vgg16_fc7", "is missing", "validation images"],
    ),
    (
        same,
        |d| fs::write(d.join(CAPTIONS), "image,caption\n").unwrap(),
        &["`D/coco2014_captions.h5` cannot be read as HDF5", "begins with \"image,caption"],
    ),
    (
        same,
        |d| fs::write(d.join(TRAIN), "version https://git-lfs.github.com/spec/v1\n").unwrap(),
        &["D/train2014_vgg16_fc7.h5", "Git LFS pointer", "git lfs pull"],
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "val_captions", &Other::Nothing),
        &["`D/coco2014_captions.h5` has no data set `val_captions`", "`train_captions`"],
    ),
    (
        same,
        |d| replace(&d.join(VAL), "features", &Other::Nothing),
        &["`D/val2014_vgg16_fc7.h5` has no data set `features`"],
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_captions", &Other::Integers1(8)),
        &["`train_captions` in `D/coco2014_captions.h5`", "[captions, T]", "has [8]"],
    ),
    (
        same,
        |d| replace(&d.join(TRAIN), "features", &Other::Numbers1(4)),
        &["`features` in `D/train2014_vgg16_fc7.h5`", "[images, width]", "has [4]"],
    ),
    (
        same,
        |d| replace(&d.join(TRAIN), "features", &Other::Numbers3([4, 3, 2])),
        &["`features` in `D/train2014_vgg16_fc7.h5`", "[images, width]", "has [4, 3, 2]"],
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_captions", &Other::Words),
        &["`train_captions` in `D/coco2014_captions.h5`", "should hold integers", "string"],
    ),
    (
        same,
        |d| replace(&d.join(CAPTIONS), "train_image_idxs", &Other::Numbers1(8)),
        &["`train_image_idxs`", "should hold integers", "float32"],
    ),
    (
        same,
        |d| replace(&d.join(VAL), "features", &Other::Integers1(6)),
        &["`features` in `D/val2014_vgg16_fc7.h5`", "floating-point numbers", "int32"],
    ),
    (
        |d| d.captions[0][[5, 2]] = 4000,
        keep,
        &["`train_captions` in `D/coco2014_captions.h5`, row 5, column 2: token 4000", "6 words"],
    ),
    (|d| d.captions[1][[3, 1]] = -1, keep, &["`val_captions`", "row 3, column 1: token -1"]),
    (|d| d.words.truncate(5), keep, &["`train_captions`", "row 1, column 2: token 5", "5 words"]),
    (
        |d| d.image_idxs[0][6] = 4,
        keep,
        &["`train_image_idxs` in `D/coco2014_captions.h5`, row 6: image 4", "holds 4 images"],
    ),
    (|d| d.image_idxs[1][2] = -1, keep, &["`val_image_idxs`", "row 2: image -1", "holds 2 images"]),
    (|d| d.image_idxs[0].truncate(7), keep, &["8 train captions", "7 image numbers"]),
    (|d| d.image_idxs[1].push(0), keep, &["4 val captions", "5 image numbers"]),
    (|d| d.words[2] = "END", keep, &["vocabulary `D/coco2014_vocab.json` has no word `<END>`"]),
    (|d| d.words[5] = "a", keep, &["D/coco2014_vocab.json", "the word `a` twice, at 4 and at 5"]),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "{\"idx_to_word\":\n [\"<NULL>\",, \"a\"]}").unwrap(),
        &["`D/coco2014_vocab.json`, line 2, column 12"],
    ),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "").unwrap(),
        &["`D/coco2014_vocab.json`, line 1, column 0"],
    ),
    (
        same,
        |d| fs::write(d.join(VOCABULARY), "{\"words\": []}").unwrap(),
        &["`D/coco2014_vocab.json`", "`idx_to_word`"],
    ),
    (
        |d| d.features[0][[2, 1]] = f32::NAN,
        keep,
        &["`features` in `D/train2014_vgg16_fc7.h5`, row 2, column 1: NaN"],
    ),
    (
        |d| d.features[1][[1, 0]] = f32::INFINITY,
        keep,
        &["`features` in `D/val2014_vgg16_fc7.h5`, row 1, column 0: inf"],
    ),
    (
        |d| d.features[1] = ndarray::Array2::zeros((2, 5)),
        keep,
        &["differ in width", "3 in `D/train2014_vgg16_fc7.h5`, 5 in `D/val2014_vgg16_fc7.h5`"],
    ),
    (
        |d| d.features[1] = ndarray::Array2::zeros((0, 3)),
        keep,
        &["`features` in `D/val2014_vgg16_fc7.h5` is empty", "[0, 3]"],
    ),
    (
        |d| {
            d.captions[1] = ndarray::Array2::zeros((0, 4));
            d.image_idxs[1].clear();
        },
        keep,
        &["`val_captions` in `D/coco2014_captions.h5` is empty", "[0, 4]"],
    ),
    (
        |d| d.captions[0] = ndarray::Array2::ones((8, 1)),
        keep,
        &["`train_captions`", "T at least 2", "[8, 1]"],
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
        room.refusal(&train("nowhere"), &["no folder `nowhere`", "engine data scenes nowhere"]),
        room.refusal(&train("g.ron"), &["`g.ron` is not a folder"]),
        room.refusal(&["data", "info", "DD"], &["no folder `DD`", "engine data scenes DD"]),
    ]);
    let pca = Room::furnished();
    fs::remove_dir_all(pca.path("D")).unwrap();
    Data { pca: true, ..Data::small() }.write(&pca.path("D"));
    let says = ["`D/train2014_vgg16_fc7.h5` is missing", "write `pca_features: true`"];
    report(
        ["train", "check"].map(|command| pca.refusal(&[command, "g.ron", "--data", "D"], &says)),
    );
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
            let says = [&format!("`D/{name}` cannot be read as HDF5"), "again"].map(String::from);
            let says = says.each_ref().map(String::as_str);
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
    let cases: [(fn(&mut Data), &str, &[&str]); 4] = [
        (
            |d| d.features[0].fill(3e38),
            "train.seed=1",
            &["the loss of iteration 1", "`h0` is the first node"],
        ),
        (
            |d| d.features[1].fill(3e38),
            "train.seed=1",
            &["the validation loss", "`h0` is the first node"],
        ),
        (
            same,
            "train.optimizer=Sgd(learning_rate: 1e38)",
            &["iteration", "is the first node", "learning rate"],
        ),
        (
            same,
            "train.optimizer=Adam(learning_rate: 1e39)",
            &["iteration", "is the first node", "learning rate"],
        ),
    ];
    report(cases.map(|(change, set, says)| {
        let room = Room::new();
        room.write("g.ron", CAPTION_LSTM);
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
            outcome.missing(2, &["not finite", "last good parameters are in R/last.safetensors"]),
        );
        missing.extend(parameters_fault(&room.path("R/last.safetensors")));
        if room.path("R/best.safetensors").exists() {
            missing.extend(parameters_fault(&room.path("R/best.safetensors")));
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
        room.refusal(&with(&["--out", "g.ron/run"]), &["g.ron/run", "--out"]),
        room.refusal(&with(&["--out", "g.ron"]), &["g.ron", "--out"]),
        room.refusal(&with(&["--out", "/proc/run"]), &["/proc/run", "--out"]),
    ];
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1", "--out", "R"]);
    findings.push(room.refusal(&with(&["--out", "R"]), &["R already holds a run", "--out"]));
    room.write("runs", "no folder");
    findings.push(room.refusal(&long, &["runs", "--out"]));
    let took = room.engine(&with(&["--out", "g.ron/run"])).took;
    assert!(took < Duration::from_secs(5), "took {took:?}");
    report(findings);
}

/// What shows only when numbers flow must show before there is a run folder.
#[test]
fn data_that_does_not_fit_the_graph() {
    let tokens_as_numbers = "(name: \"h0\", layer: Projection(units: 512), from: [\"features\"]), (name: \"n\", layer: Add(), from: [\"words_in\", \"words_in\"]),";
    let numbers_as_tokens = (
        "(name: \"words\",  layer: Embedding(units: 256),             from: [\"words_in\"])",
        "(name: \"words\", layer: Embedding(units: 256), from: [\"words_out\"])",
    );
    let few_words = ("Embedding(units: 256)", "Embedding(units: 256, vocabulary: 5)");
    let cases: [(&[(&str, &str)], &[&str]); 4] = [
        (&[("[Batch, Features]", "[Batch, 7]")], &["`features`", "[Batch, 7]", "3"]),
        (&[few_words], &["`words_in`", "5"]),
        (
            &[
                ("\"words_in\": [Batch, Time]", "\"words_in\": [Batch, Features]"),
                (
                    "layer: Embedding(units: 256),             from: [\"words_in\"]",
                    "layer: Embedding(units: 256), from: [\"words_out\"]",
                ),
                ("from: [\"features\"]", "from: [\"words_in\"]"),
            ],
            &["`words_in`", "numbers", "vocabulary indices"],
        ),
        (
            &[
                ("\"features\": [Batch, Features]", "\"features\": [Batch, Time]"),
                ("from: [\"features\"]),", "from: [\"words\"]),"),
                ("from: [\"words_in\"]", "from: [\"features\"]"),
                ("layer: Projection(units: 512)", "layer: Relu()"),
                ("[\"words\", \"h0\"]", "[\"words\"]"),
            ],
            &["`features`", "vocabulary indices", "numbers"],
        ),
    ];
    let _ = (tokens_as_numbers, numbers_as_tokens);
    let room = Room::furnished();
    report(cases.iter().map(|(edits, says)| {
        let text =
            edits.iter().fold(CAPTION_LSTM.to_owned(), |text, (from, to)| edited(&text, from, to));
        room.write("g.ron", text);
        room.refusal(&["train", "g.ron", "--data", "D", "--out", "R"], says)
    }));
}

#[test]
fn runs_that_cannot_be_sampled() {
    let room = Room::furnished();
    room.refuses(&["sample", "g.ron"], &["g.ron has no run", "engine train g.ron"]);
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1"]);
    let run = "runs/g-1";
    let [graph, last, best] =
        ["graph.ron", "last.safetensors", "best.safetensors"].map(|name| format!("{run}/{name}"));
    let (text, whole) = (room.read(&graph), fs::read(room.path(&last)).unwrap());
    room.runs(&["sample", run]);
    let mut findings = vec![
        room.refusal(&["sample", "D"], &["D is no run", "graph.ron"]),
        room.refusal(&["sample", "runs/g-2"], &["runs/g-2", "runs/g-1"]),
        room.refusal(&["sample", run, "--split", "test"], &["`test`", "`train` or `val`"]),
        room.refusal(&["sample", run, "--count", "x"], &["--count", "'x'"]),
        room.refusal(&["sample", run, "--data", "nowhere"], &["no folder `nowhere`"]),
    ];
    for length in [0, 7, 8, 50, whole.len() / 2, whole.len() - 1] {
        room.write(&best, &whole[..length]);
        findings.push(room.refusal(&["sample", run], &[&best, "safetensors"]));
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
    findings.push(
        room.refusal(&["sample", run], &[&best, "parameter `h0.w`", "expected [3, 5]", "[3, 512]"]),
    );
    room.write(
        &graph,
        edited(
            &edited(&text, "name: \"hidden\"", "name: \"hiden\""),
            "from: [\"hidden\"]",
            "from: [\"hiden\"]",
        ),
    );
    findings.push(room.refusal(&["sample", run], &[&best, "`hidden.", "the nearest is `hiden."]));
    room.write(&graph, edited(&text, "Lstm(units: 512)", "Lstmm(units: 512)"));
    findings.push(
        room.refusal(&["sample", run], &["[runs/g-1/graph.ron:16:33]", "did you mean `Lstm`?"]),
    );
    room.write(&graph, &text[..text.len() / 2]);
    findings.push(room.refusal(&["sample", run], &["[runs/g-1/graph.ron:"]));
    room.write(&graph, &text);
    fs::remove_file(room.path(&best)).unwrap();
    fs::remove_file(room.path(&last)).unwrap();
    findings.push(room.refusal(&["sample", run], &[&last, "No such file"]));
    fs::remove_file(room.path(&graph)).unwrap();
    findings.push(room.refusal(&["sample", run], &["runs/g-1", "no graph.ron"]));
    findings.push(room.refusal(&["sample", "g.ron"], &["runs/g-1", "no graph.ron"]));
    report(findings);
}

/// The seed of all random damage.
const SEED: u64 = 231;

/// Neither 0 nor 2, or a panic.
fn crash(room: &Room, args: &[&str], what: &str) -> Result<(), String> {
    let outcome = room.engine(args);
    let code = if outcome.code == Some(0) { 0 } else { 2 };
    let missing = outcome.missing(code, &[]);
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
