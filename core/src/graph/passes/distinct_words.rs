//! Each different word once.

use super::{Pass, Purpose};
use crate::graph::plan::{NodePlan, Plan};
use crate::layer::context::Slot;
use crate::layer::signature::{Dependence, Meaning};

/// A batch of a hundred captions has over a thousand words and about two hundred different ones. What is computed from a
/// word's vector alone is computed once for each different word; whoever needs it at a position looks it up by index.
pub(super) const PASS: Pass = Pass {
    name: "distinct-words",
    summary: "what depends on a word alone is computed once for each different word",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose == Purpose::Evaluation {
        return;
    }
    let tokens = plan.inputs.iter().filter_map(|input| match input.slot {
        Slot::Tokens(at) => Some(at),
        _ => None,
    });
    for tokens in tokens.collect::<Vec<_>>() {
        let chosen = words_only(plan, tokens);
        mark(plan, tokens, &chosen);
    }
}

/// The nodes that can go through different words of `tokens`: they depend on nothing else, and whoever else reads them
/// can look rows up.
fn words_only(plan: &Plan, tokens: usize) -> Vec<bool> {
    let mut chosen = vec![true; plan.nodes.len()];
    loop {
        let writer = |value| plan.writer(value).is_some_and(|node| chosen[node]);
        let fits = |at: usize| {
            let node = &plan.nodes[at];
            let reads_words = match is_lookup(node) {
                true => node.slots[0] == Slot::Tokens(tokens),
                false => {
                    let mut slots = node.slots.iter().filter(|slot| **slot != Slot::Absent);
                    node.facts.widest() <= Dependence::Item
                        && !node.slots.is_empty()
                        && slots.all(|slot| slot.value().is_some_and(writer))
                }
            };
            let read_by_words = |value| {
                plan.readers(value).all(|(reader, port)| {
                    chosen[reader] || plan.nodes[reader].abilities.indexed.contains(&port)
                })
            };
            let inside = |value| !plan.is_output(value) && read_by_words(value);
            reads_words && node.outputs.clone().all(inside)
        };
        let next: Vec<bool> = (0..plan.nodes.len()).map(|at| chosen[at] && fits(at)).collect();
        if next == chosen {
            return chosen;
        }
        chosen = next;
    }
}

fn is_lookup(node: &NodePlan) -> bool {
    matches!(node.facts.meaning, Meaning::Lookup)
}

fn mark(plan: &mut Plan, tokens: usize, chosen: &[bool]) {
    for (node, _) in plan.nodes.iter_mut().zip(chosen).filter(|(_, chosen)| **chosen) {
        node.words = Some(tokens);
        if is_lookup(node) {
            node.slots[0] = Slot::Words(tokens);
        }
        for value in node.outputs.clone() {
            plan.values[value].words = Some(tokens);
        }
    }
    for (node, _) in plan.nodes.iter_mut().zip(chosen).filter(|(_, chosen)| !**chosen) {
        for slot in &mut node.slots {
            match *slot {
                Slot::Value(value) if plan.values[value].words == Some(tokens) => {
                    *slot = Slot::Indexed { value, tokens };
                }
                _ => {}
            }
        }
    }
}
