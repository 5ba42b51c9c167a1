//! Cells whose gates are computed where their sums are.

use super::arrange::arrangeable;
use super::{Pass, Purpose};
use crate::graph::plan::Plan;
use crate::layer::form::{Part, WeightOrder};

/// The sums of a cell's gates come out of the recurrent product in pieces that fit the nearest cache; over weights in
/// panels, a recurrence opens the gates of a piece before the next one is computed. It needs the rows of a step side by
/// side, so that arrays with time are packed.
pub(super) const PASS: Pass = Pass {
    name: "fused-cells",
    summary: "a cell's gates are computed as their sums leave the recurrent product",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose == Purpose::Evaluation || purpose == Purpose::Sequences && !arrangeable(plan) {
        return;
    }
    let recurrences = plan.nodes.iter_mut().filter(|node| node.form.part == Part::Recurrence);
    let fused = recurrences
        .map(|node| node.take_form(node.form.weights(WeightOrder::PanelsBothWays)))
        .fold(false, |any, fused| any | fused);
    if fused && purpose == Purpose::Sequences {
        plan.arranged.get_or_insert_default();
    }
}
