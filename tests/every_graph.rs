//! What holds for every graph file under `graphs/`, found by walking: a new file is under all of these tests by lying
//! there.
//!
//! Each is checked as it is, and computed with its larger sizes cut down, the same ones to the same number, so that
//! finite differences take milliseconds: `units: 512` is `units: 5` here. Also with other cells in place of the node
//! `hidden`.

#[path = "support/difference.rs"]
mod difference;
#[path = "support/paths.rs"]
mod paths;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use difference::Difference;
use engine::decode::SCORES;
use engine::{Experiment, Override};
use engine_core::engine::{Engine, gradient_check};
use engine_core::graph::to_ron;
use engine_core::testing::stepwise;
use engine_core::{Batch, Mode, Sizes, Symbol};
use paths::in_workspace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Between the backward pass and finite differences of the forward pass.
const GRADIENT_BOUND: f64 = 1e-6;
/// Between the forward pass and one step after another.
const STEP_BOUND: f64 = 1e-12;

/// The elements of each array whose gradient is looked at.
const ELEMENTS: usize = 15;

/// Sizes up to this stay as they are; larger ones are cut down.
const SMALL: usize = 8;

/// Batch and time.
const LENGTHS: [(usize, usize); 4] = [(3, 4), (1, 1), (1, 6), (4, 1)];

/// Every `.ron` file in a folder and those in it.
fn graphs_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(graphs_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "ron") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn graphs() -> Vec<PathBuf> {
    let graphs = graphs_in(&in_workspace("graphs"));
    assert!(graphs.len() >= 3, "the captioners with an RNN, an LSTM, a GRU: {graphs:?}");
    graphs
}

fn load(path: &Path, overrides: &[Override]) -> Experiment {
    Experiment::load(path, overrides).unwrap_or_else(|error| panic!("{error}"))
}

/// The layers of a graph by node, each as a graph file writes it.
fn layers(experiment: &Experiment) -> Vec<(String, String)> {
    let (plan, _) = experiment.plan(&Sizes::new()).unwrap_or_else(|error| panic!("{error}"));
    let layer = |layer| to_ron(layer).expect("a layer that writes");
    plan.nodes.iter().map(|node| (node.name.clone(), layer(&node.layer))).collect()
}

/// A graph file in double precision with its sizes cut down.
fn small(path: &Path) -> Vec<Override> {
    let layers = layers(&load(path, &[]));
    let sizes: BTreeSet<usize> = layers.iter().flat_map(|(_, layer)| sizes(layer)).collect();
    let large: Vec<usize> = sizes.into_iter().filter(|size| *size > SMALL).collect();
    let cut = |layer: &str| {
        large.iter().enumerate().fold(layer.to_owned(), |layer, (at, size)| {
            layer.replace(&format!("units:{size},"), &format!("units:{},", 4 + at))
        })
    };
    let layers =
        layers.iter().map(|(node, l)| Override::new(format!("nodes.{node}.layer"), cut(l)));
    [Override::new("precision", "F64")].into_iter().chain(layers).collect()
}

/// The numbers of units in a layer's text.
fn sizes(layer: &str) -> impl Iterator<Item = usize> {
    let fields = layer.split(['(', ',', ')']).filter_map(|field| field.split_once(':'));
    fields.filter(|(name, _)| *name == "units").filter_map(|(_, size)| size.parse().ok())
}

/// The graph with other cells where it has a node `hidden` with one, each with as many units.
fn with_other_cells(path: &Path, small: &[Override]) -> Vec<Vec<Override>> {
    const NODE: &str = "hidden";
    let place = format!("nodes.{NODE}.layer");
    let experiment = load(path, small);
    let layers = layers(&experiment);
    let node = experiment.graph.nodes.iter().find(|node| node.name.value == NODE);
    let layer = layers.iter().find(|(name, _)| name == NODE);
    let (Some(node), Some((_, layer))) = (node, layer) else { return Vec::new() };
    let is_cell = ["Rnn(", "Lstm(", "Gru("].iter().any(|cell| layer.starts_with(cell));
    // An Lstm that is given its memory has no like.
    let (Some(units), true) = (sizes(layer).next(), is_cell && node.from.len() <= 2) else {
        return Vec::new();
    };
    let others = ["Rnn(units: {})", "Lstm(units: {})", "Gru(units: {})"];
    let others = others.into_iter().chain(["Gru(units: {}, reset: After)"]);
    let other = |cell: &str| {
        let cell = Override::new(&place, cell.replace("{}", &units.to_string()));
        small.iter().filter(|o| o.path != place).cloned().chain([cell]).collect()
    };
    others.map(other).collect()
}

/// Everything to compute: each graph as it is and with other cells.
fn for_each_network(mut test: impl FnMut(&str, &Experiment, u64)) {
    for (path, seed) in graphs().iter().zip(5..) {
        let small = small(path);
        for overrides in [vec![small.clone()], with_other_cells(path, &small)].concat() {
            let experiment = load(path, &overrides);
            let hidden = overrides.iter().find(|o| o.path == "nodes.hidden.layer");
            let hidden = hidden.map_or("", |hidden| &hidden.value);
            test(&format!("{}, {hidden}", path.display()), &experiment, seed);
        }
    }
}

/// The network for data of random sizes, and a batch of it.
fn draw(experiment: &Experiment, (rows, steps): (usize, usize), seed: u64) -> (Engine<f64>, Batch) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let symbols = experiment.data.sizes().iter();
    // A vocabulary has its four special words.
    let sizes: Sizes = symbols.map(|symbol| (*symbol, rng.random_range(4..=9))).collect();
    let (plan, warnings) = experiment.plan(&sizes).unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let all = sizes.clone().with(Symbol::BATCH, rows).with(Symbol::TIME, steps);
    let mut batch = Batch::new();
    for input in &plan.inputs {
        let shape = input.shape.resolve(&all).expect("all sizes are bound");
        if input.is_tokens() {
            let limits = input.below.iter().map(|dim| sizes.resolve(*dim).expect("a bound size"));
            let limit = limits.min().expect("tokens index something") as u32;
            let tokens = batch.tokens_mut(&input.name, &shape);
            tokens.iter_mut().for_each(|token| *token = rng.random_range(0..limit));
            // At least one is not <NULL>, so that there is a loss.
            tokens[0] = rng.random_range(1..limit);
        } else {
            let values = batch.f64_mut(&input.name, &shape);
            values.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
        }
    }
    let engine = Engine::with_input_gradients(plan, sizes, seed, true);
    let mut engine = engine.unwrap_or_else(|error| panic!("{error}"));
    // First values are some of them 0, such as biases, and others so small that differences of the loss drown in rounding.
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    parameters.for_each(|x| *x = rng.random_range(-0.8..0.8));
    (engine, batch)
}

#[test]
fn every_graph_plans_without_a_warning() {
    for path in graphs() {
        let experiment = load(&path, &[]);
        let (_, warnings) = experiment.plan(&Sizes::new()).unwrap_or_else(|e| panic!("{e}"));
        assert!(warnings.is_empty(), "{}: {warnings:?}", path.display());
        println!("{}: {} nodes", path.display(), experiment.graph.nodes.len());
    }
}

#[test]
fn gradients_agree_with_finite_differences() {
    let mut worst = 0.0f64;
    for_each_network(|name, experiment, seed| {
        for lengths in LENGTHS {
            let (mut engine, batch) = draw(experiment, lengths, seed);
            let mode = Mode::Train { iteration: 2 };
            let found = gradient_check(&mut engine, &batch, mode, ELEMENTS, seed);
            let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
            let found = found.unwrap_or_else(|| panic!("{name}: nothing has a gradient"));
            assert_ne!(engine.loss(), Some(0.0), "{name}: nothing to differentiate");
            let error = found.relative_error;
            println!("{name}, {lengths:?}, {:?}, seed {seed}: {error:.1e}", engine.sizes());
            assert!(error <= GRADIENT_BOUND, "{name}, {lengths:?}, seed {seed}: {found}");
            worst = worst.max(error);
        }
    });
    println!("worst relative error {worst:.1e}");
}

#[test]
fn steps_equal_the_forward_pass() {
    let (mut worst, mut stepped) = (0.0f64, 0);
    for_each_network(|name, experiment, seed| {
        for lengths in LENGTHS {
            let (mut engine, batch) = draw(experiment, lengths, seed);
            let plan = engine.plan().clone();
            let Some(scores) = plan.output(SCORES).or_else(|| plan.value(SCORES)) else {
                println!("{name} has no `{SCORES}`: nothing to step");
                return;
            };
            engine.forward(&batch, Mode::Eval).unwrap_or_else(|error| panic!("{name}: {error}"));
            let steps = stepwise(&engine, &batch, SCORES);
            let steps = steps.unwrap_or_else(|error| panic!("{name}: {error}"));
            let error = Difference::of(&steps, engine.value(scores)).of_array;
            assert!(error <= STEP_BOUND, "{name}, {lengths:?}, seed {seed}: {error:.1e}");
            (worst, stepped) = (worst.max(error), stepped + 1);
        }
    });
    assert!(stepped > 0, "some graph writes captions");
    println!("{stepped} networks, worst difference {worst:.1e}");
}
