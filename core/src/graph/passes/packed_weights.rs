//! Weights that stay in the order of kernels.

use super::{Pass, Purpose};
use crate::graph::plan::Plan;

/// A product brings its factors into the order in which its kernel reads them. While sentences are written, weights stay
/// the same from step to step: an affine map that reads them in that order spares the work at every step but the first. In
/// training they are used once before they change, and nothing would be spared.
pub(super) const PASS: Pass = Pass {
    name: "packed-weights",
    summary: "while sentences are written, weights stay in the order of kernels",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose == Purpose::Sequences {
        return;
    }
    for node in &mut plan.nodes {
        if let Some(part) = node.hints.packed_weights.clone() {
            node.take_on(*part);
        }
    }
}
