//! Changes of plans that are applied whole.
//!
//! Between patches every value keeps its number: new ones come after all others, and those that nobody writes any more
//! stay until the plan is [renumbered](Plan::renumber). So a pass can note values, and another can change the plan.

use std::mem;

use super::plan::{NodePlan, Plan, Value};
use crate::layer::context::Slot;

/// A change of a plan: nodes that go and come, values that come and stand for others.
#[derive(Debug)]
pub(super) struct Patch {
    removed: Vec<usize>,
    inserted: Vec<(usize, NodePlan)>,
    first: usize,
    values: Vec<Value>,
    redirected: Vec<(usize, usize)>,
}

impl Patch {
    /// A change of this plan, which must stay as it is until the patch is applied.
    pub(super) fn of(plan: &Plan) -> Self {
        Patch {
            removed: Vec::new(),
            inserted: Vec::new(),
            first: plan.values.len(),
            values: Vec::new(),
            redirected: Vec::new(),
        }
    }

    /// Adds a value and returns its number. Values that are added one after the other have numbers in a row.
    pub(super) fn value(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.first + self.values.len() - 1
    }

    /// Takes the node at this position away.
    pub(super) fn remove(&mut self, at: usize) {
        self.removed.push(at);
    }

    /// Puts a node before the one at this position.
    pub(super) fn insert(&mut self, at: usize, node: NodePlan) {
        self.inserted.push((at, node));
    }

    /// Puts a node in the place of the one at this position.
    pub(super) fn replace(&mut self, at: usize, node: NodePlan) {
        self.remove(at);
        self.insert(at, node);
    }

    /// Lets everybody who reads `old` read `new`: nodes that stay, results, and what is carried.
    pub(super) fn redirect(&mut self, old: usize, new: usize) {
        self.redirected.push((old, new));
    }
}

impl Plan {
    /// Applies a patch that was made for this plan.
    pub(super) fn apply(&mut self, patch: Patch) {
        let Patch { removed, inserted, values, redirected, .. } = patch;
        self.values.extend(values);
        self.rename(|value| {
            let new = redirected.iter().find(|(old, _)| *old == value);
            new.map_or(value, |(_, new)| *new)
        });
        let mut inserted = inserted.into_iter().peekable();
        for (at, node) in mem::take(&mut self.nodes).into_iter().enumerate() {
            while let Some((_, new)) = inserted.next_if(|(place, _)| *place == at) {
                self.nodes.push(new);
            }
            if !removed.contains(&at) {
                self.nodes.push(node);
            }
        }
    }

    /// Numbers values anew, in the order in which they are computed, and drops those that nobody writes. A node then
    /// reads only values before its own.
    pub(super) fn renumber(&mut self) {
        let fed = self.inputs.iter().filter_map(|input| input.slot.value());
        let written = self.nodes.iter().flat_map(|node| node.outputs.clone());
        let results = self.outputs.iter().map(|(_, value)| *value);
        let mut numbers = vec![usize::MAX; self.values.len()];
        let mut order: Vec<usize> = Vec::new();
        // A result that is an input which no node reads comes last.
        for value in fed.chain(written).chain(results) {
            if numbers[value] == usize::MAX {
                numbers[value] = order.len();
                order.push(value);
            }
        }
        self.values = order.iter().map(|old| self.values[*old].clone()).collect();
        for node in &mut self.nodes {
            let length = node.outputs.len();
            // The outputs of a node have numbers in a row, before and after.
            node.outputs.start = numbers[node.outputs.start];
            node.outputs.end = node.outputs.start + length;
        }
        for input in &mut self.inputs {
            if let Slot::Value(value) = &mut input.slot {
                *value = numbers[*value];
            }
        }
        self.rename(|value| numbers[value]);
    }

    /// Gives other numbers to the values that are read.
    fn rename(&mut self, new: impl Fn(usize) -> usize) {
        for slot in self.nodes.iter_mut().flat_map(|node| &mut node.slots) {
            if let Slot::Value(value) | Slot::Indexed { value, .. } = slot {
                *value = new(*value);
            }
        }
        self.outputs.iter_mut().for_each(|(_, value)| *value = new(*value));
        for carry in &mut self.carries {
            carry.input = new(carry.input);
            carry.value = new(carry.value);
        }
        for counted in self.arranged.iter_mut().flatten() {
            counted.rename(&new);
        }
    }
}
