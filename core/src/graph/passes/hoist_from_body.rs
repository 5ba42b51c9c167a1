//! What a body computes from the loop's inputs alone.

use std::sync::Arc;

use crate::context::Slot;
use crate::dim::Dim;
use crate::graph::body::{Body, BodyPort};
use crate::graph::plan::{InputPlan, NodePlan, Plan, Value};
use crate::graph::spec::Feed;
use crate::operation::{Part, Reach};
use crate::shape::Shape;

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
    let first = node.outputs.start;
    let mut new = New { outer: outer_slots(&body, &node), nodes: Vec::new(), values: Vec::new() };
    let mut kept = Vec::new();
    for (inner, feed) in std::mem::take(&mut body.plan.nodes).into_iter().zip(moves) {
        match feed {
            None => kept.push(inner),
            Some(feed) => new.take(inner, feed, &mut body, first),
        }
    }
    body.plan.nodes = kept;
    let New { outer, nodes, values } = new;
    let count = values.len();
    for _ in 0..count {
        plan.make_room(first);
    }
    plan.values.splice(first..first, values);
    // What is there still leads where it did, whatever has moved.
    let moved = node.outputs.len();
    node.outputs = first + count..first + count + moved;
    node.slots = plan.nodes[at].slots.clone();
    let read = |name: &str| body.fed(name).is_some() || starts(&body, name);
    for (port, slot) in node.slots.iter_mut().enumerate() {
        if !read(&body.ports[port].name) {
            *slot = Slot::Absent;
        }
    }
    for port in &body.ports[node.slots.len()..] {
        let value = outer.iter().find(|(name, _)| *name == port.name).map(|(_, slot)| *slot);
        node.slots.push(value.unwrap_or(Slot::Absent));
    }
    let (scan, memory) = body.compile();
    node.become_operation(Arc::new(scan), memory);
    node.parameters = body.parameters();
    node.body = Some(Arc::new(body));
    plan.nodes[at] = node;
    plan.nodes.splice(at..at, nodes);
}

/// What comes to stand before a loop.
struct New {
    /// The slots of the outer plan that the body's inputs are, by name.
    outer: Vec<(String, Slot)>,
    nodes: Vec<NodePlan>,
    values: Vec<Value>,
}

impl New {
    /// Moves a node out: the body is fed with what it computes.
    fn take(&mut self, inner: NodePlan, feed: Feed, body: &mut Body, first: usize) {
        let over = match feed {
            Feed::PerStep => Some(body.over),
            Feed::Static => None,
        };
        let slots = inner.slots.iter().map(|slot| match slot.value() {
            Some(value) => self.slot(&body.plan, value),
            None => Slot::Absent,
        });
        let slots = slots.collect();
        let start = first + self.values.len();
        for value in inner.outputs.clone() {
            let Value { name, shape, .. } = &body.plan.values[value];
            let (name, shape) = (name.clone(), shape.clone());
            self.outer.push((name.clone(), Slot::Value(first + self.values.len())));
            self.values.push(Value { name: name.clone(), shape: long(&shape, over), words: None });
            body.ports.push(BodyPort { name: name.clone(), feed, shape: shape.clone() });
            let input = InputPlan { name, shape, slot: Slot::Value(value), below: Vec::new() };
            body.plan.inputs.push(input);
        }
        let outputs = start..start + inner.outputs.len();
        let mut outer = NodePlan { slots, outputs, ..inner };
        for shapes in [&mut outer.saved, &mut outer.scratch] {
            shapes.iter_mut().for_each(|shape| *shape = long(shape, over));
        }
        let fits = |part: &Part| {
            let LayerMemory { saved, scratch } = LayerMemory::of(part);
            saved.is_empty() && scratch.is_empty()
        };
        let hints = &mut outer.hints;
        hints.packed_weights = hints.packed_weights.take().filter(|part| fits(part));
        (hints.looped, hints.fused, hints.split, hints.over_affine) = (None, None, None, None);
        self.nodes.push(outer);
    }

    fn slot(&self, plan: &Plan, value: usize) -> Slot {
        let input = plan.inputs.iter().find(|input| input.slot == Slot::Value(value));
        let name = input.map(|input| &input.name);
        let found = self.outer.iter().find(|(known, _)| Some(known) == name);
        found.map_or(Slot::Absent, |(_, slot)| *slot)
    }
}

/// The memory that a part takes.
struct LayerMemory<'a> {
    saved: &'a [Shape],
    scratch: &'a [Shape],
}

impl<'a> LayerMemory<'a> {
    fn of(part: &'a Part) -> Self {
        LayerMemory { saved: &part.plan.saved, scratch: &part.plan.scratch }
    }
}

/// The outer plan's slots by the names of the body's ports.
fn outer_slots(body: &Body, node: &NodePlan) -> Vec<(String, Slot)> {
    body.ports.iter().map(|port| port.name.clone()).zip(node.slots.iter().copied()).collect()
}

/// Whether something that is handed on starts at this input.
fn starts(body: &Body, name: &str) -> bool {
    body.carries.iter().any(|carry| match carry.start {
        crate::scan::Starting::Port(port) => body.ports[port].name == name,
        crate::scan::Starting::Constant(_) => false,
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
                () if all(Feed::Static) && node.hints.reach == Reach::Row => Feed::Static,
                () if all(Feed::PerStep)
                    && node.hints.any_lead
                    && matches!(node.hints.reach, Reach::Row | Reach::Position) =>
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

/// A shape of the body as it is for all steps, or as it is.
fn long(shape: &Shape, over: Option<Dim>) -> Shape {
    match over {
        Some(over) if shape.batch_lead() > 0 => {
            let mut dims = shape.dims().to_vec();
            dims.insert(1, over);
            Shape::new(dims)
        }
        _ => shape.clone(),
    }
}
