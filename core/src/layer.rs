//! What a layer is: its ports, its plan, its mathematics.
//!
//! A layer's configuration *is* the layer: a serde struct that a graph file names, `Lstm(units: 512)`. It is immutable,
//! holds no numbers of a run and never knows its own name; the engine owns all memory and adds names to errors.

use std::borrow::Cow;
use std::fmt;

use crate::context::{Backward, Forward, Step};
use crate::dim::Dim;
use crate::field::Factor;
use crate::init::Fill;
use crate::operation::{Hints, Operation};
use crate::shape::{Shape, Sizes};

/// A node's operation: what it reads, what memory it needs, and how it computes.
///
/// Implementations are serde structs registered under their type's name by `#[typetag::serde]`, with
/// [`register!`](crate::register) beside it for their documentation and checks. The mathematics is in [`Kernel`], written
/// once for every [`Scalar`](crate::Scalar).
#[typetag::serde]
pub trait Layer: Operation {
    /// The inputs in the order in which a node's `from` lists them.
    fn ports(&self) -> Vec<Port>;

    /// The shapes of outputs, parameters and memory, given inputs that already fit the ports.
    ///
    /// # Errors
    /// What the ports cannot say, such as widths that must add up.
    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError>;
}

crate::tagged::tagged!(Layer);

/// A layer's mathematics in the number type `T`.
///
/// Kernels are infallible: the engine has checked every shape at planning and every token when it was fed.
pub trait Kernel<T>: Send + Sync {
    /// Computes the outputs, and whatever the backward pass wants to find in `saved`.
    ///
    /// Outputs, saved values and scratch hold unspecified numbers when it is called.
    fn forward(&self, cx: &mut Forward<'_, T>);

    /// *Adds* to the gradients of inputs and parameters what the gradients of the outputs imply.
    ///
    /// Inputs, outputs and saved values are those of the forward pass.
    fn backward(&self, cx: &mut Backward<'_, T>);

    /// Computes one time step. Inputs and outputs that have a time dimension have it with length 1.
    ///
    /// A layer that carries nothing from step to step has nothing to do here: its step is its forward pass. One that
    /// declares [`state`](LayerPlan::state) sets it up when `cx.first`, and leaves it ready for the next step.
    fn step(&self, cx: &mut Step<'_, T>) {
        self.forward(&mut cx.forward);
    }
}

/// What kind of numbers a port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Numbers of the graph's precision, with gradients.
    Real,
    /// Indices below a size.
    Tokens {
        /// The first index that is out of range.
        below: Axis,
    },
}

/// One dimension of a [`Port`]'s pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// This very dimension.
    Is(Dim),
    /// Any dimension, the same one wherever this name stands in the layer's ports.
    Any(&'static str),
    /// Any dimension, each time another if need be.
    Each(&'static str),
    /// Any number of dimensions, the same ones wherever it stands.
    Rest,
}

impl Axis {
    /// How many sequences are processed together.
    pub const BATCH: Axis = Axis::Is(Dim::BATCH);
    /// How many steps a sequence has.
    pub const TIME: Axis = Axis::Is(Dim::TIME);
}

impl From<Dim> for Axis {
    fn from(dim: Dim) -> Self {
        Axis::Is(dim)
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Axis::Is(dim) => write!(f, "{dim}"),
            Axis::Any(name) | Axis::Each(name) => f.write_str(name),
            Axis::Rest => f.write_str(".."),
        }
    }
}

/// Whether a port must be wired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// It must.
    Required,
    /// It may be left out, as may all optional ports after it.
    Optional,
    /// It takes this many inputs or more. Only the last port can.
    AtLeast(usize),
}

/// One input of a layer: its name, the shapes it takes, whether it must be wired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// The name that wiring errors and documentation use.
    pub name: Cow<'static, str>,
    /// Numbers or tokens.
    pub kind: Kind,
    /// The pattern that an input's shape must fit.
    pub shape: Vec<Axis>,
    /// Whether it must be wired.
    pub need: Need,
}

impl Port {
    /// A port for numbers.
    pub fn real(name: &'static str, shape: impl Into<Vec<Axis>>) -> Self {
        Port { name: name.into(), kind: Kind::Real, shape: shape.into(), need: Need::Required }
    }

    /// A port for indices that are smaller than `below`.
    pub fn tokens(name: &'static str, shape: impl Into<Vec<Axis>>, below: Axis) -> Self {
        Port { kind: Kind::Tokens { below }, ..Port::real(name, shape) }
    }

    /// The same port, which may be left unwired.
    pub fn optional(self) -> Self {
        Port { need: Need::Optional, ..self }
    }

    /// The same port for `n` inputs or more.
    pub fn at_least(self, n: usize) -> Self {
        Port { need: Need::AtLeast(n), ..self }
    }

    /// The pattern as error messages and documentation print it: `[Batch, Time, Inputs]`.
    pub fn pattern(&self) -> String {
        let axes: Vec<String> = self.shape.iter().map(Axis::to_string).collect();
        format!("[{}]", axes.join(", "))
    }
}

/// The shapes of a node's inputs, all of which fit the layer's ports.
#[derive(Debug)]
pub struct PortShapes<'a> {
    pub(crate) shapes: &'a [Option<Shape>],
    pub(crate) names: &'a [(&'static str, Dim)],
    pub(crate) sizes: &'a Sizes,
}

impl PortShapes<'_> {
    /// The shape of the input at position `port`.
    ///
    /// # Panics
    /// When an optional port is not wired; ask [`wired`](Self::wired) first.
    pub fn shape(&self, port: usize) -> &Shape {
        self.shapes[port].as_ref().expect("a required port is wired")
    }

    /// Whether the input at position `port` is there.
    pub fn wired(&self, port: usize) -> bool {
        self.shapes.get(port).is_some_and(Option::is_some)
    }

    /// How many inputs there are, left-out ones included.
    pub fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are no inputs.
    pub fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// A dimension of the layer's configuration, with its number filled in where it is known.
    pub fn bind(&self, dim: Dim) -> Dim {
        self.sizes.bind(dim)
    }

    /// What [`Axis::Any`] of this name stands for.
    ///
    /// # Panics
    /// When no port mentions the name.
    pub fn dim(&self, name: &str) -> Dim {
        let found = self.names.iter().find(|(known, _)| *known == name);
        found.expect("one of the layer's ports mentions the name").1
    }
}

/// A layer whose inputs fit its ports and yet cannot be planned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PlanError {
    /// What was expected and what was found.
    pub message: String,
    /// The field of the layer's configuration to look at, if it is one field's fault.
    pub field: Option<&'static str>,
}

impl PlanError {
    /// An error that concerns the inputs.
    pub fn new(message: impl Into<String>) -> Self {
        PlanError { message: message.into(), field: None }
    }

    /// An error that concerns one field of the configuration.
    pub fn field(field: &'static str, message: impl Into<String>) -> Self {
        PlanError { message: message.into(), field: Some(field) }
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
    /// How far it moves at each update, if it is an [`average`](LayerPlan::average) that no gradient trains.
    pub momentum: Option<Factor>,
}

/// What a layer computes and what memory that takes.
#[derive(Debug, Clone, Default)]
pub struct LayerPlan {
    pub(crate) outputs: Vec<(Cow<'static, str>, Shape)>,
    pub(crate) parameters: Vec<ParameterPlan>,
    pub(crate) saved: Vec<Shape>,
    pub(crate) scratch: Vec<Shape>,
    pub(crate) state: Vec<Shape>,
    pub(crate) hints: Hints,
}

impl LayerPlan {
    /// A plan with one output of this shape, which other nodes reach by the node's name.
    pub fn output(shape: impl Into<Shape>) -> Self {
        LayerPlan { outputs: vec![("".into(), shape.into())], ..Self::default() }
    }

    /// One more output, which other nodes reach as `node.name`.
    pub fn and_output(mut self, name: &'static str, shape: impl Into<Shape>) -> Self {
        self.outputs.push((name.into(), shape.into()));
        self
    }

    /// A parameter to which weight decay applies.
    pub fn weights(self, name: &'static str, shape: impl Into<Shape>, fill: Fill) -> Self {
        self.parameter(name, shape.into(), fill, true)
    }

    /// A parameter that weight decay leaves alone.
    pub fn bias(self, name: &'static str, shape: impl Into<Shape>, fill: Fill) -> Self {
        self.parameter(name, shape.into(), fill, false)
    }

    fn parameter(mut self, name: &'static str, shape: Shape, fill: Fill, decays: bool) -> Self {
        let momentum = None;
        self.parameters.push(ParameterPlan { name: name.into(), shape, fill, decays, momentum });
        self
    }

    /// A running average, which is kept with the parameters and which no update rule changes.
    ///
    /// In training, a layer's backward pass adds what the average has too much, it less what this batch has, to its
    /// gradient; an update takes `momentum` times that away. Limits on gradients, weight decay and the gradient check
    /// pass it by.
    pub fn average(
        mut self,
        name: &'static str,
        shape: impl Into<Shape>,
        fill: Fill,
        momentum: Factor,
    ) -> Self {
        let (shape, momentum) = (shape.into(), Some(momentum));
        self.parameters.push(ParameterPlan {
            name: name.into(),
            shape,
            fill,
            decays: false,
            momentum,
        });
        self
    }

    /// An array that the forward pass writes and the backward pass reads and may overwrite.
    pub fn saved(mut self, shape: impl Into<Shape>) -> Self {
        self.saved.push(shape.into());
        self
    }

    /// An array to work in during one call.
    pub fn scratch(mut self, shape: impl Into<Shape>) -> Self {
        self.scratch.push(shape.into());
        self
    }

    /// An array that is carried from step to step when sampling. Its first dimension is the batch, so that a search can
    /// reorder its rows. One of the shape `[Time, Batch, ..]` is empty at the first step, and the layer
    /// [adds](crate::Tensor::push) to it at each.
    pub fn state(mut self, shape: impl Into<Shape>) -> Self {
        self.state.push(shape.into());
        self
    }
}
