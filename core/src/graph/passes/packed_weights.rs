//! Weights that stay in the order of kernels.

use super::{Pass, Purpose};
use crate::graph::plan::Plan;
use crate::layer::form::{Part, WeightOrder};

/// A product brings its factors into the order in which its kernel reads them. While sentences are written, weights stay
/// the same from step to step: an affine map that reads them in that order spares the work at every step but the first. In
/// training they are used once before they change, and nothing would be spared, but in the body of a loop. Where nothing is
/// trained, weights are brought into that order as they are read.
pub(super) const PASS: Pass = Pass {
    name: "packed-weights",
    summary: "weights that are used many times before they change stay in the order of kernels",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    let order = match purpose {
        Purpose::Sequences => return,
        Purpose::Steps | Purpose::Evaluation => WeightOrder::Panels,
        Purpose::Loop => WeightOrder::PanelsBothWays,
    };
    for node in &mut plan.nodes {
        // A recurrence has another pass.
        if node.form.weights == WeightOrder::Stored && node.form.part != Part::Recurrence {
            node.take_form(node.form.weights(order));
        }
    }
}
