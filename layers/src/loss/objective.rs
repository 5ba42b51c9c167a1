//! The sum over counted positions, and what it is divided by.

use engine_core::Scalar;
use engine_core::layer::context::Inputs;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counted::Positions;

/// What a sum over positions is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Per {
    /// The number of sequences in the batch: long captions weigh more.
    #[default]
    Sequence,
    /// The number of counted positions: each word weighs the same in any batch.
    Token,
}

/// Which positions count, and what their sum is divided by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Objective {
    pub(super) ignore: Option<u32>,
    pub(super) per: Per,
}

impl Objective {
    pub(super) fn positions<'a, T: Scalar>(&self, inputs: &Inputs<'a, T>) -> Positions<'a, T> {
        Positions::of(inputs, self.ignore)
    }

    /// N; 1 where nothing counts, for the sum is 0 then.
    pub(super) fn divisor<T: Scalar>(&self, positions: &Positions<'_, T>, sequences: usize) -> f64 {
        match self.per {
            Per::Sequence => sequences as f64,
            Per::Token => {
                let counted = (0..positions.targets.len()).filter(|at| positions.counts(*at));
                counted.count().max(1) as f64
            }
        }
    }
}

/// The nearest number that the precision has. Not a number stays so.
pub(super) fn within_range<T: Scalar>(value: f64) -> T {
    let bound = T::max_value();
    if value > bound.f64() { bound } else { T::of(value) }
}
