//! Whether arrays with time can be arranged step by step.

use crate::array::dim::{Dim, Symbol};
use crate::array::shape::Shape;
use crate::graph::plan::{NodePlan, Plan};
use crate::layer::context::Slot;
use crate::layer::signature::{Dependence, Meaning};

/// Whether every node does the same whatever the order of sequences and however many positions they have, and whether no
/// result has a row for each.
pub(super) fn arrangeable(plan: &Plan) -> bool {
    let result = |(_, at): &(String, usize)| plan.values[*at].shape.dims().iter().any(of_batch);
    let read = |at: &usize| plan.readers(*at).next().is_some() || plan.is_output(*at);
    let values = (0..plan.values.len()).filter(read).map(|at| &plan.values[at].shape);
    let inputs = plan.inputs.iter().map(|input| &input.shape);
    !plan.outputs.iter().any(result)
        && values.chain(inputs).all(leads)
        && plan.nodes.iter().all(|node| any_order(plan, node))
}

/// Whether `Batch` and `Time` are the first dimensions, in this order, and no others.
fn leads(shape: &Shape) -> bool {
    !shape.dims()[shape.batch_lead()..].iter().any(of_batch)
}

fn of_batch(dim: &Dim) -> bool {
    dim.is(Symbol::BATCH) || dim.is(Symbol::TIME)
}

fn any_order(plan: &Plan, node: &NodePlan) -> bool {
    let timed =
        |slot: &Slot| slot.value().is_some_and(|value| plan.values[value].shape.has(Symbol::TIME));
    let fits = |(port, slot): (usize, &Slot)| match node.facts.of(port) {
        Dependence::Whole => !plan.reads_sequences(*slot),
        Dependence::Batch => !timed(slot),
        _ => true,
    };
    matches!(node.facts.meaning, Meaning::Objective(_)) || node.slots.iter().enumerate().all(fits)
}

impl Plan {
    /// Whether what lies at a slot has a row for each sequence.
    fn reads_sequences(&self, slot: Slot) -> bool {
        match slot {
            Slot::Tokens(_) | Slot::Words(_) => true,
            slot => slot.value().is_some_and(|value| self.values[value].shape.has(Symbol::BATCH)),
        }
    }
}
