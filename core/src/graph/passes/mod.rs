//! Rewrites of plans: exact ones, that a network known before it runs makes possible. One a file.
//!
//! A pass looks for a pattern in what layers say about themselves ([`Facts`](crate::layer::signature::Facts)), never for
//! names. It asks layers for other [forms](crate::layer::form), or changes the plan by a patch that is applied whole. Loss
//! and gradients are the same with and without each; only rounding differs.

mod arrange;
mod blocked_loss;
mod chains;
mod distinct_words;
mod folded_norms;
mod fused_cells;
mod hoist;
mod hoist_from_body;
mod packed_weights;
mod padding;
mod rectified;

use super::patch::Patch;
use super::plan::{NodePlan, Plan};
use super::suggest::did_you_mean;
use crate::layer::context::Slot;

/// A rewrite that can be switched off by its name.
#[derive(Clone, Copy)]
pub struct Pass {
    /// How `--without` names it.
    pub name: &'static str,
    /// What it does, in one line.
    pub summary: &'static str,
    apply: fn(&mut Plan, Purpose),
}

impl Pass {
    /// Rewrites a plan, the bodies in it first.
    fn run(&self, plan: &mut Plan, purpose: Purpose) {
        for node in &mut plan.nodes {
            node.change_body(|body| self.run(&mut body.plan, purpose.of_bodies()));
        }
        (self.apply)(plan, purpose);
    }
}

/// What a plan is rewritten for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Whole sequences, and their gradients.
    Sequences,
    /// One step after another.
    Steps,
    /// Whole sequences, by a loop of which the plan is the body.
    Loop,
    /// Whole batches, without gradients.
    Evaluation,
}

impl Purpose {
    /// What the bodies of a plan are for.
    fn of_bodies(self) -> Self {
        match self {
            Purpose::Sequences | Purpose::Evaluation | Purpose::Loop => Purpose::Loop,
            Purpose::Steps => Purpose::Steps,
        }
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// All passes, in the order in which they are applied.
pub const PASSES: [Pass; 9] = [
    hoist::PASS,
    folded_norms::PASS,
    rectified::PASS,
    fused_cells::PASS,
    chains::PASS,
    packed_weights::PASS,
    blocked_loss::PASS,
    distinct_words::PASS,
    padding::PASS,
];

/// A name that no pass has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no pass `{name}`")]
pub struct UnknownPass {
    /// The name.
    pub name: String,
    /// The nearest one, and all there are.
    pub help: String,
}

/// Which passes are applied.
#[derive(Debug, Clone)]
pub struct Passes(Vec<Pass>);

impl Default for Passes {
    /// All of them.
    fn default() -> Self {
        Passes(PASSES.to_vec())
    }
}

impl Passes {
    /// No pass: a plan is run as the graph file writes it.
    pub fn none() -> Self {
        Passes(Vec::new())
    }

    /// All but those of these names.
    ///
    /// # Errors
    /// When a name is none of a pass.
    pub fn without<S: AsRef<str>>(names: &[S]) -> Result<Self, UnknownPass> {
        for name in names.iter().map(AsRef::as_ref) {
            if PASSES.iter().all(|pass| pass.name != name) {
                let help = did_you_mean(name, PASSES.iter().map(|pass| pass.name));
                return Err(UnknownPass { name: name.to_owned(), help });
            }
        }
        let kept = |pass: &Pass| names.iter().all(|name| name.as_ref() != pass.name);
        Ok(Passes(PASSES.into_iter().filter(kept).collect()))
    }
}

impl Plan {
    /// A plan that computes the value in the role `role`, and its gradients, faster.
    ///
    /// Values that it does not depend on are gone, and so is every other role. Parameters are the same, in the same
    /// order. `None` when no value has the role.
    pub fn rewritten(&self, role: &str, passes: &Passes) -> Option<Plan> {
        let target = self.output(role)?;
        Some(self.rewritten_for(role, target, passes, Purpose::Sequences))
    }

    /// As [`rewritten`](Self::rewritten) for any value, which has the role in the new plan.
    pub(crate) fn rewritten_for(
        &self,
        role: &str,
        target: usize,
        passes: &Passes,
        purpose: Purpose,
    ) -> Plan {
        self.rewritten_for_all(vec![(role.to_owned(), target)], passes, purpose)
    }

    /// As [`rewritten_for`](Self::rewritten_for) for several values.
    pub(crate) fn rewritten_for_all(
        &self,
        roles: Vec<(String, usize)>,
        passes: &Passes,
        purpose: Purpose,
    ) -> Plan {
        let mut plan = self.restricted(roles, purpose);
        passes.0.iter().for_each(|pass| pass.run(&mut plan, purpose));
        plan.renumber();
        plan
    }

    /// The part of the plan that values depend on, in this batch and in those to come. Values keep their numbers.
    fn restricted(&self, roles: Vec<(String, usize)>, purpose: Purpose) -> Plan {
        let targets = roles.iter().map(|(_, target)| *target).collect();
        let needed = match purpose {
            Purpose::Sequences | Purpose::Loop => self.needed_with_carried(targets),
            // Steps go on from one to the next themselves, and evaluation goes on from nothing.
            Purpose::Steps | Purpose::Evaluation => self.needed_for_any(&targets),
        };
        let mut plan = self.clone();
        plan.outputs = roles;
        let mut at = 0..;
        plan.nodes.retain(|_| at.next().is_some_and(|at| needed[at]));
        let reads = |slot: Slot| plan.nodes.iter().any(|node| node.slots.contains(&slot));
        let inputs = plan.inputs.clone();
        plan.inputs = inputs.into_iter().filter(|input| reads(input.slot)).collect();
        let carries = plan.carries.clone();
        plan.carries =
            carries.into_iter().filter(|carry| reads(Slot::Value(carry.input))).collect();
        plan
    }

    /// For each node, whether values depend on it, perhaps by way of what is carried from batch to batch.
    fn needed_with_carried(&self, mut results: Vec<usize>) -> Vec<bool> {
        loop {
            let needed = self.needed_for_any(&results);
            let read = |input: usize| self.readers(input).any(|(node, _)| needed[node]);
            let carries = self.carries.iter().filter(|carry| read(carry.input));
            let more = carries.map(|carry| carry.value).filter(|value| !results.contains(value));
            let more: Vec<usize> = more.collect();
            if more.is_empty() {
                return needed;
            }
            results.extend(more);
        }
    }

    /// The nodes that read a value, and at which ports.
    fn readers(&self, value: usize) -> impl Iterator<Item = (usize, usize)> {
        self.nodes.iter().enumerate().flat_map(move |(node, plan)| {
            let at = plan.slots.iter().enumerate().filter(move |(_, s)| s.value() == Some(value));
            at.map(move |(port, _)| (node, port))
        })
    }

    /// The node that computes a value, if it is no input.
    fn writer(&self, value: usize) -> Option<usize> {
        self.nodes.iter().position(|node| node.outputs.contains(&value))
    }

    /// The node whose only output is the only thing that this node reads, and that nobody else does.
    fn only_source(&self, node: usize) -> Option<usize> {
        let [Slot::Value(value)] = self.nodes[node].slots[..] else { return None };
        let writer = self.writer(value)?;
        let alone = self.readers(value).count() == 1 && !self.is_output(value);
        (alone && self.nodes[writer].outputs.len() == 1).then_some(writer)
    }

    /// Lets a node, changed by a pass, compute what `next`, which alone reads it, has computed so far.
    fn absorb(&mut self, at: usize, mut node: NodePlan, next: usize) {
        let absorbed = &self.nodes[next];
        node.name = format!("{}+{}", node.name, absorbed.name);
        node.outputs = absorbed.outputs.clone();
        let mut patch = Patch::of(self);
        patch.replace(at, node);
        patch.remove(next);
        self.apply(patch);
    }

    /// Whether a value is a result, or is carried to the next batch.
    fn is_output(&self, value: usize) -> bool {
        self.outputs.iter().any(|(_, at)| *at == value)
            || self.carries.iter().any(|carry| carry.value == value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_passes_are_refused_with_all_names() {
        let error = Passes::without(&["hoist", "paddin"]).unwrap_err();
        assert_eq!(error.name, "paddin");
        assert!(error.help.contains("did you mean `padding`"), "{}", error.help);
        assert!(PASSES.iter().all(|pass| error.help.contains(pass.name)), "{}", error.help);
        assert_eq!(Passes::without(&["hoist"]).unwrap().0.len(), PASSES.len() - 1);
    }
}
