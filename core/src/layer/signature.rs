//! What a layer says about itself: outputs, parameters, and what outputs depend on.

use std::borrow::Cow;
use std::fmt::Debug;
use std::sync::Arc;

use crate::array::shape::Shape;
use crate::config::field::Factor;
use crate::config::init::Fill;
use crate::pointwise::{Columns, Function};

/// What an output depends on, for one of the ports. From the narrowest to the widest.
///
/// A *position* is one step of one sequence; an array without time has one position for each sequence. Each claim is a
/// law: the tests hold every registered layer to what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Dependence {
    /// Each number depends on the number at the same place of the input.
    Elementwise,
    /// Each row, along the last dimension, depends on the same row of the input, whatever the dimensions before it are.
    Row,
    /// Each position depends on the same position of the input: equal inputs give equal outputs.
    Item,
    /// Each position depends on the same position of the input, and on where it is in the batch: noise is drawn for it.
    Position,
    /// As [`Item`](Dependence::Item) where nothing is trained; in training, on all positions of the batch, in any order.
    Batch,
    /// Each position depends on the same position of the input and on those before it, in packed sequences as well as in
    /// full arrays.
    Past,
    /// The first step depends on the input, which has no time; later steps do not read it.
    StartOnly,
    /// Each position may depend on all positions, also on those to come.
    Whole,
}

/// What a layer computes, as far as a rewrite can make use of it.
#[derive(Debug, Clone, Default)]
pub enum Meaning {
    /// Nothing that a rewrite knows.
    #[default]
    Other,
    /// `x w + b`: x is the only port, w and b are the first parameters, b perhaps left out.
    Affine,
    /// Rows of the first parameter, one for each index at the only port.
    Lookup,
    /// This function of all inputs, element by element.
    Elementwise(Arc<dyn Function>),
    /// These columns of the only input.
    Columns(Columns),
    /// The numbers of the only input in their order, in another shape.
    View,
    /// An objective: a single number, over the positions that count.
    Objective(Counted),
    /// Of the only input, channel c, the second dimension, is linear in row c of the first parameter, plus number c of
    /// the second if there is one.
    LinearChannels,
    /// The channels of the only input, each scaled and shifted by what follows from the parameters, when nothing is
    /// trained.
    ChannelMap(Arc<dyn ChannelMap>),
    /// What sequences end with, wherever their arrays end.
    Last,
}

/// Which positions influence an objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// The port with the targets.
    pub targets: usize,
    /// The target whose positions do not count.
    pub ignore: Option<u32>,
    /// The port with a mask. Where it is wired, it decides alone: what is 0 does not count.
    pub mask: usize,
}

/// What a layer does to the channels of its only port, the second dimension, when nothing is trained.
pub trait ChannelMap: Debug + Send + Sync {
    /// For each channel s and t of x s + t, from the layer's parameters in their order.
    fn scale_and_shift(&self, parameters: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>);
}

/// What passes know about the mathematics of a node.
#[derive(Debug, Clone)]
pub struct Facts {
    /// What outputs depend on, where no port says otherwise.
    dependence: Dependence,
    /// The ports of which outputs depend in another way.
    ports: Vec<(usize, Dependence)>,
    /// What is computed.
    pub meaning: Meaning,
}

impl Facts {
    /// Outputs depend on all ports in this way.
    pub fn new(dependence: Dependence) -> Self {
        Facts { dependence, ports: Vec::new(), meaning: Meaning::Other }
    }

    /// The same, but for one port.
    pub fn port(mut self, port: usize, dependence: Dependence) -> Self {
        self.ports.push((port, dependence));
        self
    }

    /// The same, with what is computed.
    pub fn meaning(mut self, meaning: Meaning) -> Self {
        self.meaning = meaning;
        self
    }

    /// How outputs depend on a port.
    pub fn of(&self, port: usize) -> Dependence {
        let own = self.ports.iter().find(|(at, _)| *at == port);
        own.map_or(self.dependence, |(_, dependence)| *dependence)
    }

    /// The widest dependence on any of the ports.
    pub fn widest(&self) -> Dependence {
        self.ports.iter().map(|(_, dependence)| *dependence).fold(self.dependence, Ord::max)
    }
}

/// One array that training changes.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterPlan {
    /// The name within its node, such as `wx`.
    pub name: Cow<'static, str>,
    /// Its shape, free of batch and time.
    pub shape: Shape,
    /// How its first values are drawn.
    pub fill: Fill,
    /// Whether weight decay applies: to weights, not to biases.
    pub decays: bool,
    /// How far it moves at each update, if it is an [`average`](Signature::average) that no gradient trains.
    pub momentum: Option<Factor>,
}

/// A layer seen from outside: outputs, parameters, and what passes know about it.
#[derive(Debug, Clone)]
pub struct Signature {
    pub(crate) outputs: Vec<(Cow<'static, str>, Shape)>,
    pub(crate) parameters: Vec<ParameterPlan>,
    pub(crate) facts: Facts,
    pub(crate) longest: Option<(&'static str, usize)>,
}

impl Signature {
    /// One output of this shape, which other nodes reach by the node's name, and how it depends on the inputs.
    pub fn output(shape: impl Into<Shape>, dependence: Dependence) -> Self {
        Signature {
            outputs: vec![("".into(), shape.into())],
            parameters: Vec::new(),
            facts: Facts::new(dependence),
            longest: None,
        }
    }

    /// One more output, which other nodes reach as `node.name`.
    pub fn and_output(mut self, name: &'static str, shape: impl Into<Shape>) -> Self {
        self.outputs.push((name.into(), shape.into()));
        self
    }

    /// Outputs depend on one of the ports in another way.
    pub fn port(mut self, port: usize, dependence: Dependence) -> Self {
        self.facts = self.facts.port(port, dependence);
        self
    }

    /// What is computed, for passes that know how to make use of it.
    pub fn meaning(mut self, meaning: Meaning) -> Self {
        self.facts = self.facts.meaning(meaning);
        self
    }

    /// Sequences have at most so many steps; `field` of the layer's configuration is where that is written.
    pub fn longest(mut self, field: &'static str, steps: usize) -> Self {
        self.longest = Some((field, steps));
        self
    }

    /// A parameter to which weight decay applies.
    pub fn weights(self, name: &'static str, shape: impl Into<Shape>, fill: Fill) -> Self {
        self.parameter(name, shape.into(), fill, true, None)
    }

    /// A parameter that weight decay leaves alone.
    pub fn bias(self, name: &'static str, shape: impl Into<Shape>, fill: Fill) -> Self {
        self.parameter(name, shape.into(), fill, false, None)
    }

    /// A bias, if there is one: it begins at 0.
    pub fn bias_if(self, wanted: bool, name: &'static str, shape: impl Into<Shape>) -> Self {
        if wanted { self.bias(name, shape, Fill::zero()) } else { self }
    }

    /// A running average, which is kept with the parameters and which no update rule changes.
    ///
    /// In training, a layer's backward pass adds what the average has too much, it less what this batch has, to its
    /// gradient; an update takes `momentum` times that away. Limits on gradients, weight decay and the gradient check
    /// pass it by.
    pub fn average(
        self,
        name: &'static str,
        shape: impl Into<Shape>,
        fill: Fill,
        momentum: Factor,
    ) -> Self {
        self.parameter(name, shape.into(), fill, false, Some(momentum))
    }

    fn parameter(
        mut self,
        name: &'static str,
        shape: Shape,
        fill: Fill,
        decays: bool,
        momentum: Option<Factor>,
    ) -> Self {
        let name = name.into();
        self.parameters.push(ParameterPlan { name, shape, fill, decays, momentum });
        self
    }
}
