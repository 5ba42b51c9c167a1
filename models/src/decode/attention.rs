//! What a network attends to while it writes.

use engine_core::graph::Plan;
use engine_core::{Scalar, Symbol, Tensor};

/// The role of weights over regions, `[Batch, Time, Regions]`: for each step what the network looks at as it chooses the
/// next word.
pub(super) const ATTENTION: &str = "attention";

/// Whether a network has such weights at each step.
pub(super) fn attends(plan: &Plan) -> bool {
    plan.output(ATTENTION).is_some_and(|value| {
        let dims = plan.values[value].shape.dims();
        dims.len() == 3 && dims[1].is(Symbol::TIME)
    })
}

/// The weights of all steps since sentences began.
#[derive(Debug, Default)]
pub(super) struct AttentionRecord {
    /// For each step the weights `[rows, regions]`.
    steps: Vec<Vec<f32>>,
    regions: usize,
}

impl AttentionRecord {
    pub(super) fn clear(&mut self) {
        self.steps.clear();
    }

    /// Adds the weights of a step, `[rows, 1, regions]`.
    pub(super) fn push<T: Scalar>(&mut self, weights: &Tensor<T>) {
        self.regions = weights.dim(2);
        self.steps.push(weights.as_slice().iter().map(|weight| weight.f64() as f32).collect());
    }

    /// The weights over regions of a row of a step.
    pub(super) fn of(&self, step: usize, row: usize) -> &[f32] {
        &self.steps[step][row * self.regions..][..self.regions]
    }
}
