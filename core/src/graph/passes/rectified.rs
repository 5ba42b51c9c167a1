//! Positive parts taken where numbers are made.

use super::{Pass, Purpose};
use crate::graph::plan::{NodePlan, Plan};
use crate::layer::signature::Meaning;

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
    while let Some((maker, rectified, relu)) = pattern(plan) {
        plan.absorb(maker, rectified, relu);
    }
}

/// A node, its form that ends in max(0, y), and a node that takes that of its value, which nobody else reads.
fn pattern(plan: &Plan) -> Option<(usize, NodePlan, usize)> {
    plan.nodes.iter().enumerate().find_map(|(relu, node)| {
        let Meaning::Elementwise(function) = &node.facts.meaning else { return None };
        let maker = plan.only_source(relu).filter(|_| function.is_relu())?;
        let mut rectified = plan.nodes[maker].clone();
        let form = rectified.form.with_relu();
        (!rectified.form.relu && rectified.take_form(form)).then_some((maker, rectified, relu))
    })
}
