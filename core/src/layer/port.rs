//! The inputs of a layer: names, and the shapes they take.

use std::borrow::Cow;
use std::fmt;

use crate::array::dim::Dim;
use crate::array::shape::{Shape, Sizes};

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
#[derive(Debug, Clone, Copy)]
pub struct PortShapes<'a> {
    pub(crate) shapes: &'a [Option<Shape>],
    pub(crate) names: &'a [(&'static str, Dim)],
    pub(crate) sizes: &'a Sizes,
}

impl<'a> PortShapes<'a> {
    /// The shape of the input at position `port`.
    ///
    /// # Panics
    /// When an optional port is not wired; ask [`wired`](Self::wired) first.
    pub fn shape(&self, port: usize) -> &'a Shape {
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

    /// A shape with its known sizes filled in.
    pub(crate) fn bound(&self, shape: &Shape) -> Shape {
        Shape::new(shape.dims().iter().map(|dim| self.sizes.bind(*dim)))
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
