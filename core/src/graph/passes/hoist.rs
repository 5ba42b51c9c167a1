//! Work that does not depend on carried state leaves the loop over time.

use super::{Pass, Purpose};
use crate::context::Slot;
use crate::graph::plan::{NodePlan, Plan, Value};
use crate::operation::Split;

/// A recurrent layer multiplies its input by weights at every step, whatever its state. As a node of its own, this is one
/// large product over all steps, and other passes can see it.
pub(super) const PASS: Pass = Pass {
    name: "hoist",
    summary: "what a recurrence computes from its input alone is one product before the loop",
    apply,
};

fn apply(plan: &mut Plan, _: Purpose) {
    for at in (0..plan.nodes.len()).rev() {
        if let Some(split) = plan.nodes[at].hints.split.clone() {
            divide(plan, at, *split);
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
