//! Work that does not depend on carried state leaves the loop over time.

use super::hoist_from_body::hoist_from_body;
use super::{Pass, Purpose};
use crate::context::Slot;
use crate::graph::plan::{NodePlan, Plan, Value};
use crate::operation::Split;

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
        if let Some(split) = plan.nodes[at].hints.split.clone() {
            divide(plan, at, *split);
        } else if plan.nodes[at].body.is_some() {
            hoist_from_body(plan, at);
        }
    }
}

fn divide(plan: &mut Plan, at: usize, Split { before, after }: Split) {
    let node = plan.nodes[at].clone();
    let value = node.outputs.start;
    let own = |ids: &[usize]| ids.iter().map(|id| node.parameters[*id]).collect();
    let name = format!("{}.input", node.name);
    let shape = before.plan.outputs[0].1.clone();
    let mut first = NodePlan {
        name: name.clone(),
        slots: vec![node.slots[0]],
        outputs: value..value + 1,
        parameters: own(&before.parameters),
        ..node.clone()
    };
    first.become_operation(before.operation, before.plan);
    plan.make_room(value);
    plan.values.insert(value, Value { name, shape, words: None });
    let second = &mut plan.nodes[at];
    second.slots[0] = Slot::Value(value);
    second.parameters = own(&after.parameters);
    second.become_operation(after.operation, after.plan);
    plan.nodes.insert(at, first);
}
