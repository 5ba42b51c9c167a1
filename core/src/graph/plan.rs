//! A checked network, laid out: what is computed in which order from what, and every array that takes.

use std::ops::Range;
use std::sync::Arc;

use super::definition::Definition;
use super::spec::{Feed, SCAN};
use crate::array::dim::{Dim, Symbol};
use crate::array::shape::{Shape, Sizes};
use crate::config::field::Factor;
use crate::config::init::Fill;
use crate::config::tagged::Tagged;
use crate::layer::Layer;
use crate::layer::context::Slot;
use crate::layer::form::{Abilities, Form, Lowered, Part};
use crate::layer::kernel::Operation;
use crate::layer::memory::MemoryPlan;
use crate::layer::signature::{ChannelMap, Facts, Meaning, ParameterPlan};
use crate::operations::scan::Starting;
use crate::scalar::Precision;

/// A network ready to run. Shapes are symbolic: one plan serves every batch size and length.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The number type that everything is computed in.
    pub precision: Precision,
    /// The arrays that data feeds and some node reads.
    pub inputs: Vec<InputPlan>,
    /// Arrays of numbers: first the inputs', then each node's outputs, in the order of computation.
    pub values: Vec<Value>,
    /// The nodes in the order of computation: each reads only values before its own.
    pub nodes: Vec<NodePlan>,
    /// What training changes, once however many nodes share it.
    pub parameters: Vec<Parameter>,
    /// The sizes that the graph file says, or that follow from it.
    pub sizes: Sizes,
    /// Results by role: an index into `values`.
    pub outputs: Vec<(String, usize)>,
    /// What goes from one batch to the next.
    pub carries: Vec<CarryPlan>,
    /// Set if arrays with time are arranged as [`Steps`](crate::Steps) says: the inputs by which the last position that
    /// counts is found, all positions if there are none.
    pub(crate) arranged: Option<Vec<CountedInput>>,
    /// What is done to parameters, in this order, before anything is computed. Only a plan that is not trained has any.
    pub(crate) folds: Vec<Fold>,
}

/// Weights that take on what a node after them does to channels. All are indices into the plan's parameters.
#[derive(Debug, Clone)]
pub(crate) struct Fold {
    /// What is scaled, a row for each channel.
    pub(crate) weights: usize,
    /// What is added to each channel before.
    pub(crate) bias: Option<usize>,
    /// What is added to each channel from then on.
    pub(crate) folded: usize,
    /// What is done to channels, and the parameters that it follows from.
    pub(crate) map: Arc<dyn ChannelMap>,
    pub(crate) from: Vec<usize>,
}

/// An input that holds what a value was for the batch before, and 0 where there was none. Both are indices into the
/// plan's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CarryPlan {
    /// The input.
    pub input: usize,
    /// The value that it holds for the next batch.
    pub value: usize,
}

/// Inputs that say which positions influence the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CountedInput {
    /// Those whose index in this token array is not `ignore`.
    Tokens {
        /// The entry of the table of tokens.
        at: usize,
        /// The index that does not count.
        ignore: Option<u32>,
    },
    /// Those where this value is not 0.
    Mask(usize),
}

impl CountedInput {
    /// Gives the value that it is another number.
    pub(crate) fn rename(&mut self, new: impl Fn(usize) -> usize) {
        if let CountedInput::Mask(value) = self {
            *value = new(*value);
        }
    }
}

/// An array that data feeds.
#[derive(Debug, Clone)]
pub struct InputPlan {
    /// The name that batches use.
    pub name: String,
    /// Its symbolic shape.
    pub shape: Shape,
    pub(crate) slot: Slot,
    /// For tokens, the sizes that every index must be below.
    pub below: Vec<Dim>,
}

impl InputPlan {
    /// Whether it takes vocabulary indices rather than numbers.
    pub fn is_tokens(&self) -> bool {
        matches!(self.slot, Slot::Tokens(_))
    }

    /// Whether it has a time dimension, so that sampling feeds it step by step.
    pub fn has_time(&self) -> bool {
        self.shape.has(Symbol::TIME)
    }
}

/// An array of numbers.
#[derive(Debug, Clone)]
pub struct Value {
    /// The input's or node's name, with the output's where a node has several.
    pub name: String,
    /// Its symbolic shape.
    pub shape: Shape,
    /// The token array whose different words are its rows, if it has a row for each of these in place of one for each
    /// position.
    pub(crate) words: Option<usize>,
}

/// One layer in its place.
#[derive(Debug, Clone)]
pub struct NodePlan {
    /// Its name.
    pub name: String,
    /// The layer that the graph file names, unless it has a body in place of one.
    pub layer: Option<Tagged<dyn Layer>>,
    /// The network that it runs once for each step, if it does.
    pub body: Option<Arc<Body>>,
    /// What passes ask for other forms of it; a chain has none, nor has a scan.
    pub(crate) definition: Option<Arc<Definition>>,
    /// The form that it is computed in.
    pub(crate) form: Form,
    /// What it computes, which may be a part of that layer, or more.
    pub(crate) operation: Arc<dyn Operation>,
    /// What people are told that this is.
    pub(crate) label: String,
    pub(crate) facts: Facts,
    pub(crate) abilities: Abilities,
    pub(crate) memory: MemoryPlan,
    /// The most steps that sequences may have, and the field of the layer that says so.
    pub(crate) longest: Option<(&'static str, usize)>,
    /// Which stream of random numbers is its own: its place in the plan that was not rewritten.
    pub(crate) stream: u64,
    /// The token array whose different words it goes through in place of positions.
    pub(crate) words: Option<usize>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) outputs: Range<usize>,
    /// Indices into the plan's parameters, in the order of the layer's signature.
    pub parameters: Vec<usize>,
}

/// An array that training changes.
#[derive(Debug, Clone)]
pub struct Parameter {
    /// The name of the node that owns it and its own: `hidden.wx`.
    pub name: String,
    /// Its shape, free of batch and time.
    pub shape: Shape,
    /// How its first values are drawn.
    pub fill: Fill,
    /// Whether weight decay applies to it.
    pub decays: bool,
    /// How far it moves at each update, if it is a running average that no gradient trains.
    pub momentum: Option<Factor>,
}

impl Parameter {
    /// Whether gradients train it: it is no running average.
    pub fn is_trained(&self) -> bool {
        self.momentum.is_none()
    }
}

impl Parameter {
    /// What a node says of it whose own it is.
    pub(crate) fn planned(&self) -> ParameterPlan {
        let Parameter { name, shape, fill, decays, momentum } = self.clone();
        ParameterPlan { name: name.into(), shape, fill, decays, momentum }
    }
}

impl NodePlan {
    /// Takes on other mathematics and the memory that it needs. Facts stay unless there are others.
    pub(crate) fn become_lowered(&mut self, lowered: Lowered, memory: MemoryPlan) {
        self.operation = lowered.operation;
        self.label = lowered.label;
        self.abilities = lowered.abilities;
        self.memory = memory;
        if let Some(facts) = lowered.facts {
            self.facts = facts;
        }
    }

    /// Takes on another form of its layer. Returns whether the layer has it.
    pub(crate) fn take_form(&mut self, form: Form) -> bool {
        let lowered = self.definition.as_ref().and_then(|definition| definition.lower(form));
        let Some((lowered, memory)) = lowered else { return false };
        self.form = form;
        self.become_lowered(lowered, memory);
        if form.relu {
            self.facts.meaning = Meaning::Other;
        }
        true
    }

    /// Takes on a part of its layer that computes something else than the layer. Returns the shape of that.
    pub(crate) fn take_part(&mut self, part: Part) -> Option<Shape> {
        let form = self.form.part(part);
        let (lowered, memory) = self.definition.as_ref()?.lower(form)?;
        let shape = lowered.output.clone()?;
        self.form = form;
        self.become_lowered(lowered, memory);
        Some(shape)
    }

    /// Changes the network that it runs once for each step, if it does, and becomes a loop over that.
    pub(crate) fn change_body(&mut self, change: impl FnOnce(&mut Body)) {
        let Some(body) = &self.body else { return };
        let mut body = Body::clone(body);
        change(&mut body);
        self.become_body(body);
    }

    /// Becomes a loop over a body.
    pub(crate) fn become_body(&mut self, mut body: Body) {
        body.plan.renumber();
        let (lowered, memory) = body.compile();
        self.become_lowered(lowered, memory);
        self.parameters = body.parameters();
        self.body = Some(Arc::new(body));
    }

    /// The values it reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = usize> {
        self.slots.iter().filter_map(|slot| slot.value())
    }

    /// Whether its output is its input's numbers in another shape.
    pub(crate) fn is_view(&self) -> bool {
        matches!(self.facts.meaning, Meaning::View)
    }

    /// Whether it goes through different words in place of positions.
    pub fn by_word(&self) -> bool {
        self.words.is_some()
    }

    /// What computes it: the layer that the graph file names, or what a pass has put in its place.
    pub fn kernel(&self) -> &str {
        &self.label
    }

    /// The name of what the graph file says that it computes: `Lstm`, `Scan`.
    pub fn tag(&self) -> &'static str {
        self.layer.as_ref().map_or(SCAN, |layer| layer.typetag_name())
    }

    /// Its outputs: indices into the plan's values.
    pub fn outputs(&self) -> Range<usize> {
        self.outputs.clone()
    }
}

impl Plan {
    /// Whether sequences end at their last position that counts.
    pub fn ends_early(&self) -> bool {
        self.arranged.as_ref().is_some_and(|counts| !counts.is_empty())
    }

    /// The value in this role, if the graph has one.
    pub fn output(&self, role: &str) -> Option<usize> {
        self.outputs.iter().find(|(name, _)| name == role).map(|(_, value)| *value)
    }

    /// The value of this name: a node's, an input's, or `node.output`.
    pub fn value(&self, name: &str) -> Option<usize> {
        self.values.iter().position(|value| value.name == name)
    }

    /// The parameter of this name, such as `hidden.wx`.
    pub fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| parameter.name == name)
    }

    /// How many numbers training changes, if all sizes are bound.
    pub fn parameter_count(&self, sizes: &Sizes) -> Option<usize> {
        let count = |p: &Parameter| Some(p.shape.resolve(sizes).ok()?.iter().product::<usize>());
        self.parameters.iter().map(count).sum()
    }

    /// Whether an input holds what a value was for the batch before, so that data does not feed it.
    pub fn is_carried(&self, input: &InputPlan) -> bool {
        input.slot.value().is_some_and(|at| self.carries.iter().any(|carry| carry.input == at))
    }

    /// For each node, whether `value` depends on it.
    pub fn needed_for(&self, value: usize) -> Vec<bool> {
        self.needed_for_any(&[value])
    }

    /// For each node, whether one of these values depends on it.
    pub(crate) fn needed_for_any(&self, results: &[usize]) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        let mut values = vec![false; self.values.len()];
        results.iter().for_each(|value| values[*value] = true);
        for (i, node) in self.nodes.iter().enumerate().rev() {
            needed[i] = node.outputs.clone().any(|output| values[output]);
            if needed[i] {
                node.reads().for_each(|read| values[read] = true);
            }
        }
        needed
    }
}

/// A network that runs once for each step.
///
/// Its parameters are the outer plan's: `parameters` of its nodes are indices into those, and its own table is only there
/// until they are.
#[derive(Debug, Clone)]
pub struct Body {
    /// The network of one step, without the dimension whose steps are taken. Its results are, in this order, what leaves
    /// the body and what is handed on.
    pub plan: Plan,
    /// The dimension whose steps are taken.
    pub(crate) over: Dim,
    /// What comes in, by port.
    pub(crate) ports: Vec<BodyPort>,
    /// What is handed on.
    pub(crate) carries: Vec<BodyCarry>,
    /// How many of the plan's results leave the body at each step.
    pub(crate) leaving: usize,
    /// What is handed on that leaves the body after the last step.
    pub(crate) last: Vec<usize>,
    /// The names of what the node computes: first what leaves at each step.
    pub(crate) names: Vec<String>,
}

/// Something that a body reads.
#[derive(Debug, Clone)]
pub(crate) struct BodyPort {
    /// What the plan calls it.
    pub(crate) name: String,
    pub(crate) feed: Feed,
    /// Its shape in the body.
    pub(crate) shape: Shape,
}

/// Something that a step hands on to the next.
#[derive(Debug, Clone)]
pub(crate) struct BodyCarry {
    /// What the plan calls it.
    pub(crate) name: String,
    pub(crate) shape: Shape,
    pub(crate) start: Starting,
}
