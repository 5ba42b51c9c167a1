//! Laws: what a layer says about itself, held against what it computes.

use std::sync::Arc;

use rand::{Rng, RngExt};

use crate::array::batch::{Batch, Elements};
use crate::array::dim::Symbol;
use crate::array::shape::Shape;
use crate::array::tensor::Tensor;
use crate::engine::Engine;
use crate::graph::{NodePlan, Plan};
use crate::layer::context::{Mode, Slot};
use crate::layer::form::Form;
use crate::layer::signature::Dependence;

/// An engine whose only node is computed in another form, with the same parameters; `None` if its layer does not have it.
/// Only forms of the whole layer over its own parameters can be had so.
///
/// # Panics
/// When the engine's plan has another number of nodes than one.
pub fn in_form(engine: &Engine<f64>, form: Form) -> Option<Engine<f64>> {
    let mut plan = Plan::clone(engine.plan());
    let [node] = &mut plan.nodes[..] else { panic!("expected a single node") };
    if !node.take_form(form) {
        return None;
    }
    let sizes = engine.sizes().clone();
    let changed = Engine::with_input_gradients(Arc::new(plan), sizes, engine.seed(), true);
    let mut changed = changed.expect("the same sizes were bound before");
    let pairs = changed.parameters_mut().iter_mut().zip(engine.parameters());
    pairs.for_each(|(to, from)| to.clone_from(from));
    Some(changed)
}

/// What the only node of an engine says of how its outputs depend on each port, as far as it is not true of this batch: the
/// first law that is broken, in words.
///
/// Each law is about evaluation, and holds bit for bit: numbers of one place are changed, and outputs at places that do
/// not depend on them must stay.
///
/// # Panics
/// When the engine's plan has another number of nodes than one, or the batch does not fit.
pub fn broken_law(engine: &mut Engine<f64>, batch: &Batch, rng: &mut impl Rng) -> Option<String> {
    let plan = engine.plan().clone();
    let [node] = &plan.nodes[..] else { panic!("expected a single node") };
    let before = outputs(engine, node, batch);
    for (port, slot) in node.slots.iter().enumerate() {
        let Some(input) = plan.inputs.iter().find(|input| input.slot == *slot) else { continue };
        if matches!(slot, Slot::Absent) {
            continue;
        }
        let dependence = node.facts.of(port);
        for _ in 0..DRAWS {
            let place = Place::draw(dependence, &input.shape, batch, &input.name, rng);
            let Some(changed) = place.change(batch, &input.name) else { continue };
            let after = outputs(engine, node, &changed);
            for (at, value) in node.outputs.clone().enumerate() {
                let shape = &plan.values[value].shape;
                if let Some(element) = place.reaches_too_far(shape, &before[at], &after[at]) {
                    return Some(format!(
                        "port {port} is {dependence:?}, and yet its {place:?} changes element {element} of output {at}"
                    ));
                }
            }
        }
    }
    let narrow = node.facts.widest() <= Dependence::Item;
    narrow.then(|| unequal(engine, &plan, node, batch, rng)).flatten()
}

/// How often each law is tried for each port.
const DRAWS: usize = 4;

fn outputs(engine: &mut Engine<f64>, node: &NodePlan, batch: &Batch) -> Vec<Tensor<f64>> {
    engine.forward(batch, Mode::Eval).unwrap_or_else(|error| panic!("{error}"));
    node.outputs.clone().map(|value| engine.value(value).clone()).collect()
}

/// The dimensions that positions are counted along: the batch, and time where it comes after that.
fn lead(shape: &Shape) -> usize {
    shape.batch_lead()
}

/// A part of an input that is changed.
#[derive(Debug)]
enum Place {
    /// One element.
    Element(usize),
    /// The elements of one row of the last dimension.
    Row { row: usize, width: usize },
    /// All that an input has at a step of a sequence.
    Position { sequence: usize, step: usize, onwards: bool, steps: usize },
    /// Nothing is promised.
    Anything,
}

impl Place {
    fn draw(
        dependence: Dependence,
        shape: &Shape,
        batch: &Batch,
        name: &str,
        rng: &mut impl Rng,
    ) -> Self {
        let lengths = batch.get(name).map(|array| array.shape().to_vec()).unwrap_or_default();
        let count: usize = lengths.iter().product();
        let width = lengths.last().copied().unwrap_or(1);
        if count == 0 {
            return Place::Anything;
        }
        match dependence {
            Dependence::Elementwise => Place::Element(rng.random_range(0..count)),
            Dependence::Row => Place::Row { row: rng.random_range(0..count / width), width },
            Dependence::Item
            | Dependence::Position
            | Dependence::Batch
            | Dependence::Past
            | Dependence::StartOnly
                if lead(shape) > 0 =>
            {
                let steps = if lead(shape) == 2 { lengths[1] } else { 1 };
                Place::Position {
                    sequence: rng.random_range(0..lengths[0]),
                    step: rng.random_range(0..steps),
                    onwards: dependence >= Dependence::Past,
                    steps,
                }
            }
            _ => Place::Anything,
        }
    }

    /// The batch with other numbers at this place of an input; `None` for tokens, or where nothing is promised.
    fn change(&self, batch: &Batch, name: &str) -> Option<Batch> {
        let mut changed = batch.clone();
        let shape = batch.get(name)?.shape().to_vec();
        let Elements::F64(_) = batch.get(name)?.elements() else { return None };
        let numbers = changed.f64_mut(name, &shape);
        if let Elements::F64(old) = batch.get(name)?.elements() {
            numbers.copy_from_slice(old);
        }
        let range = match *self {
            Place::Element(at) => at..at + 1,
            Place::Row { row, width } => row * width..(row + 1) * width,
            Place::Position { sequence, step, steps, .. } => {
                let length = numbers.len() / (shape[0] * steps);
                let first = (sequence * steps + step) * length;
                first..first + length
            }
            Place::Anything => return None,
        };
        numbers[range].iter_mut().for_each(|x| *x = 1.5 - 0.5 * *x);
        Some(changed)
    }

    /// An element of an output that changes and may not.
    fn reaches_too_far(
        &self,
        shape: &Shape,
        before: &Tensor<f64>,
        after: &Tensor<f64>,
    ) -> Option<usize> {
        let lengths = before.shape();
        let count = before.as_slice().len();
        let steps = if lead(shape) == 2 { lengths[1] } else { 1 };
        let length = (count / (lengths.first().copied().unwrap_or(1) * steps).max(1)).max(1);
        let may = |element: usize| match *self {
            Place::Element(at) => element == at,
            Place::Row { row, .. } => element / lengths.last().copied().unwrap_or(1).max(1) == row,
            // A single number, such as an objective, stands for all sequences.
            Place::Position { .. } if lead(shape) == 0 => true,
            Place::Position { sequence, step, onwards, steps: of_input } => {
                let (n, t) = (element / length / steps, element / length % steps);
                let same_step = steps == 1 || of_input == 1 || t == step || onwards && t > step;
                n == sequence && same_step
            }
            Place::Anything => true,
        };
        let pairs = before.as_slice().iter().zip(after.as_slice()).enumerate();
        let mut changed = pairs.filter(|(_, (a, b))| a.to_bits() != b.to_bits());
        changed.find(|(element, _)| !may(*element)).map(|(element, _)| element)
    }
}

/// Whether equal inputs at two sequences give other outputs there.
fn unequal(
    engine: &mut Engine<f64>,
    plan: &Plan,
    node: &NodePlan,
    batch: &Batch,
    rng: &mut impl Rng,
) -> Option<String> {
    let mut equal = batch.clone();
    let mut sequences = usize::MAX;
    let led = plan.inputs.iter().filter(|input| input.shape.has(Symbol::BATCH));
    if led.clone().any(|input| lead(&input.shape) == 0) {
        return None;
    }
    for input in led.clone() {
        sequences = sequences.min(batch.get(&input.name)?.shape()[0]);
    }
    if sequences < 2 || sequences == usize::MAX {
        return None;
    }
    let to = rng.random_range(1..sequences);
    for input in led {
        let array = batch.get(&input.name)?;
        let (shape, length) = (array.shape().to_vec(), array.shape()[1..].iter().product());
        macro_rules! copy {
            ($old:expr, $new:expr) => {{
                let numbers = $new;
                numbers.copy_from_slice($old);
                numbers.copy_within(0..length, to * length);
            }};
        }
        match array.elements() {
            Elements::F64(old) => copy!(old, equal.f64_mut(&input.name, &shape)),
            Elements::Tokens(old) => copy!(old, equal.tokens_mut(&input.name, &shape)),
            Elements::F32(_) => return None,
        }
    }
    let values = outputs(engine, node, &equal);
    for (at, (value, array)) in node.outputs.clone().zip(&values).enumerate() {
        if lead(&plan.values[value].shape) == 0 {
            continue;
        }
        let length: usize = array.shape()[1..].iter().product();
        let row = |n: usize| &array.as_slice()[n * length..(n + 1) * length];
        let pairs = row(0).iter().zip(row(to));
        if pairs.into_iter().any(|(a, b)| a.to_bits() != b.to_bits()) {
            return Some(format!(
                "sequences 0 and {to} have equal inputs and other numbers in output {at}"
            ));
        }
    }
    None
}
