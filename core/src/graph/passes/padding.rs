//! No work for padding.

use super::arrange::arrangeable;
use super::{Pass, Purpose};
use crate::array::dim::Symbol;
use crate::graph::plan::{CountedInput, Plan};
use crate::layer::context::Slot;
use crate::layer::signature::Meaning;

/// Captions are shorter than the arrays that hold them: over a quarter of COCO's positions are padding. Where the result
/// does not depend on what comes after the last position that counts, sequences end there, and arrays hold nothing
/// beyond.
pub(super) const PASS: Pass =
    Pass { name: "padding", summary: "sequences end at their last position that counts", apply };

fn apply(plan: &mut Plan, purpose: Purpose) {
    // What a loop ends with would be another step's.
    let at_end = plan.nodes.iter().any(|node| matches!(node.facts.meaning, Meaning::Last));
    if purpose == Purpose::Sequences && !at_end && arrangeable(plan) && !carries_positions(plan) {
        plan.arranged = counts(plan).filter(|counts| !counts.is_empty()).or(plan.arranged.take());
    }
}

/// Whether what is carried to the next batch depends on positions: then all of them count, the last one above all.
fn carries_positions(plan: &Plan) -> bool {
    let carried: Vec<usize> = plan.carries.iter().map(|carry| carry.value).collect();
    let timed = |slot: &Slot| match *slot {
        Slot::Tokens(at) | Slot::Words(at) => {
            plan.inputs.iter().any(|input| input.slot == Slot::Tokens(at) && input.has_time())
        }
        slot => slot.value().is_some_and(|value| plan.values[value].shape.has(Symbol::TIME)),
    };
    let mut nodes = plan.nodes.iter().zip(plan.needed_for_any(&carried));
    nodes.any(|(node, needed)| needed && node.slots.iter().any(timed))
}

/// The inputs that say what counts for each objective; `None` where one over positions does not say.
///
/// A plan that can be arranged leads from sequences to its result through objectives alone; what it carries to the next
/// batch is looked at before. One whose targets have no
/// time is an objective over whole sequences, which it takes in any order: what lies between it and their positions says
/// which of these count.
fn counts(plan: &Plan) -> Option<Vec<CountedInput>> {
    let mut counts = Vec::new();
    for node in &plan.nodes {
        let Meaning::Objective(counted) = node.facts.meaning else { continue };
        let slot = |port: usize| node.slots.get(port).copied().unwrap_or(Slot::Absent);
        let deciding = match slot(counted.mask) {
            Slot::Absent => slot(counted.targets),
            mask => mask,
        };
        if over_time(plan, deciding) {
            counts.push(counted_input(plan, deciding, counted.ignore)?);
        }
    }
    Some(counts)
}

fn over_time(plan: &Plan, slot: Slot) -> bool {
    match slot.value() {
        Some(value) => plan.values[value].shape.has(Symbol::TIME),
        None => plan.inputs.iter().any(|input| input.slot == slot && input.has_time()),
    }
}

/// An input that decides what counts; `None` where it is no input but computed.
fn counted_input(plan: &Plan, deciding: Slot, ignore: Option<u32>) -> Option<CountedInput> {
    plan.inputs.iter().find(|input| input.slot == deciding)?;
    match deciding {
        Slot::Tokens(at) => Some(CountedInput::Tokens { at, ignore }),
        Slot::Value(at) => Some(CountedInput::Mask(at)),
        _ => None,
    }
}
