//! Which positions count for a layer that goes over sequences: those whose target is no padding.

use engine_core::layer::context::Inputs;
use engine_core::{Counted, Meaning, Scalar};

/// The port with the targets, after that of what they are compared with.
pub(crate) const TARGETS: usize = 1;
/// The port with a mask, which need not be wired.
pub(crate) const MASK: usize = 2;

/// What passes are told of such a layer.
pub(crate) fn objective(ignore: Option<u32>) -> Meaning {
    Meaning::Objective(Counted { targets: TARGETS, ignore, mask: MASK })
}

/// The targets, and which of them count.
pub(crate) struct Positions<'a, T> {
    pub(crate) targets: &'a [u32],
    mask: Option<&'a [T]>,
    ignore: Option<u32>,
}

impl<'a, T: Scalar> Positions<'a, T> {
    /// Those of a node with the ports [`TARGETS`] and [`MASK`].
    pub(crate) fn of(inputs: &Inputs<'a, T>, ignore: Option<u32>) -> Self {
        Positions {
            targets: inputs.tokens(TARGETS),
            mask: inputs.get(MASK).map(|mask| mask.as_slice()),
            ignore,
        }
    }

    /// Whether the position with this row counts. A mask decides alone.
    pub(crate) fn counts(&self, at: usize) -> bool {
        match self.mask {
            Some(mask) => mask[at] != T::zero(),
            None => Some(self.targets[at]) != self.ignore,
        }
    }
}
