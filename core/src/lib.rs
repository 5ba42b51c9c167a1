//! Contracts and the generic engine of **engine**.
//!
//! A graph file names layers and wires them; this crate checks it, plans it once, then runs forward, backward and
//! step-by-step sampling over any such graph. It knows no concrete layer, no data set and no caption.
//!
//! | where | what |
//! |---|---|
//! | [`layer`] | what a layer is: ports, signature, forms, memory, kernels |
//! | [`optimizer`], [`schedule`] | what an update rule and a schedule of the learning rate are |
//! | [`update`] | the rules and schedules that there are; limits on gradients |
//! | [`mod@array`], [`sequence`] | symbolic sizes, buffers, batches; sequences of unequal length |
//! | [`config`] | everything that a graph file can name, and the values of its fields |
//! | [`scalar`], [`pointwise`] | the number types; functions that go element by element |
//! | [`graph`] | from a graph file's text to a plan, with everything that is wrong found in one go; rewrites of plans |
//! | `operations` | what nodes compute beside layers: loops over a body, chains of functions |
//! | [`engine`] | runs a plan: forward, backward, step by step; checkpoints; the gradient check |
//! | [`testing`] | one layer on a bench, for the tests of whoever writes layers |

#![forbid(unsafe_code)]

pub mod array;
pub mod config;
pub mod engine;
pub mod graph;
pub mod layer;
mod operations;
pub mod optimizer;
pub mod pointwise;
pub mod scalar;
pub mod schedule;
pub mod sequence;
pub mod testing;
pub mod update;

pub use array::{Array, Batch, Dim, Elements, Shape, Sizes, Symbol, Tensor};
pub use config::{Pair, Tagged, Windows, field, init, registry, tagged, windows};
pub use layer::context::{Backward, Forward, GradientRequest, Mode, Step};
pub use layer::form::{Form, Lowered, Part, WeightOrder};
pub use layer::kernel::Kernel;
pub use layer::memory::{Memory, Packed, Saved, Scratch, State, Weight};
pub use layer::port::{Axis, Port, PortShapes};
pub use layer::signature::{ChannelMap, Counted, Dependence, Meaning, Signature};
pub use layer::{Layer, PlanError};
pub use optimizer::{Optimizer, Update, UpdateStep};
pub use scalar::{Precision, Scalar};
pub use schedule::{Progress, Schedule};
pub use sequence::{DistinctTokens, PackedSequence, Sequences};
pub use update::{clip, optimizers, schedules};
