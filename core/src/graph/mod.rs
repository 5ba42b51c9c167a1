//! From the text of a graph file to a plan that the engine runs.
//!
//! [`Document`] is the text, with imported files and command-line overrides spliced in, and copies of the blocks that its
//! nodes use behind it; [`Graph`] is what it says; [`Graph::check`] checks
//! all of it at once and lays it out as a [`Plan`]. Whatever is wrong comes back as [`Faults`], each with its place.

mod aliases;
mod arguments;
mod block;
mod body;
mod carry;
mod check;
mod definition;
mod definitions;
mod document;
mod expand;
mod fault;
mod faults;
mod future;
mod import;
mod inline;
mod layout;
mod origins;
mod outputs;
mod owners;
pub mod passes;
mod patch;
mod plan;
mod ports;
mod read;
mod read_node;
mod read_scan;
mod read_use;
mod reuse;
mod scan;
mod scope;
mod sharing;
mod spec;
mod suggest;
mod syntax;
mod tokens;
mod wiring;

pub use check::Checked;
pub use document::{Document, Place};
pub use fault::{Fault, Severity};
pub use faults::Faults;
pub use origins::Origin;
pub(crate) use passes::Purpose;
pub use passes::{PASSES, Pass, Passes, UnknownPass};
pub use plan::Body;
pub use plan::{CarryPlan, InputPlan, NodePlan, Parameter, Plan, Value};
pub(crate) use plan::{CountedInput, Fold};
pub use spec::{Carry, Content, Feed, Graph, HandedOn, Input, Located, Node, Output, Scan, Start};
pub use suggest::{did_you_mean, nearest};
pub use syntax::to_ron;
