//! What a graph file says, with the place of everything it says.

use std::fmt;
use std::ops::Range;

use super::fault::Fault;
use super::syntax::to_ron;
use crate::array::dim::{Dim, Symbol};
use crate::array::shape::Shape;
use crate::config::tagged::Tagged;
use crate::layer::Layer;
use crate::scalar::Precision;

/// A value and the bytes of the document that say it.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Range<usize>,
}

/// A network: inputs, nodes, and which of their values are results.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The number type that everything is computed in.
    pub precision: Precision,
    /// Sizes that the file gives a name to.
    pub sizes: Vec<(Located<Symbol>, usize)>,
    /// The arrays that data feeds.
    pub inputs: Vec<Input>,
    /// The layers and their wiring, in the order of the file.
    pub nodes: Vec<Node>,
    /// The values that are results, by role. Without the section: the node `loss` in the role `loss`.
    pub outputs: Vec<Output>,
    /// The inputs that hold what a value was for the batch before.
    pub carry: Vec<Carry>,
    /// What is hardly meant in its text, though nothing is wrong with it.
    pub warnings: Vec<Fault>,
}

/// An array that data feeds.
#[derive(Debug, Clone)]
pub struct Input {
    /// The name that nodes and batches use.
    pub name: String,
    /// Its shape; `None` for one whose text has a fault, which is known already.
    pub shape: Option<Shape>,
    /// Its place.
    pub span: Range<usize>,
}

/// A layer, its name and its wiring.
#[derive(Debug, Clone)]
pub struct Node {
    /// The name that other nodes use.
    pub name: Located<String>,
    /// What it computes; `None` for a node whose text has a fault, which is known already.
    pub content: Option<Located<Content>>,
    /// The names of what it reads, by port.
    pub from: Vec<Located<String>>,
    /// The node whose parameters it uses, if not its own.
    pub weights_of: Option<Located<String>>,
    /// The names of sizes in the layer's fields.
    pub symbols: Vec<Located<Symbol>>,
}

/// What a node computes.
#[derive(Debug, Clone)]
pub enum Content {
    /// A layer's mathematics.
    Layer(Tagged<dyn Layer>),
    /// A network of its own, once for each step.
    Scan(Box<Scan>),
}

impl Content {
    /// The name that the file calls it by.
    pub fn tag(&self) -> &'static str {
        match self {
            Content::Layer(layer) => layer.typetag_name(),
            Content::Scan(_) => SCAN,
        }
    }
}

/// How a graph file begins a [`Scan`].
pub(super) const SCAN: &str = "Scan";

/// A network that runs once for each step of a sequence, and hands values on from step to step.
#[derive(Debug, Clone)]
pub struct Scan {
    /// The dimension whose steps it takes: that of what it reads step by step.
    pub over: Dim,
    /// What the node reads, in the order of its `from`, as the body calls it.
    pub inputs: Vec<(Located<String>, Feed)>,
    /// What is handed on.
    pub carry: Vec<HandedOn>,
    /// The layers and their wiring, in the order of the file.
    pub nodes: Vec<Node>,
    /// What the node computes: its outputs' names, the first of them perhaps empty, and the body's values behind them.
    pub outputs: Vec<(String, Located<String>)>,
    /// Outputs that are what is handed on after a sequence's last step: their names and those in `carry`.
    pub last: Vec<(String, Located<String>)>,
}

/// How a body meets what its node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Feed {
    /// Each step meets its own part.
    PerStep,
    /// Every step meets all of it.
    Static,
}

/// A value that a step hands on to the next.
#[derive(Debug, Clone)]
pub struct HandedOn {
    /// What the body calls what it is handed.
    pub name: Located<String>,
    /// What the first step is handed.
    pub start: Located<Start>,
    /// The body's value that is handed on.
    pub next: Located<String>,
}

/// Where something that is handed on starts.
#[derive(Debug, Clone, PartialEq)]
pub enum Start {
    /// At what the node reads under this name.
    Input(String),
    /// At this number throughout.
    Constant {
        /// The number.
        value: f64,
        /// The shape, `[Batch, ..]`.
        shape: Shape,
    },
}

/// A value that is a result.
#[derive(Debug, Clone)]
pub struct Output {
    /// What it is for: `loss`, `scores`.
    pub role: String,
    /// The node that computes it, or `node.output`.
    pub value: String,
    /// Its place; empty for an output that the file does not mention.
    pub span: Range<usize>,
}

/// An input that data does not feed: it holds what a value was for the batch before.
#[derive(Debug, Clone)]
pub struct Carry {
    /// The input.
    pub input: String,
    /// The node that computes the value, or `node.output`.
    pub value: String,
    /// Its place.
    pub span: Range<usize>,
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from: Vec<&str> = self.from.iter().map(|from| from.value.as_str()).collect();
        let weights = self.weights_of.as_ref().map(|weights| &weights.value);
        let content = self.content.as_ref().map(|content| &content.value);
        write!(f, "{} = ", self.name.value)?;
        match content {
            Some(Content::Layer(layer)) => write!(f, "{:?}", to_ron(layer).ok())?,
            Some(Content::Scan(scan)) => write!(f, "{scan}")?,
            None => f.write_str("?")?,
        }
        write!(f, " {from:?} {weights:?}")
    }
}

impl fmt::Display for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |values: &[(String, Located<String>)]| -> Vec<(String, String)> {
            values.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
        };
        write!(f, "{SCAN} over {} {{", self.over)?;
        for (name, feed) in &self.inputs {
            write!(f, " {}: {feed:?}", name.value)?;
        }
        for HandedOn { name, start, next } in &self.carry {
            write!(f, " {}: {:?} {}", name.value, start.value, next.value)?;
        }
        self.nodes.iter().try_for_each(|node| write!(f, "\n  {node}"))?;
        write!(f, "\n  {:?} {:?} }}", value(&self.outputs), value(&self.last))
    }
}
