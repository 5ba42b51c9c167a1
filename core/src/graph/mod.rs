//! From the text of a graph file to a plan that the engine runs.
//!
//! [`Document`] is the text, with command-line overrides spliced in; [`Graph`] is what it says; [`Graph::check`] checks
//! all of it at once and lays it out as a [`Plan`]. Whatever is wrong comes back as [`Faults`], each with its place.

mod body;
mod carry;
mod check;
mod document;
mod fault;
mod faults;
mod layout;
mod origins;
mod outputs;
pub mod passes;
mod plan;
mod ports;
mod read;
mod read_node;
mod read_scan;
mod scan;
mod sharing;
mod spec;
mod suggest;
mod syntax;
mod wiring;

pub use body::Body;
pub use check::Checked;
pub use document::{Document, Place};
pub use fault::{Fault, Severity};
pub use faults::Faults;
pub use origins::Origin;
pub(crate) use passes::Purpose;
pub use passes::{PASSES, Pass, Passes, UnknownPass};
pub(crate) use plan::CountedInput;
pub use plan::{CarryPlan, InputPlan, NodePlan, Parameter, Plan, Value};
pub use spec::{Carry, Content, Feed, Graph, HandedOn, Input, Located, Node, Output, Scan, Start};
pub use suggest::{did_you_mean, nearest};
pub use syntax::to_ron;
