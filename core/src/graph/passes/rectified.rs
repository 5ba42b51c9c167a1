//! Positive parts taken where numbers are made.

use super::{Pass, Purpose};
use crate::graph::plan::Plan;

/// An affine map or a convolution leaves each number in a register before it is written. Where only its positive part is
/// read, it is taken there, and an array is neither written nor read. Gradients would need no more than that, but training
/// has the passes over chains.
pub(super) const PASS: Pass = Pass {
    name: "rectified",
    summary: "max(0, y) is taken where y is made, in networks that are not trained",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose != Purpose::Evaluation {
        return;
    }
    while let Some((maker, rectifier)) = pattern(plan) {
        let part = plan.nodes[maker].hints.rectified.clone().expect("part of the pattern");
        plan.nodes[maker].take_on(*part);
        plan.absorb(maker, rectifier);
    }
}

/// A node that can end in max(0, y), and one that takes that of its value, which nobody else reads.
fn pattern(plan: &Plan) -> Option<(usize, usize)> {
    plan.nodes.iter().enumerate().find_map(|(rectifier, node)| {
        let maker = plan.only_source(rectifier).filter(|_| node.hints.rectifies)?;
        plan.nodes[maker].hints.rectified.is_some().then_some((maker, rectifier))
    })
}
