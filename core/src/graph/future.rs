//! Whether a network can run step by step.

use super::plan::{NodePlan, Plan};
use crate::array::dim::Symbol;
use crate::layer::context::Slot;
use crate::layer::signature::{Dependence, Meaning};

impl Plan {
    /// The first node on the way to `value` that, at one step, needs what only later steps compute; an index into
    /// `nodes`. `None` if the value can be computed step by step.
    pub fn needs_future(&self, value: usize) -> Option<usize> {
        let mut timed: Vec<bool> = self.values.iter().map(|v| v.shape.has(Symbol::TIME)).collect();
        let mut ends = vec![false; self.values.len()];
        for (at, (node, needed)) in self.nodes.iter().zip(self.needed_for(value)).enumerate() {
            if !needed {
                continue;
            }
            let writes_time = node.outputs.clone().any(|value| timed[value]);
            let folds = !writes_time && self.reads_time(node, &timed);
            let reads_end = node.reads().any(|value| ends[value]);
            if folds || reads_end || reads_all_steps(node, &timed) {
                return Some(at);
            }
            for output in node.outputs.clone() {
                ends[output] = matches!(node.facts.meaning, Meaning::Last) && !timed[output];
                timed[output] = writes_time;
            }
        }
        None
    }

    fn reads_time(&self, node: &NodePlan, timed: &[bool]) -> bool {
        let fed = |at: usize| {
            let mut inputs = self.inputs.iter();
            inputs.any(|input| input.slot == Slot::Tokens(at) && input.has_time())
        };
        node.slots.iter().any(|slot| match *slot {
            Slot::Value(value) | Slot::Indexed { value, .. } => timed[value],
            Slot::Tokens(at) | Slot::Words(at) => fed(at),
            Slot::Absent | Slot::Output => false,
        })
    }
}

/// Whether a node looks at all steps of something at each of its own.
fn reads_all_steps(node: &NodePlan, timed: &[bool]) -> bool {
    let whole = |port: &usize| node.facts.of(*port) == Dependence::Whole;
    let slots = (0..node.slots.len()).filter(whole).map(|port| node.slots[port]);
    slots.filter_map(|slot| slot.value()).any(|value| timed[value])
}
