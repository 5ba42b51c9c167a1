//! Networks out of blocks and bodies: what they compute, how runs keep them, and what is said when they are wrong.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;

use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use engine_core::engine::Engine;
use engine_core::graph::{Document, Graph, Severity};
use engine_core::{Batch, Mode, Sizes};
use engine_layers as _;
use front_door::data::Data;
use front_door::{Room, edited, report};

const BLOCKS: &str = include_str!("blocks/blocks.ron");
const STEP: &str = include_str!("blocks/step.ron");
const FLAT: &str = include_str!("blocks/flat.ron");
const SCAN: &str = include_str!("blocks/scan.ron");

/// A room with a graph, the block that it may import, and data.
fn room(graph: &str) -> Room {
    let room = Room::new();
    fs::create_dir(room.path("blocks")).unwrap();
    room.write("g.ron", graph);
    room.write("blocks/step.ron", STEP);
    Data::small().write(&room.path("D"));
    room
}

#[test]
fn wrong_blocks_are_told_where_they_are_written() {
    reports_each(BLOCKS, include_str!("blocks/mistakes.txt"));
}

#[test]
fn wrong_bodies_are_told_where_they_are_written() {
    reports_each(SCAN, include_str!("blocks/scans.txt"));
}

/// What every step meets all of, and what is handed on after the last step, is there when a sequence has ended.
#[test]
fn a_body_that_needs_the_future_cannot_write() {
    let room = room(SCAN);
    let whole = edited(SCAN, "\"h0\": Static}", "\"h0\": Static, \"all\": Static}");
    let whole = edited(&whole, "from: [\"stack\", \"h0\"]", "from: [\"stack\", \"h0\", \"stack\"]");
    let mean = "(name: \"mean\", layer: Mean(axis: 1), from: [\"all\"]),";
    let whole = edited(&whole, "(name: \"both\"", &format!("{mean} (name: \"both\""));
    let whole = edited(&whole, "from: [\"x\", \"h\"]", "from: [\"x\", \"h\", \"mean\"]");
    let ends = edited(SCAN, "output: \"cell\",", "output: \"cell\", last: {\"end\": \"h\"},");
    let spread = "(name: \"spread\", layer: AlongTime(), from: [\"hidden.end\", \"hidden\"]), (name: \"scores\"";
    let ends = edited(&ends, "(name: \"scores\"", spread);
    let ends = edited(&ends, "from: [\"hidden\"]", "from: [\"spread\"]");
    for (graph, node, place) in [(&whole, "hidden", "g.ron:8:16"), (&ends, "spread", "g.ron:18:16")]
    {
        room.write("g.ron", graph.clone());
        let what =
            format!("node `{node}`: `scores` depends on it, and it needs every time step at once");
        room.refuses(&["check", "g.ron", "--data", "D"], &format!("{what} | {place}"));
        // Where nothing is to be written, the future is there.
        let trained = graph.replace("\"scores\": \"scores\"", "\"sums\": \"sums\"");
        let trained = trained.replace("\"scores\"", "\"sums\"");
        room.write("g.ron", trained);
        room.runs(&["train", "g.ron", "--data", "D", "--steps", "2"]);
    }
}

/// Each mistake alone. `> file`, where it is not the graph; `- what stands there`; `+ what stands there then`, with `«»`
/// around what the message must point to; `@ text` where that is elsewhere; `! parts | of the message`.
fn reports_each(graph: &str, mistakes: &str) {
    let room = room(graph);
    report(mistakes.trim().split("\n\n").map(|mistake| {
        let mut file = "g.ron";
        let (mut from, mut to, mut elsewhere, mut says) = ("", "", None, "");
        for line in mistake.lines() {
            let (sign, content) = line.split_at(2);
            match sign {
                "> " => file = content,
                "- " => from = content,
                "+ " => to = content,
                "@ " => elsewhere = Some(content),
                "! " => says = content,
                _ => panic!("{sign:?} in\n{mistake}"),
            }
        }
        let original = if file == "g.ron" { graph } else { STEP };
        let marked = edited(original, from, to);
        let text = marked.replace(['«', '»'], "");
        let start = marked.find('«').map(|start| {
            let end = marked.find('»').unwrap() - '«'.len_utf8();
            start..end
        });
        let stretch = match elsewhere {
            Some(part) => {
                let start = text.find(part).unwrap_or_else(|| panic!("{part:?} is in the text"));
                start..start + part.len()
            }
            None => start.unwrap_or_else(|| panic!("a place in\n{mistake}")),
        };
        room.write("g.ron", graph);
        room.write("blocks/step.ron", STEP);
        room.write(file, &text);
        room.refusal_at(&["check", "g.ron", "--data", "D"], &places(file, &text, stretch), says)
    }));
}

/// `[file:line:column]` of each character of a stretch of a file's text.
fn places(file: &str, text: &str, stretch: Range<usize>) -> Vec<String> {
    let place = |at: usize| {
        let line = text[..at].matches('\n').count() + 1;
        let column = text[..at].chars().rev().take_while(|c| *c != '\n').count() + 1;
        format!("[{file}:{line}:{column}]")
    };
    text[stretch.clone()].char_indices().map(|(at, _)| place(stretch.start + at)).collect()
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    let room = room(BLOCKS);
    room.write("g.ron", edited(BLOCKS, "\"step\": File", "\"idle\": Block(inputs: [\"x\", \"y\"], arguments: {\"Never\": 3}, nodes: [(name: \"z\", layer: Tanh(), from: [\"x\"])], output: \"z\"), \"step\": File"));
    let said = room.runs(&["check", "g.ron", "--data", "D"]).err;
    for part in [
        "block `idle`: argument `Never` is not used [g.ron:27:64]",
        "block `idle`: input `y` is not used [g.ron:27:37]",
        "block `idle` is not used [g.ron:27:17]",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
    room.write("g.ron", BLOCKS);
    assert_eq!(room.runs(&["check", "g.ron", "--data", "D"]).raw, "");
}

#[test]
fn the_second_copy_must_be_able_to_follow_the_first() {
    let narrower = edited(BLOCKS, "output: \"b\"", "output: \"b.inside\"");
    let narrower = edited(&narrower, "output: \"b.inside\"", "output: \"c\"");
    let last = "weights_of: \"a\"),";
    let narrower = edited(
        &narrower,
        last,
        &format!("{last}\n(name: \"c\", layer: TemporalAffine(units: 3), from: [\"b\"]),"),
    );
    let room = room(&narrower);
    let place = "[g.ron:34:33]".to_owned();
    report([room.refusal_at(
        &["check", "g.ron", "--data", "D"],
        &[place],
        "node `stack/1/a/sum`, Add | from `stack/0/c` | copy 1 of the Repeat reads what copy 0 computes | the shape of its first input",
    )]);
}

#[test]
fn no_file_makes_the_reader_run_away() {
    let block = |at: usize, nodes: &str| {
        format!("\"b{at}\": Block(inputs: [\"x\"], nodes: [{nodes}], output: \"n0\"),")
    };
    let users = |at: usize| -> String {
        (0..10)
            .map(|n| format!("(name: \"n{n}\", layer: Use(block: \"b{at}\"), from: [\"x\"]),"))
            .collect()
    };
    let bomb: String = (0..10)
        .map(|at| match at {
            0 => block(0, "(name: \"n0\", layer: Tanh(), from: [\"x\"])"),
            at => block(at, &users(at - 1)),
        })
        .collect();
    let chain: String = (0..100)
        .map(|at| match at {
            0 => block(0, "(name: \"n0\", layer: Tanh(), from: [\"x\"])"),
            at => block(
                at,
                &format!("(name: \"n0\", layer: Use(block: \"b{}\"), from: [\"x\"])", at - 1),
            ),
        })
        .collect();
    let doubling: String = (0..23)
        .map(|at| {
            let layer = match at {
                0 => "A".to_owned(),
                at => format!("Use(block: \"b{}\", with: {{\"A\": [A, A]}})", at - 1),
            };
            let nodes = format!("(name: \"n0\", layer: {layer}, from: [\"x\"])");
            block(at, &nodes).replace("nodes:", "arguments: {\"A\": 12345678}, nodes:")
        })
        .collect();
    let graph = |blocks: &str, layer: &str| {
        format!(
            "Graph(inputs: {{\"features\": [Batch, Features]}}, blocks: {{{blocks}}}, nodes: [(name: \"loss\", layer: {layer}, from: [\"features\"])])"
        )
    };
    let room = Room::new();
    let tanh = block(0, "(name: \"n0\", layer: Tanh(), from: [\"x\"])");
    let cases = [
        (graph(&bomb, "Use(block: \"b9\")"), "blocks make more than 5000 nodes"),
        (graph(&chain, "Use(block: \"b99\")"), "blocks in blocks, more than 24 deep"),
        (
            graph(&tanh, "Repeat(block: \"b0\", times: 18446744073709551615)"),
            "blocks make more than 5000 nodes",
        ),
        (graph(&doubling, "Use(block: \"b22\")"), "16 MiB of text"),
    ];
    for (text, says) in cases {
        room.write("g.ron", text);
        let outcome = room.engine(&["check", "g.ron"]);
        assert_eq!(outcome.missing(2, says), [""; 0], "{}", outcome.raw);
        assert!(outcome.took < Duration::from_secs(120), "{:?}", outcome.took);
    }
}

#[test]
fn blocks_compute_what_their_nodes_compute() {
    let blocks = edited(
        BLOCKS,
        "File(\"blocks/step.ron\")",
        STEP.trim_end().trim_end_matches("// Nothing follows."),
    );
    let (mut blocks, mut flat) = (engine(&blocks), engine(FLAT));
    let names = |engine: &Engine<f32>| -> Vec<String> {
        let names =
            engine.plan().parameters.iter().map(|parameter| parameter.name.replace('/', "_"));
        names.collect()
    };
    let (own, other) = (names(&blocks), names(&flat));
    assert_eq!(own.len(), other.len());
    for (at, name) in own.iter().enumerate() {
        let found = other.iter().position(|other| other == name);
        let found = found.unwrap_or_else(|| panic!("{name} in {other:?}"));
        let values = blocks.parameters()[at].as_slice().to_vec();
        flat.parameters_mut()[found].as_mut_slice().copy_from_slice(&values);
    }
    let mut batch = Batch::new();
    let features = (0..6).map(|at| f64::from(at).sin()).collect::<Vec<_>>();
    batch.f64_mut("features", &[2, 3]).copy_from_slice(&features);
    batch.tokens_mut("words_in", &[2, 4]).copy_from_slice(&[1, 4, 5, 3, 1, 3, 2, 0]);
    batch.tokens_mut("words_out", &[2, 4]).copy_from_slice(&[4, 5, 3, 2, 3, 2, 0, 0]);
    let losses = [&mut blocks, &mut flat].map(|engine| {
        engine.forward(&batch, Mode::Eval).unwrap();
        engine.loss().unwrap()
    });
    assert!(losses[0].is_finite() && losses[0] > 0.0);
    assert_eq!(losses[0].to_bits(), losses[1].to_bits());
}

fn engine(text: &str) -> Engine<f32> {
    let document = Document::new("graph", text);
    let (graph, faults) = Graph::read(&document, &["data", "train", "sample"]);
    assert!(faults.is_empty(), "{faults:?}");
    let sizes: Sizes = [("Features", 3), ("Vocabulary", 6)].into_iter().collect();
    let checked = graph.unwrap().check(&sizes, None);
    let errors: Vec<_> = checked.faults.iter().filter(|f| f.severity == Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    Engine::new(Arc::new(checked.plan.unwrap()), sizes, 0).unwrap()
}

#[test]
fn values_go_into_blocks_uses_and_files() {
    let room = room(BLOCKS);
    let says = |sets: &[&str], part: &str| {
        let mut args = vec!["check", "g.ron", "--data", "D"];
        args.extend(sets.iter().flat_map(|set| ["--set", set]));
        let out = room.runs(&args).out;
        assert!(out.contains(part), "{sets:?}: {part}\n{out}");
    };
    says(&["nodes.ff.layer.with.Width=64"], "ff/up.w [Wide=6, 64]");
    says(&["nodes.stack.layer.times=3"], "stack/2/b/sum");
    says(&["blocks.wide.arguments.Width=9"], "stack/1/a/up.w [Wide=6, 9]");
    says(&["blocks.wide.nodes.act.layer=Sigmoid()"], "stack/0/b/act   Sigmoid");
    says(&["blocks.step.nodes.new.layer=Relu()"], "hidden          Scan");
    says(&["nodes.ff.layer.with.Act=Relu()"], "ff/act          Relu");
    says(
        &["nodes.stack.layer.share=true"],
        "stack/1/b/up    TemporalAffine  [Batch, Time, 8]   stack/0/a/up.w",
    );
    says(&["blocks.step=File(\"blocks/step.ron\")"], "hidden/cell/sum.w");
    let args = ["check", "g.ron", "--data", "D", "--set", "nodes.ff.layer.with.Wdth=64"];
    room.refuses(&args, "block `wide` has no argument `Wdth` | [--set nodes.ff.layer.with.Wdth:1:");
}

#[test]
fn parameters_are_shared_pairwise() {
    let stacks = edited(
        BLOCKS,
        "(name: \"scores\",",
        "(name: \"again\", layer: Repeat(block: \"pair\", times: 2), from: [\"stack\"], weights_of: \"stack\"),
         (name: \"more\", layer: Use(block: \"wide\"), from: [\"again\"], weights_of: \"again/1/b\"),
         (name: \"one\", layer: TemporalAffine(units: 8), from: [\"more\"], weights_of: \"stack/1/a/up\"),
         (name: \"two\", layer: TemporalAffine(units: Wide), from: [\"one\"]),
         (name: \"both\", layer: Add(), from: [\"two\", \"hidden\"]),
         (name: \"scores\",",
    );
    let stacks = edited(&stacks, "from: [\"hidden\"]),", "from: [\"both\"]),");
    let room = room(&stacks);
    // `again/1/b` has the parameters of `stack/1/a`, so it owns none.
    room.refuses(&["check", "g.ron", "--data", "D"], "node `more`: `weights_of` names `again/1/b`, which itself has another's parameters | [g.ron:");
    room.write("g.ron", edited(&stacks, "weights_of: \"again/1/b\"", "weights_of: \"ff\""));
    room.refuses(
        &["check", "g.ron", "--data", "D"],
        "`more/up` cannot use the weights of `ff/up`: it needs w [Wide=6, 8], b [8], found w [Wide=6, 5], b [5]",
    );
    room.write("g.ron", edited(&stacks, "weights_of: \"again/1/b\"", "weights_of: \"stack/0/a\""));
    let out = room.runs(&["check", "g.ron", "--data", "D"]).out;
    let line = |node: &str| {
        out.lines().find(|line| line.trim_start().starts_with(node)).unwrap().to_owned()
    };
    for (node, owner) in [
        ("again/0/a/up ", "stack/0/a/up.w"),
        ("again/1/b/down ", "stack/1/a/down.b"),
        ("more/down ", "stack/0/a/down.w"),
        ("one ", "stack/1/a/up.w"),
    ] {
        assert!(line(node).contains(owner), "{node}: {owner}\n{out}");
    }
    let unequal = edited(&stacks, "times: 2), from: [\"stack\"]", "times: 3), from: [\"stack\"]");
    room.write("g.ron", unequal);
    room.refuses(
        &["check", "g.ron", "--data", "D"],
        "node `again`: `weights_of` names `stack`: expected a Repeat of 3 copies, found a Repeat of 2 copies",
    );
}

#[test]
fn runs_keep_what_they_import() {
    let room = room(BLOCKS);
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "2", "--out", "R"]);
    fs::remove_dir_all(room.path("blocks")).unwrap();
    fs::remove_file(room.path("g.ron")).unwrap();
    let kept = room.read("R/graph.ron");
    assert!(kept.contains("Projection(units: Units)") && !kept.contains("File("), "{kept}");
    room.runs(&["train", "--resume", "R", "--steps", "4"]);
    let written = room.runs(&["sample", "R", "--count", "2"]).out;
    assert!(!written.is_empty());
}
