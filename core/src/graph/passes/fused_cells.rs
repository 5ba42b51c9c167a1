//! Cells whose gates are computed where their sums are.

use super::arrange::arrangeable;
use super::{Pass, Purpose};
use crate::graph::plan::Plan;

/// The sums of a cell's gates come out of the recurrent product in pieces that fit the nearest cache; the fused form of a
/// cell opens the gates of a piece before the next one is computed. It needs the rows of a step side by side, so that
/// arrays with time are arranged step by step.
pub(super) const PASS: Pass = Pass {
    name: "fused-cells",
    summary: "a cell's gates are computed as their sums leave the recurrent product",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    let mut fused = plan.clone();
    let mut any = false;
    for node in &mut fused.nodes {
        if let Some(part) = node.hints.fused.clone() {
            node.take_on(*part);
            any = true;
        }
    }
    match purpose {
        Purpose::Steps | Purpose::Loop => *plan = fused,
        Purpose::Sequences if any && arrangeable(&fused) => {
            fused.arranged.get_or_insert_default();
            *plan = fused;
        }
        Purpose::Sequences | Purpose::Evaluation => {}
    }
}
