//! A loss without an array of scores.

use super::{Pass, Purpose};
use crate::graph::definition::Definition;
use crate::graph::patch::Patch;
use crate::graph::plan::{NodePlan, Plan};
use crate::layer::form::{Form, Part, WeightOrder};
use crate::layer::signature::Meaning;

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
    while let Some((map, loss, node)) = pattern(plan) {
        let mut patch = Patch::of(plan);
        patch.remove(map);
        patch.replace(loss, node);
        plan.apply(patch);
    }
}

/// An affine map, an objective that alone reads it, and both as one node.
fn pattern(plan: &Plan) -> Option<(usize, usize, NodePlan)> {
    plan.nodes.iter().enumerate().find_map(|(loss, node)| {
        let scores = node.slots.first()?.value()?;
        let map = plan.writer(scores)?;
        let alone = plan.readers(scores).count() == 1 && !plan.is_output(scores);
        let fits = matches!(node.facts.meaning, Meaning::Objective(_))
            && matches!(plan.nodes[map].facts.meaning, Meaning::Affine);
        let joined = (alone && fits).then(|| over_affine(&plan.nodes[map], node))??;
        Some((map, loss, joined))
    })
}

/// An objective over the input of an affine map in place of what the map computes; `None` if it has no such form.
fn over_affine(map: &NodePlan, loss: &NodePlan) -> Option<NodePlan> {
    let of_map = map.definition.as_ref()?;
    let mut definition = Definition::clone(loss.definition.as_ref()?);
    definition.inputs[0].clone_from(of_map.inputs.first()?);
    definition.parameters.clone_from(&of_map.parameters);
    let form = Form::PLAIN.part(Part::OverAffine).weights(WeightOrder::PanelsBothWays);
    let mut slots = loss.slots.clone();
    slots[0] = map.slots[0];
    let mut joined = NodePlan {
        name: format!("{}+{}", map.name, loss.name),
        definition: Some(definition.into()),
        parameters: map.parameters.clone(),
        slots,
        ..loss.clone()
    };
    joined.take_form(form).then_some(joined)
}
