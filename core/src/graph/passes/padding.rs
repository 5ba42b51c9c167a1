//! No work for padding.

use super::arrange::arrangeable;
use super::{Pass, Purpose};
use crate::context::Slot;
use crate::graph::plan::{CountedInput, NodePlan, Plan};

/// Captions are shorter than the arrays that hold them: over a quarter of COCO's positions are padding. Where the result
/// does not depend on what comes after the last position that counts, sequences end there, and arrays hold nothing
/// beyond.
pub(super) const PASS: Pass =
    Pass { name: "padding", summary: "sequences end at their last position that counts", apply };

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose == Purpose::Sequences && arrangeable(plan) {
        plan.arranged = counts(plan).filter(|counts| !counts.is_empty()).or(plan.arranged.take());
    }
}

/// The inputs that say what counts for each objective; `None` where an objective does not say.
///
/// A plan that can be arranged leads from sequences to its result through objectives alone.
fn counts(plan: &Plan) -> Option<Vec<CountedInput>> {
    let objectives = plan.nodes.iter().filter(|node| node.hints.counted.is_some());
    objectives.map(|node| counted(plan, node)).collect()
}

/// The input that decides what counts for an objective.
fn counted(plan: &Plan, node: &NodePlan) -> Option<CountedInput> {
    let hint = node.hints.counted?;
    let input = |slot: Slot| plan.inputs.iter().find(|input| input.slot == slot);
    let slot = |port: usize| node.slots.get(port).copied().unwrap_or(Slot::Absent);
    let deciding = match slot(hint.mask) {
        Slot::Absent => slot(hint.targets),
        mask => mask,
    };
    let over_time = input(deciding)?.has_time();
    match deciding {
        Slot::Tokens(at) if over_time => Some(CountedInput::Tokens { at, ignore: hint.ignore }),
        Slot::Value(at) if over_time => Some(CountedInput::Mask(at)),
        _ => None,
    }
}
