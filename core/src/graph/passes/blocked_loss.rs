//! A loss without an array of scores.

use super::{Pass, Purpose};
use crate::graph::plan::Plan;

/// Scores of every word at every position are the largest array of a captioning network, and each is read only twice.
/// Where an affine map leads to an objective and nowhere else, both are computed a block of positions at a time: scores,
/// loss, and the gradients of the map, while the block is in cache.
pub(super) const PASS: Pass = Pass {
    name: "blocked-loss",
    summary: "scores, loss and their gradients go through a block of positions at a time",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose == Purpose::Evaluation {
        // It would compute gradients that nobody asks for.
        return;
    }
    while let Some((map, loss)) = pattern(plan) {
        let map = plan.nodes[map].clone();
        let node = &mut plan.nodes[loss];
        let part = node.hints.over_affine.clone().expect("part of the pattern");
        node.slots[0] = map.slots[0];
        node.parameters = part.parameters.iter().map(|id| map.parameters[*id]).collect();
        node.name = format!("{}+{}", map.name, node.name);
        node.become_operation(part.operation, part.plan);
        plan.nodes.retain(|other| other.outputs != map.outputs);
    }
}

/// An affine map and an objective that alone reads it.
fn pattern(plan: &Plan) -> Option<(usize, usize)> {
    plan.nodes.iter().enumerate().find_map(|(loss, node)| {
        let part = node.hints.over_affine.as_ref()?;
        let scores = node.slots[0].value()?;
        let map = plan.writer(scores)?;
        let alone = plan.readers(scores).count() == 1 && !plan.is_output(scores);
        let fits = plan.nodes[map].hints.affine
            && plan.nodes[map].parameters.len() == part.parameters.len();
        (alone && fits).then_some((map, loss))
    })
}
