//! What a body computes from the loop's inputs alone.

use crate::graph::definition::Definition;
use crate::graph::patch::Patch;
use crate::graph::plan::{Body, BodyPort};
use crate::graph::plan::{InputPlan, NodePlan, Plan, Value};
use crate::graph::spec::Feed;
use crate::layer::context::Slot;
use crate::layer::signature::Dependence;

/// Moves nodes of the body of node `at` before it. What a body computes from static inputs is the same at every step; what
/// it computes from a step's part of inputs, by mathematics of rows, is computed for all steps at once.
pub(super) fn hoist_from_body(plan: &mut Plan, at: usize) {
    let Some(body) = plan.nodes[at].body.clone() else { return };
    let moves = moves(&body);
    if moves.iter().all(Option::is_none) {
        return;
    }
    let mut body = Body::clone(&body);
    let mut node = plan.nodes[at].clone();
    let mut patch = Patch::of(plan);
    let mut before = Before { outer: outer_slots(&body, &node), nodes: Vec::new() };
    let mut kept = Vec::new();
    for (inner, feed) in std::mem::take(&mut body.plan.nodes).into_iter().zip(moves) {
        match feed {
            None => kept.push(inner),
            Some(feed) => before.take(inner, feed, &mut body, &mut patch),
        }
    }
    body.plan.nodes = kept;
    let read = |name: &str| body.fed(name).is_some() || starts(&body, name);
    for (port, slot) in node.slots.iter_mut().enumerate() {
        if !read(&body.ports[port].name) {
            *slot = Slot::Absent;
        }
    }
    for port in &body.ports[node.slots.len()..] {
        let value = before.outer.iter().find(|(name, _)| *name == port.name);
        node.slots.push(value.map_or(Slot::Absent, |(_, slot)| *slot));
    }
    node.become_body(body);
    before.nodes.into_iter().for_each(|node| patch.insert(at, node));
    patch.replace(at, node);
    plan.apply(patch);
}

/// What comes to stand before a loop.
struct Before {
    /// The slots of the outer plan that the body's inputs are, by name.
    outer: Vec<(String, Slot)>,
    nodes: Vec<NodePlan>,
}

impl Before {
    /// Moves a node out: the body is fed with what it computes.
    fn take(&mut self, inner: NodePlan, feed: Feed, body: &mut Body, patch: &mut Patch) {
        let over = (feed == Feed::PerStep).then_some(body.over);
        let slots = inner.slots.iter().map(|slot| match slot.value() {
            Some(value) => self.slot(&body.plan, value),
            None => Slot::Absent,
        });
        let slots = slots.collect();
        let mut new = Vec::new();
        for value in inner.outputs.clone() {
            let Value { name, shape, .. } = body.plan.values[value].clone();
            let outer = over.map_or_else(|| shape.clone(), |over| shape.over_steps(over));
            new.push(patch.value(Value { name: name.clone(), shape: outer, words: None }));
            self.outer.push((name.clone(), Slot::Value(new[new.len() - 1])));
            body.ports.push(BodyPort { name: name.clone(), feed, shape: shape.clone() });
            let input = InputPlan { name, shape, slot: Slot::Value(value), below: Vec::new() };
            body.plan.inputs.push(input);
        }
        let outputs = new[0]..new[0] + new.len();
        let mut outer = NodePlan { slots, outputs, ..inner };
        if let (Some(over), Some(definition)) = (over, &outer.definition) {
            let longer = Definition::clone(definition).over_steps(over);
            outer.definition = Some(longer.into());
            outer.take_form(outer.form);
        }
        self.nodes.push(outer);
    }

    fn slot(&self, plan: &Plan, value: usize) -> Slot {
        let input = plan.inputs.iter().find(|input| input.slot == Slot::Value(value));
        let name = input.map(|input| &input.name);
        let found = self.outer.iter().find(|(known, _)| Some(known) == name);
        found.map_or(Slot::Absent, |(_, slot)| *slot)
    }
}

/// The outer plan's slots by the names of the body's ports.
fn outer_slots(body: &Body, node: &NodePlan) -> Vec<(String, Slot)> {
    body.ports.iter().map(|port| port.name.clone()).zip(node.slots.iter().copied()).collect()
}

/// Whether something that is handed on starts at this input.
fn starts(body: &Body, name: &str) -> bool {
    body.carries.iter().any(|carry| match carry.start {
        crate::operations::scan::Starting::Port(port) => body.ports[port].name == name,
        crate::operations::scan::Starting::Constant(_) => false,
    })
}

/// For each node of a body how the loop would be fed with what it computes, if it can be computed before.
fn moves(body: &Body) -> Vec<Option<Feed>> {
    let plan = &body.plan;
    let mut feeds: Vec<Option<Feed>> = vec![None; plan.values.len()];
    for port in &body.ports {
        if let Some(value) = body.fed(&port.name) {
            feeds[value] = Some(port.feed);
        }
    }
    let results = |value: usize| plan.outputs.iter().any(|(_, result)| *result == value);
    plan.nodes
        .iter()
        .map(|node| {
            let reads: Option<Vec<Feed>> = node.reads().map(|value| feeds[value]).collect();
            let reads = reads.filter(|reads| !reads.is_empty())?;
            let all = |feed: Feed| reads.iter().all(|read| *read == feed);
            let feed = match () {
                () if all(Feed::Static) && node.facts.widest() <= Dependence::Item => Feed::Static,
                () if all(Feed::PerStep)
                    && node.definition.is_some()
                    && node.facts.widest() <= Dependence::Row =>
                {
                    Feed::PerStep
                }
                () => return None,
            };
            // What leaves the body or is handed on is computed in it.
            if node.outputs.clone().any(results) {
                return None;
            }
            node.outputs.clone().for_each(|value| feeds[value] = Some(feed));
            Some(feed)
        })
        .collect()
}
