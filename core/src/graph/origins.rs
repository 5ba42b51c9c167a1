//! What the nodes of a plan read, for whoever draws it or explains it.

use super::plan::{NodePlan, Plan};
use crate::layer::context::Slot;

/// Where an array that a node reads comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Data feeds it: an index into the plan's inputs.
    Input(usize),
    /// A node computes it: an index into the plan's values.
    Value(usize),
}

impl Plan {
    /// The origins of what `node` reads, by port; `None` for an optional port that is not wired.
    pub fn origins(&self, node: &NodePlan) -> Vec<Option<Origin>> {
        node.slots.iter().map(|slot| self.origin(*slot)).collect()
    }

    /// The origin of a value: itself, unless data feeds it.
    pub fn origin_of(&self, value: usize) -> Origin {
        self.origin(Slot::Value(value)).unwrap_or(Origin::Value(value))
    }

    fn origin(&self, slot: Slot) -> Option<Origin> {
        let fed = |slot| self.inputs.iter().position(|input| input.slot == slot);
        let tokens = match slot {
            Slot::Absent | Slot::Output => return None,
            Slot::Words(at) => Slot::Tokens(at),
            Slot::Indexed { value, .. } => Slot::Value(value),
            other => other,
        };
        match (fed(tokens), tokens) {
            (Some(input), _) => Some(Origin::Input(input)),
            (None, Slot::Value(value)) => Some(Origin::Value(value)),
            (None, _) => None,
        }
    }
}
