//! A network that runs once for each step of a sequence, as an operation of one node.
//!
//! A body's arrays of all steps lie one step after the other, as [`PackedSequence`](crate::sequence::PackedSequence) arranges them or, where arrays are full, a
//! step being a row for every sequence. So the rows of a step lie side by side, and a layer of the body is shown them as if
//! there were no others ([`Tensor::show`]).

mod backward;
mod forward;
mod rows;

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::layer::context::{Backward, Forward, Slot, Step};
use crate::layer::kernel::{Kernel, Operation};
use crate::scalar::Scalar;

/// The loop: what it runs at each step, in which order, and what goes in and out.
///
/// Saved: the body's values, then what its nodes save. Scratch: their gradients, what is handed back, then what its nodes
/// need for a moment. State: what is handed on.
#[derive(Clone)]
pub(crate) struct Scan {
    pub(crate) nodes: Vec<ScanNode>,
    /// What each value of the body is.
    pub(crate) kinds: Vec<Kind>,
    /// Whether the gradients of a value are kept for all steps.
    pub(crate) apart: Vec<bool>,
    pub(crate) ports: Vec<Fed>,
    pub(crate) carries: Vec<Carried>,
    /// The values that leave the body at each step.
    pub(crate) leaving: Vec<usize>,
    /// What is handed on that leaves after the last step.
    pub(crate) last: Vec<usize>,
    /// Whether its steps are those of time.
    pub(crate) over_time: bool,
}

/// Short: what it runs is told by whoever shows the node's body.
impl fmt::Debug for Scan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scan {{ nodes: {} }}", self.nodes.len())
    }
}

/// One layer of the body: which of the scan's arrays are its own.
#[derive(Debug, Clone)]
pub(crate) struct ScanNode {
    pub(crate) operation: Arc<dyn Operation>,
    pub(crate) slots: Vec<Slot>,
    /// Values of the body.
    pub(crate) outputs: Range<usize>,
    pub(crate) saved: Range<usize>,
    pub(crate) saved_memory: Vec<Memory>,
    pub(crate) scratch: Range<usize>,
    pub(crate) scratch_memory: Vec<Memory>,
    pub(crate) parameters: Range<usize>,
    pub(crate) packed: Range<usize>,
    pub(crate) stream: u64,
    /// Whether the gradients of its parameters are added up once for all steps.
    pub(crate) apart: bool,
}

/// What a value of the body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nobody's.
    Unused,
    /// The same at every step: a row for each sequence, or not even that. A row has so many dimensions.
    Static { rank: usize, of_batch: bool },
    /// A row for each sequence and step.
    Steps { rank: usize },
}

/// What an array of a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// The same whatever the number of sequences.
    Whole,
    /// A row for each sequence.
    Rows { rank: usize },
}

/// A value that comes from outside.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fed {
    pub(crate) port: usize,
    pub(crate) value: usize,
    pub(crate) per_step: bool,
}

/// A value that is handed on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    /// What a step is handed, if it looks at it.
    pub(crate) value: Option<usize>,
    pub(crate) start: Starting,
    /// What it hands on.
    pub(crate) next: usize,
    pub(crate) rank: usize,
}

/// What the first step is handed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Starting {
    /// What is wired to this port.
    Port(usize),
    /// This number throughout.
    Constant(f64),
}

impl<T: Scalar> Kernel<T> for Scan {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.run(cx, None);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let before = (!cx.first).then_some(&*cx.state.arrays);
        self.run(&mut cx.forward, before);
        for (carry, state) in self.carries.iter().zip(cx.state.arrays.iter_mut()) {
            state.as_mut_slice().copy_from_slice(cx.forward.saved.arrays[carry.next].as_slice());
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.run_back(cx);
    }
}
