//! The same seed gives the same parameters, bit for bit, on any number of threads; another seed gives others. Rewrites of
//! plans, all of which are on unless something else is said, change rounding alone.

#[path = "support/command.rs"]
mod command;
#[path = "support/paths.rs"]
mod paths;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use command::{argument, engine, latest_parameters, metrics};
use engine_core::graph::PASSES;
use paths::in_workspace;
use safetensors::SafeTensors;

/// Sizes at which every kind of work is shared out to threads, yet a step takes tens of milliseconds.
const UNITS: [&str; 3] =
    ["nodes.h0.layer.units=320", "nodes.words.layer.units=192", "nodes.hidden.layer.units=320"];

/// Sizes at which a step takes a few milliseconds.
const SMALL_UNITS: [&str; 3] =
    ["nodes.h0.layer.units=72", "nodes.words.layer.units=48", "nodes.hidden.layer.units=72"];

const STEPS: usize = 50;

/// Fewer threads than there are shares of the work, as many as few shares, and more than the machine may have.
const THREADS: [usize; 3] = [2, 3, 8];

/// Between the losses of a network and of one without some rewrite, whose sums are taken in another order, after
/// [`STEPS`] steps in single precision.
const ROUNDING: f64 = 1e-4;

/// What a run leaves: the bytes of its parameters, and the losses and gradient norms of its steps as bits.
#[derive(PartialEq)]
struct Outcome {
    parameters: Vec<u8>,
    steps: Vec<[u64; 2]>,
    validation: Vec<u64>,
}

/// Trains a graph for [`STEPS`] steps, which go through the captions more than once.
fn train(dir: &Path, graph: &Path, threads: usize, seed: u64, more: &[&str]) -> Outcome {
    let name = graph.file_stem().expect("a graph file has a name").display();
    let run = dir.join(format!("{name}-{threads}-{seed}-{}", more.last().unwrap_or(&"")));
    let (threads, seed, steps) = (threads.to_string(), seed.to_string(), STEPS.to_string());
    let mut arguments = vec!["train", argument(graph), "--data", "scenes"];
    arguments.extend(["--threads", &threads, "--seed", &seed, "--steps", &steps]);
    arguments.extend(["--batch", "40", "--epochs", "10", "--out", argument(&run)]);
    arguments.extend(more);
    engine(dir, &arguments);
    let (records, evaluations) = metrics(&run);
    assert!(records.iter().map(|record| record.iteration).eq(1..=STEPS as u64));
    Outcome {
        parameters: fs::read(latest_parameters(&run)).expect("a run leaves parameters"),
        steps: records.iter().map(|r| [r.loss.to_bits(), r.gradient_norm.to_bits()]).collect(),
        validation: evaluations.iter().map(|e| e.val_loss.to_bits()).collect(),
    }
}

/// The arrays of a safetensors file by name, each as bytes.
fn tensors(file: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let file = SafeTensors::deserialize(file).expect("a safetensors file");
    file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect()
}

/// Trains on 1 thread, on more of them and with another seed, and compares.
fn same_on_any_number_of_threads(dir: &Path, graph: &Path) {
    let units = UNITS.map(|units| ["--set", units]).concat();
    let one = train(dir, graph, 1, 7, &units);
    assert!(one.validation.len() >= 2, "an epoch ends more than once");
    for threads in THREADS {
        let other = train(dir, graph, threads, 7, &units);
        assert!(one.steps == other.steps, "losses and norms of steps on {threads} threads");
        assert!(one.validation == other.validation, "validation losses on {threads} threads");
        let numbers = [&one, &other].map(|outcome| tensors(&outcome.parameters));
        assert!(numbers[0] == numbers[1], "parameters on {threads} threads");
        assert!(one.parameters == other.parameters, "the file of parameters on {threads} threads");
    }
    let again = train(dir, graph, 2, 8, &units);
    assert!(one.parameters != again.parameters, "another seed, other parameters");
    assert!(one.steps != again.steps, "another seed, other losses");
}

/// A folder with a small data set in `scenes`.
fn folder_with_data() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder");
    engine(dir.path(), &["data", "scenes", "scenes", "--train", "60", "--val", "20"]);
    dir
}

/// The graph that captions with a cell.
fn captioner(cell: &str) -> PathBuf {
    let path = in_workspace(&format!("graphs/caption_{cell}.ron"));
    fs::canonicalize(path).expect("a graph that is shipped")
}

#[test]
fn threads_do_not_show_in_a_run() {
    let dir = folder_with_data();
    for cell in ["lstm", "rnn", "gru"] {
        let graph = captioner(cell);
        same_on_any_number_of_threads(dir.path(), &graph);
    }
}

#[test]
fn threads_do_not_show_in_noise() {
    let dir = folder_with_data();
    let text = fs::read_to_string(in_workspace("graphs/caption_lstm.ron")).unwrap();
    let dropout = r#"(name: "noisy", layer: Dropout(rate: 0.4), from: ["hidden"]),
        (name: "scores","#;
    let noisy = text.replace(r#"(name: "scores","#, dropout);
    let noisy = noisy.replace(
        r#"from: ["hidden"]),
        (name: "loss""#,
        r#"from: ["noisy"]),
        (name: "loss""#,
    );
    assert_eq!(noisy.matches("noisy").count(), 2, "{noisy}");
    let graph = dir.path().join("noisy.ron");
    fs::write(&graph, noisy).unwrap();
    same_on_any_number_of_threads(dir.path(), &graph);
}

#[test]
fn rewrites_show_in_rounding_alone() {
    let dir = folder_with_data();
    let units = SMALL_UNITS.map(|units| ["--set", units]).concat();
    for cell in ["lstm", "rnn", "gru"] {
        let graph = captioner(cell);
        let losses = |outcome: &Outcome| -> Vec<f64> {
            let steps = outcome.steps.iter().map(|[loss, _]| f64::from_bits(*loss));
            steps.chain(outcome.validation.iter().map(|loss| f64::from_bits(*loss))).collect()
        };
        let all = train(dir.path(), &graph, 2, 7, &units);
        for pass in PASSES {
            let more = [units.as_slice(), &["--without", pass.name]].concat();
            let without = train(dir.path(), &graph, 2, 7, &more);
            let pairs = losses(&all).into_iter().zip(losses(&without));
            let worst = pairs.map(|(a, b)| (a - b).abs() / a.abs()).fold(0.0, f64::max);
            let same = if all.parameters == without.parameters { ", the same bits" } else { "" };
            println!("{cell} without {}: {worst:.1e}{same}", pass.name);
            assert!(worst <= ROUNDING, "{cell} without {}: {worst:.1e}", pass.name);
            assert_eq!(all.steps.len(), without.steps.len());
        }
    }
}
