//! What holds for every graph file under `graphs/`, found by walking: a new file is under all of these tests by lying
//! there.
//!
//! Each is checked as it is, and computed with its larger sizes cut down, the same ones to the same number, so that
//! finite differences take milliseconds: `units: 512` is `units: 5` here, and a little more where kernels are to have
//! several panels of weights. Also with other cells in place of the node `hidden`.

#[path = "support/difference.rs"]
mod difference;
#[path = "support/paths.rs"]
mod paths;
#[path = "support/rewrites.rs"]
mod rewrites;

use std::collections::BTreeSet;
use std::iter;
use std::path::{Path, PathBuf};

use difference::Difference;
use engine::decode::SCORES;
use engine::{Experiment, Override};
use engine_core::engine::{Engine, Evaluator, gradient_check};
use engine_core::graph::{Content, Node, to_ron};
use engine_core::testing::stepwise;
use engine_core::{Batch, Mode, Shape, Sizes, Symbol, Tensor};
use paths::in_workspace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rewrites::{Outcome, selections};

/// Between the backward pass and finite differences of the forward pass.
const GRADIENT_BOUND: f64 = 1e-6;
/// Between the forward pass and one step after another.
const STEP_BOUND: f64 = 1e-12;

/// The elements of each array whose gradient is looked at.
const ELEMENTS: usize = 15;

/// Between a network and its rewrites, whose sums are taken in another order.
const REWRITE_BOUND: f64 = 1e-12;

/// Sizes up to this stay as they are; larger ones are cut down.
const SMALL: usize = 8;

/// What sizes are cut down to: the smallest of a graph to `units`, the next to one more. Those of the data are up to
/// `data`.
#[derive(Debug, Clone, Copy)]
struct Scale {
    units: usize,
    data: usize,
}

/// The most heads of an attention, which divide widths.
const HEADS: usize = 8;

/// Milliseconds for finite differences.
const FEW: Scale = Scale { units: 4, data: 9 };
/// More than one panel of weights, and not a whole number of them.
const PANELS: Scale = Scale { units: 37, data: 80 };

/// The input that the objectives of captioning networks compare with.
const TARGETS: &str = "words_out";

/// Batch and time.
const LENGTHS: [(usize, usize); 4] = [(3, 4), (1, 1), (1, 6), (4, 1)];

/// The folder with what graph files import, which is no network by itself, and that with networks that are not trained:
/// see `encoders.rs`.
const OTHERS: [&str; 2] = ["blocks", "encoders"];

/// Every `.ron` file in a folder and those in it.
fn graphs_in(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() && OTHERS.iter().any(|other| path.ends_with(other)) {
            continue;
        } else if path.is_dir() {
            found.extend(graphs_in(&path));
        } else if path.extension().is_some_and(|extension| extension == "ron") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn graphs() -> Vec<PathBuf> {
    let mut graphs = graphs_in(&in_workspace("graphs"));
    // Seeds follow the order, and those of networks that read features stay what they are.
    graphs.sort_by_key(|path| path.ends_with("caption_pixels.ron"));
    assert!(graphs.len() >= 3, "the captioners with an RNN, an LSTM, a GRU: {graphs:?}");
    graphs
}

fn load(path: &Path, overrides: &[Override]) -> Experiment {
    Experiment::load(path, overrides).unwrap_or_else(|error| panic!("{error}"))
}

/// The layers of a graph by node, each as a graph file writes it: of nodes that are written in the file itself, not in a
/// body or a block.
fn layers(experiment: &Experiment) -> Vec<(String, String)> {
    let nodes = experiment.graph.nodes.iter().filter(|node| !node.name.value.contains('/'));
    let layer = |node: &Node| match &node.content.as_ref()?.value {
        Content::Layer(layer) => Some(to_ron(layer).expect("a layer that writes")),
        Content::Scan(_) => None,
    };
    nodes.filter_map(|node| Some((node.name.value.clone(), layer(node)?))).collect()
}

/// The sizes that a graph file names, cut down by one factor: what divides another still does.
fn named_sizes(experiment: &Experiment, scale: Scale) -> Vec<Override> {
    let sizes = || experiment.graph.sizes.iter().filter(|(_, size)| *size > SMALL);
    let smallest = sizes().map(|(_, size)| *size).min().unwrap_or(1);
    let cut = |size: usize| (size * scale.units.next_multiple_of(HEADS) / smallest).to_string();
    sizes().map(|(name, size)| Override::new(format!("sizes.{}", name.value), cut(*size))).collect()
}

/// A graph file in double precision with its sizes cut down.
fn small(path: &Path, scale: Scale) -> Vec<Override> {
    let whole = load(path, &[]);
    let (layers, named) = (layers(&whole), named_sizes(&whole, scale));
    let sizes: BTreeSet<usize> = layers.iter().flat_map(|(_, layer)| sizes(layer)).collect();
    let large: Vec<usize> = sizes.into_iter().filter(|size| *size > SMALL).collect();
    let cut = |layer: &str| {
        large.iter().enumerate().fold(layer.to_owned(), |layer, (at, size)| {
            layer.replace(&format!("units:{size},"), &format!("units:{},", scale.units + at))
        })
    };
    let layers =
        layers.iter().map(|(node, l)| Override::new(format!("nodes.{node}.layer"), cut(l)));
    [Override::new("precision", "F64")].into_iter().chain(named).chain(layers).collect()
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
fn for_each_network(scale: Scale, mut test: impl FnMut(&str, &Experiment, u64)) {
    for (path, seed) in graphs().iter().zip(5..) {
        let small = small(path, scale);
        for overrides in [vec![small.clone()], with_other_cells(path, &small)].concat() {
            let experiment = load(path, &overrides);
            let hidden = overrides.iter().find(|o| o.path == "nodes.hidden.layer");
            let hidden = hidden.map_or("", |hidden| &hidden.value);
            test(&format!("{}, {hidden}", path.display()), &experiment, seed);
        }
    }
}

/// The network for data of random sizes.
fn network(
    experiment: &Experiment,
    scale: Scale,
    seed: u64,
    input_gradients: bool,
    rng: &mut ChaCha8Rng,
) -> Engine<f64> {
    let symbols = experiment.data.sizes().iter();
    // A vocabulary has its four special words.
    let drawn: Sizes = symbols.map(|symbol| (*symbol, rng.random_range(4..=scale.data))).collect();
    let sizes = written_sizes(experiment).fold(drawn, |sizes, (symbol, n)| sizes.with(symbol, n));
    let (plan, warnings) = experiment.plan(&sizes).unwrap_or_else(|error| panic!("{error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    let engine = Engine::with_input_gradients(plan, sizes, seed, input_gradients);
    let mut engine = engine.unwrap_or_else(|error| panic!("{error}"));
    shuffle_parameters(&mut engine, rng);
    engine
}

/// The sizes of data that the graph file writes as numbers, as it does those of pictures.
fn written_sizes(experiment: &Experiment) -> impl Iterator<Item = (Symbol, usize)> {
    let offers = experiment.data.inputs().iter();
    offers.flat_map(|offer| {
        let mut inputs = experiment.graph.inputs.iter();
        let read = inputs.find(|input| input.name == offer.name);
        let shape = read.and_then(|input| input.shape.as_ref());
        let both = offer.dims().zip(shape.into_iter().flat_map(Shape::dims));
        both.filter_map(|(offered, written)| Some((offered.symbol()?, written.size()?)))
    })
}

/// First values are some of them 0, such as biases, and others so small that differences of the loss drown in rounding.
fn shuffle_parameters(engine: &mut Engine<f64>, rng: &mut ChaCha8Rng) {
    let plan = engine.plan().clone();
    for (parameter, planned) in engine.parameters_mut().iter_mut().zip(&plan.parameters) {
        // A running variance is above 0.
        let low = if planned.is_trained() { -0.8 } else { 0.2 };
        parameter.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(low..0.8));
    }
}

/// A batch for a network, of captions of these lengths, which end in <NULL>; an array that is not the objective's may go
/// on with other words.
fn captions(engine: &Engine<f64>, lengths: &[usize], steps: usize, rng: &mut ChaCha8Rng) -> Batch {
    let sizes = engine.sizes();
    let all = sizes.clone().with(Symbol::BATCH, lengths.len()).with(Symbol::TIME, steps);
    let mut batch = Batch::new();
    for input in &engine.plan().inputs {
        let shape = input.shape.resolve(&all).expect("all sizes are bound");
        if input.is_tokens() {
            let limits = input.below.iter().map(|dim| sizes.resolve(*dim).expect("a bound size"));
            let limit = limits.min().expect("tokens index something") as u32;
            let tokens = batch.tokens_mut(&input.name, &shape);
            tokens.iter_mut().for_each(|token| *token = rng.random_range(0..limit));
            // At least one is not <NULL>, so that there is a loss.
            tokens[0] = rng.random_range(1..limit);
            if input.has_time() && (input.name == TARGETS || rng.random_bool(0.5)) {
                let captions = tokens.chunks_mut(steps).zip(lengths);
                captions.for_each(|(words, length)| words[*length..].fill(0));
            }
        } else {
            let values = batch.f64_mut(&input.name, &shape);
            values.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
        }
    }
    batch
}

/// Captions of which some are empty and some as long as their array.
fn random_lengths(rng: &mut ChaCha8Rng) -> (Vec<usize>, usize) {
    let (rows, steps) = (rng.random_range(2..=9), rng.random_range(2..=8));
    let length = |_| match rng.random_range(0..4) {
        0 => 0,
        1 => steps,
        _ => rng.random_range(0..=steps),
    };
    ((0..rows).map(length).collect(), steps)
}

/// A network of few units, of which inputs get gradients as well, and a batch for it.
fn draw(experiment: &Experiment, (rows, steps): (usize, usize), seed: u64) -> (Engine<f64>, Batch) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let engine = network(experiment, FEW, seed, true, &mut rng);
    let batch = captions(&engine, &vec![steps; rows], steps, &mut rng);
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
    for_each_network(FEW, |name, experiment, seed| {
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

/// What a network, and each of its rewrites, computes step by step is what the network computes at once.
#[test]
fn steps_equal_the_forward_pass() {
    let (mut worst, mut stepped) = (0.0f64, 0);
    for_each_network(FEW, |name, experiment, seed| {
        for lengths in LENGTHS {
            let (engine, batch) = draw(experiment, lengths, seed);
            let Some(error) = worst_of_steps(&engine, &batch, name) else { return };
            (worst, stepped) = (worst.max(error), stepped + 1);
        }
    });
    for_each_network(PANELS, |name, experiment, seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let engine = network(experiment, PANELS, seed, false, &mut rng);
        let (lengths, steps) = random_lengths(&mut rng);
        let batch = captions(&engine, &lengths, steps, &mut rng);
        let Some(error) = worst_of_steps(&engine, &batch, name) else { return };
        (worst, stepped) = (worst.max(error), stepped + 1);
    });
    assert!(stepped > 0, "some graph writes captions");
    println!("{stepped} batches, worst difference {worst:.1e}");
}

/// The largest difference between scores step by step and at once, of the network and all its rewrites; `None` for one
/// that scores no words.
fn worst_of_steps(engine: &Engine<f64>, batch: &Batch, name: &str) -> Option<f64> {
    let mut plain = engine.clone();
    let scores = plain.plan().output(SCORES).or_else(|| plain.plan().value(SCORES));
    let timed = |scores: &usize| plain.plan().values[*scores].shape.has(Symbol::TIME);
    let Some(scores) = scores.filter(timed) else {
        println!("{name} has no `{SCORES}` over time: nothing to step");
        return None;
    };
    plain.forward(batch, Mode::Eval).unwrap_or_else(|error| panic!("{name}: {error}"));
    let rewritten = selections();
    let rewritten = rewritten.iter().map(|(what, passes)| {
        let engine = engine.clone().rewritten(passes);
        (what.as_str(), engine)
    });
    let errors =
        iter::once(("as written", engine.clone())).chain(rewritten).map(|(what, engine)| {
            let steps = stepwise(&engine, batch, SCORES);
            let steps = steps.unwrap_or_else(|error| panic!("{name}, {what}: {error}"));
            let error = Difference::of(&steps, plain.value(scores)).of_array;
            assert!(error <= STEP_BOUND, "{name}, {what}, {:?}: {error:.1e}", engine.sizes());
            error
        });
    Some(errors.fold(0.0, f64::max))
}

/// What is computed without a way back, in memory that arrays share, is what the network computes: for all its outputs and
/// for each, on one batch after the other.
#[test]
fn evaluation_is_the_forward_pass() {
    let mut worst = 0.0f64;
    for_each_network(FEW, |name, experiment, seed| {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut engine = network(experiment, FEW, seed, false, &mut rng);
        let roles: Vec<String> = engine.plan().outputs.iter().map(|(r, _)| r.clone()).collect();
        let roles: Vec<&str> = roles.iter().map(String::as_str).collect();
        for asked in iter::once(roles.clone()).chain(roles.iter().map(|role| vec![*role])) {
            for (what, passes) in selections() {
                let made = Evaluator::of(&engine, &asked, &passes);
                let mut evaluator = made.unwrap_or_else(|error| panic!("{name}: {error}"));
                for (rows, steps) in LENGTHS {
                    let batch = captions(&engine, &vec![steps; rows], steps, &mut rng);
                    engine.forward(&batch, Mode::Eval).unwrap_or_else(|e| panic!("{name}: {e}"));
                    evaluator.run(&batch).unwrap_or_else(|error| panic!("{name}: {error}"));
                    for role in &asked {
                        let of = |array: Option<&Tensor<f64>>| array.expect("the role").clone();
                        let (found, exact) = (of(evaluator.output(role)), of(engine.output(role)));
                        let error = Difference::of(&found, &exact).of_array;
                        assert!(error <= STEP_BOUND, "{name}, {what}, `{role}`: {error:.1e}");
                        worst = worst.max(error);
                    }
                }
            }
        }
    });
    println!("worst difference {worst:.1e}");
}

/// One training step after another on batches of unlike sizes, with other parameters for each new batch.
#[test]
fn rewritten_networks_compute_what_is_written() {
    let (mut worst, mut steps) = (0.0f64, 0);
    for scale in [FEW, PANELS] {
        for_each_network(scale, |name, experiment, seed| {
            for (seed, input_gradients) in [(seed, false), (seed + 100, true)] {
                let mut rng = ChaCha8Rng::seed_from_u64(seed);
                let engine = network(experiment, scale, seed, input_gradients, &mut rng);
                let plain = written(&engine, &mut rng);
                let mut worst_here = (0.0, String::new());
                for (what, passes) in selections() {
                    let mut rewritten = engine.clone().rewritten(&passes);
                    for (at, step) in plain.iter().enumerate() {
                        let what = format!("{what}, step {at} on {}", step.what);
                        let found = step.taken_by(&mut rewritten);
                        let (error, of) = found.difference(&step.outcome);
                        let what = format!("{what}: {of} by {error:.1e}");
                        assert!(error <= REWRITE_BOUND, "{name}, seed {seed}, {what}");
                        let eval = evaluated(&mut rewritten, &step.batch);
                        let near = (eval - step.evaluated).abs() <= REWRITE_BOUND * eval.max(1.0);
                        assert!(near, "{name}, seed {seed}, {what}: {eval} outside training");
                        if error > worst_here.0 {
                            worst_here = (error, what);
                        }
                        steps += 1;
                    }
                }
                println!("{name}, {:?}, seed {seed}: {}", engine.sizes(), worst_here.1);
                worst = worst.max(worst_here.0);
            }
        });
    }
    println!("{steps} steps, worst difference {worst:.1e}");
}

/// A training step of a network as it is written.
struct Written {
    what: String,
    iteration: u64,
    /// The network's parameters, where they are others than at the step before.
    parameters: Option<Vec<Tensor<f64>>>,
    batch: Batch,
    outcome: Outcome,
    /// The loss outside training.
    evaluated: f64,
}

impl Written {
    /// What the same step of another network comes to.
    fn taken_by(&self, engine: &mut Engine<f64>) -> Outcome {
        if let Some(parameters) = &self.parameters {
            engine.parameters_mut().clone_from_slice(parameters);
        }
        Outcome::of(engine, &self.batch, Mode::Train { iteration: self.iteration })
    }
}

/// Steps on batches of unlike sizes, some of which come again; one is a single word, and of one nothing counts.
fn written(engine: &Engine<f64>, rng: &mut ChaCha8Rng) -> Vec<Written> {
    let mut engine = engine.clone();
    let drawn = [random_lengths(rng), random_lengths(rng)];
    let [first, second] = drawn;
    let batches: Vec<_> = [first, second, (vec![1], 1), (vec![0], 1), (vec![0, 0, 0], 2)]
        .into_iter()
        .map(|(lengths, steps)| {
            (format!("{lengths:?} of {steps}"), captions(&engine, &lengths, steps, rng))
        })
        .collect();
    let mut last = 0;
    let steps = (1..).zip([0, 0, 1, 2, 1, 3, 0, 4, 1]).map(|(iteration, at): (u64, usize)| {
        let fresh = at != last;
        if fresh {
            shuffle_parameters(&mut engine, rng);
        }
        last = at;
        let (what, batch) = &batches[at];
        let outcome = Outcome::of(&mut engine, batch, Mode::Train { iteration });
        Written {
            what: what.clone(),
            iteration,
            parameters: fresh.then(|| engine.parameters().to_vec()),
            batch: batch.clone(),
            outcome,
            evaluated: evaluated(&mut engine, batch),
        }
    });
    steps.collect()
}

/// The loss outside training.
fn evaluated(engine: &mut Engine<f64>, batch: &Batch) -> f64 {
    engine.forward(batch, Mode::Eval).unwrap_or_else(|error| panic!("{error}"));
    engine.loss().expect("a loss")
}
