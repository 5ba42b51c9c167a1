//! Work that does not depend on carried state leaves the loop over time.

use super::hoist_from_body::hoist_from_body;
use super::{Pass, Purpose};
use crate::graph::patch::Patch;
use crate::graph::plan::{Plan, Value};
use crate::layer::context::Slot;
use crate::layer::form::Part;

/// A recurrent layer multiplies its input by weights at every step, whatever its state. As a node of its own, this is one
/// large product over all steps, and other passes can see it. So is what the body of a loop computes from the loop's inputs
/// alone.
pub(super) const PASS: Pass = Pass {
    name: "hoist",
    summary: "what a recurrence or a body computes from inputs alone is computed before the loop",
    apply,
};

fn apply(plan: &mut Plan, _: Purpose) {
    for at in (0..plan.nodes.len()).rev() {
        match plan.nodes[at].body {
            Some(_) => hoist_from_body(plan, at),
            None => divide(plan, at),
        }
    }
}

/// Puts the part of a recurrence that depends on its input alone before the rest, if it has these parts.
fn divide(plan: &mut Plan, at: usize) {
    let node = &plan.nodes[at];
    let (mut input, mut recurrence) = (node.clone(), node.clone());
    let Some(shape) = input.take_part(Part::Input) else { return };
    if !recurrence.take_form(node.form.part(Part::Recurrence)) {
        return;
    }
    let mut patch = Patch::of(plan);
    input.name = format!("{}.input", node.name);
    let value = patch.value(Value { name: input.name.clone(), shape, words: None });
    input.slots.truncate(1);
    input.outputs = value..value + 1;
    recurrence.slots[0] = Slot::Value(value);
    patch.insert(at, input);
    patch.replace(at, recurrence);
    plan.apply(patch);
}
