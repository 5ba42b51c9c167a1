//! A layer over random inputs, as a graph of one or more nodes.

#![allow(dead_code, reason = "each test file uses its share")]

use std::fmt;
use std::sync::Arc;

use engine::Experiment;
use engine_core::engine::Engine;
use engine_core::graph::{Checked, Document};
use engine_core::layer::port::Need;
use engine_core::testing::{Value, random_inputs};
use engine_core::{
    Axis, Batch, Dim, Layer, Port, Precision, Scalar, Sizes, Symbol, Tagged, Tensor,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A layer as a graph file writes it, over inputs and sizes that a seed decides.
pub(crate) struct Drawn {
    pub(crate) layer: String,
    seed: u64,
    /// Whether optional ports are wired.
    optional: bool,
    inputs: Vec<Value<f64>>,
    /// For each input, its shape as a graph file declares it.
    declared: Vec<String>,
    sizes: Sizes,
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} over [{}]", self.layer, self.declared.join("], ["))?;
        let wired = if self.optional { "" } else { ", optional ports left out" };
        write!(f, "{wired}, {:?}, seed {}", self.sizes, self.seed)
    }
}

/// After so many draws that a layer refuses, sizes may be larger by one.
const PATIENCE: u64 = 20;
/// After so many, the layer takes no sizes at all.
const MOST_DRAWS: u64 = 400;

impl Drawn {
    /// Draws sizes from 1 to `largest`, again while the layer refuses them, as one does that takes only some widths, and
    /// from ever larger ones.
    pub(crate) fn new(layer: &str, seed: u64, optional: bool, largest: usize) -> Self {
        let draw = |again: u64| {
            let largest = largest + (again / PATIENCE) as usize;
            Self::once(layer, seed + again * 1000, optional, largest)
        };
        let mut draws = (0..MOST_DRAWS).map(draw);
        draws.find(|drawn| drawn.check::<f64>(&["out"]).plan.is_some()).unwrap_or_else(|| draw(0))
    }

    fn once(layer: &str, seed: u64, optional: bool, largest: usize) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let parsed: Tagged<dyn Layer> = parse(layer);
        let (mut inputs, mut sizes) = random_inputs(&*parsed, optional, largest, &mut rng);
        inputs.iter_mut().for_each(away_from_zero);
        for symbol in symbols(layer) {
            if sizes.get(symbol).is_none() {
                sizes.set(symbol, rng.random_range(1..=largest));
            }
        }
        let ports = parsed.ports();
        let port = |at: usize| ports.get(at).unwrap_or_else(|| ports.last().expect("a port"));
        let declared = inputs.iter().enumerate().map(|(at, input)| declare(port(at), shape(input)));
        let declared = declared.collect();
        Drawn { layer: layer.to_owned(), seed, optional, inputs, declared, sizes }
    }

    /// The graph in a precision: nodes of these names, all over the same inputs and with the first one's parameters.
    /// Each node is a result in the role of its name.
    fn check<T: Scalar>(&self, names: &[&str]) -> Checked {
        let precision = match T::PRECISION {
            Precision::F32 => "F32",
            Precision::F64 => "F64",
        };
        let declared = self.declared.iter().enumerate();
        let inputs: String = declared.map(|(at, s)| format!("\"x{at}\": [{s}], ")).collect();
        let from: String = (0..self.inputs.len()).map(|at| format!("\"x{at}\", ")).collect();
        let node = |(at, name): (usize, &&str)| {
            let shared = format!(", weights_of: \"{}\"", names[0]);
            let shared = if at == 0 { "" } else { &shared };
            format!("(name: \"{name}\", layer: {}, from: [{from}]{shared}), ", self.layer)
        };
        let nodes: String = names.iter().enumerate().map(node).collect();
        let outputs: String = names.iter().map(|n| format!("\"{n}\": \"{n}\", ")).collect();
        let document = Document::new(
            "drawn",
            format!(
                "Graph(precision: {precision}, inputs: {{{inputs}}}, nodes: [{nodes}], outputs: {{{outputs}}})"
            ),
        );
        let experiment = Experiment::read("drawn".into(), document, &[]);
        let experiment = experiment.unwrap_or_else(|error| panic!("{self}: {error}"));
        experiment.graph.check(&self.sizes, None)
    }

    /// The network of such a graph. All parameters are other than 0.
    pub(crate) fn engine<T: Scalar>(&self, names: &[&str]) -> Engine<T> {
        let checked = self.check::<T>(names);
        let plan = checked.plan.unwrap_or_else(|| panic!("{self}: {:?}", checked.faults));
        let engine =
            Engine::with_input_gradients(Arc::new(plan), self.sizes.clone(), self.seed, true);
        let mut engine = engine.unwrap_or_else(|error| panic!("{self}: {error}"));
        // On top of the first values, some of which are 0, such as biases.
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
        parameters.for_each(|x| *x += T::of(rng.random_range(-0.5..0.5)));
        engine
    }

    /// Whether an input has a time dimension.
    pub(crate) fn has_time(&self) -> bool {
        let time = Dim::TIME.to_string();
        self.declared.iter().any(|shape| shape.split(", ").any(|dim| dim == time))
    }

    /// The inputs.
    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (at, input) in self.inputs.iter().enumerate() {
            let (name, shape) = (format!("x{at}"), shape(input));
            match input {
                Value::Real(x) => batch.f64_mut(&name, shape).copy_from_slice(x.as_slice()),
                Value::Tokens(x) => batch.tokens_mut(&name, shape).copy_from_slice(x.as_slice()),
            }
        }
        batch
    }
}

/// Reads a layer, or whatever else a graph file can name.
pub(crate) fn parse<O: ?Sized>(text: &str) -> Tagged<O>
where
    Box<O>: for<'de> serde::Deserialize<'de>,
{
    try_parse(text).unwrap_or_else(|message| panic!("{text}: {message}"))
}

/// As [`parse`], or what is wrong in words.
pub(crate) fn try_parse<O: ?Sized>(text: &str) -> Result<Tagged<O>, String>
where
    Box<O>: for<'de> serde::Deserialize<'de>,
{
    let document = Document::new("text", text);
    document.parse(document.text()).map_err(|fault| fault.display(&document).to_string())
}

/// How near to 0 an input never is.
const GAP: f64 = 1e-2;

/// Takes numbers near 0 away from it: a difference of values on both sides of a kink such as ReLU's is no slope, and the
/// two-sided stencil would be right to disagree with either side's. The stencil is a fiftieth of this gap.
fn away_from_zero(input: &mut Value<f64>) {
    if let Value::Real(x) = input {
        x.as_mut_slice().iter_mut().filter(|x| x.abs() < GAP).for_each(|x| *x += GAP.copysign(*x));
    }
}

/// Every symbolic size that a layer's text may mention: all words that begin with a capital but the layer's own name. A
/// word that is no size after all, such as `After`, is bound for nothing.
fn symbols(layer: &str) -> impl Iterator<Item = Symbol> {
    let words = layer.split(|c: char| !c.is_alphanumeric() && c != '_').skip(1);
    words.filter(|word| word.starts_with(|c: char| c.is_uppercase())).map(Symbol::new)
}

fn shape(input: &Value<f64>) -> &[usize] {
    match input {
        Value::Real(x) => x.shape(),
        Value::Tokens(x) => x.shape(),
    }
}

/// An input's shape as a graph file declares it: batch and time by name, all else by number. A port that takes any shape
/// got `[Batch, Time, ..]`, see [`random_inputs`].
fn declare(port: &Port, lengths: &[usize]) -> String {
    let begins_anyhow = port.shape.first() == Some(&Axis::Rest);
    let name = |at: usize| match port.shape.get(at) {
        _ if begins_anyhow => [Dim::BATCH, Dim::TIME].get(at).copied(),
        Some(Axis::Is(dim)) if dim.is(Symbol::BATCH) || dim.is(Symbol::TIME) => Some(*dim),
        _ => None,
    };
    let dims = lengths.iter().enumerate().map(|(at, n)| name(at).unwrap_or(Dim::Fixed(*n)));
    dims.map(|dim| dim.to_string()).collect::<Vec<_>>().join(", ")
}

/// Whether a layer has ports that need not be wired.
pub(crate) fn has_optional_ports(layer: &str) -> bool {
    let layer: Tagged<dyn Layer> = parse(layer);
    layer.ports().iter().any(|port| port.need == Need::Optional)
}

/// An array of random numbers between -1 and 1 of another's shape.
pub(crate) fn noise_like<T: Scalar>(like: &Tensor<T>, seed: u64) -> Tensor<f64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let values = like.as_slice().iter().map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(like.shape(), values).expect("the same number of elements")
}
