//! Contracts and the generic engine of **engine**.
//!
//! A graph file names layers and wires them; this crate checks it, plans it once, then runs forward, backward and
//! step-by-step sampling over any such graph. It knows no concrete layer, no data set and no caption.
//!
//! | where | what |
//! |---|---|
//! | [`layer`], [`context`] | what a layer is, and what it is handed |
//! | [`optimizer`], [`schedule`] | what an update rule and a learning-rate schedule are; [`optimizers`], [`schedules`] hold them |
//! | [`dim`], [`shape`], [`tensor`], [`batch`] | sizes, buffers, and the arrays that data comes in |
//! | [`windows`] | what convolutions and pools go over a dimension with |
//! | [`registry`], [`mod@tagged`] | everything that a graph file can name, and how it is written |
//! | [`graph`] | from a graph file's text to a plan, with everything that is wrong found in one go |
//! | [`engine`] | runs a plan: forward, backward, step by step; checkpoints; the gradient check |
//! | [`testing`] | one layer on a bench, for the tests of whoever writes layers |
//! | [`clip`], [`field`], [`pair`], [`init`] | limits on gradients, ranges in types, two numbers for two sides, first values of parameters |

pub mod batch;
pub mod clip;
pub mod dim;
pub mod engine;
pub mod field;
pub mod graph;
pub mod init;
pub mod layer;
pub mod optimizer;
pub mod optimizers;
pub mod pair;
pub mod pointwise;
pub mod registry;
pub mod scalar;
mod scan;
pub mod schedule;
pub mod schedules;
pub mod sequence;
pub mod shape;
pub mod tagged;
pub mod tensor;
pub mod testing;
pub mod windows;

pub use batch::{Array, Batch, Elements};
pub use dim::{Dim, Symbol};
pub use layer::context::{Backward, Forward, GradientRequest, Mode, Step};
pub use layer::form::{Form, Lowered, Part, WeightOrder};
pub use layer::kernel::Kernel;
pub use layer::memory::{Memory, Packed, Saved, Scratch, State, Weight};
pub use layer::port::{Axis, Port, PortShapes};
pub use layer::signature::{ChannelMap, Counted, Dependence, Meaning, Signature};
pub use layer::{Layer, PlanError};
pub use optimizer::{Optimizer, Update, UpdateStep};
pub use pair::Pair;
pub use scalar::{Precision, Scalar};
pub use schedule::{Progress, Schedule};
pub use sequence::{DistinctTokens, PackedSequence, Sequences};
pub use shape::{Shape, Sizes};
pub use tagged::Tagged;
pub use tensor::Tensor;
pub use windows::Windows;
