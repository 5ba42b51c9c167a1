//! Functions that go element by element, together.

use std::sync::Arc;

use super::{Pass, Purpose};
use crate::graph::patch::Patch;
use crate::graph::plan::{NodePlan, Plan};
use crate::layer::context::Slot;
use crate::layer::form::{Form, Lowered};
use crate::layer::memory::MemoryPlan;
use crate::layer::signature::{Dependence, Facts, Meaning};
use crate::operations::chain::{Argument, Chain, Link, MOST_ARGUMENTS, MOST_LINKS, MOST_READS};
use crate::pointwise::{Columns, Function, LooksAt};

/// Gates are sums, squashed, multiplied and added: written as nodes, each would read its arguments from memory and write
/// its value there. As one node, they do so a block at a time, in the nearest cache, and only what others read, or what
/// gradients are computed from, is kept.
pub(super) const PASS: Pass = Pass {
    name: "chains",
    summary: "functions that go element by element are computed together, a block at a time",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    // Each turn makes a group one node, which is in no further group. Where nobody asks for gradients, a function by itself
    // becomes a chain too, which can write its value over an argument.
    let least = if purpose == Purpose::Evaluation { 1 } else { 2 };
    while let Some(group) = groups(plan).into_iter().find(|group| group.len() >= least) {
        join(plan, &group, purpose);
    }
}

/// Nodes that can be computed together, where the last of them stands: in the order of computation.
fn groups(plan: &Plan) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for at in 0..plan.nodes.len() {
        if !is_function(plan, at) {
            continue;
        }
        let writers: Vec<usize> =
            plan.nodes[at].reads().filter_map(|value| plan.writer(value)).collect();
        let mut joined = vec![at];
        groups.retain(|group| {
            let feeds = group.iter().any(|node| writers.contains(node));
            let mut together = [&group[..], &joined[..]].concat();
            together.sort_unstable();
            let fits = feeds && same_shape(plan, group[0], at) && can_join(plan, &together);
            if fits {
                joined = together;
            }
            !fits
        });
        groups.push(joined);
    }
    groups
}

/// The function that a node takes, element by element, if it does.
fn function(node: &NodePlan) -> Option<&Arc<dyn Function>> {
    match &node.facts.meaning {
        Meaning::Elementwise(function) => Some(function),
        _ => None,
    }
}

fn is_function(plan: &Plan, at: usize) -> bool {
    let node = &plan.nodes[at];
    function(node).is_some()
        && node.outputs.len() == 1
        && node.slots.iter().all(|slot| matches!(slot, Slot::Value(_)))
        && node.slots.len() <= MOST_READS
}

fn same_shape(plan: &Plan, a: usize, b: usize) -> bool {
    let value = |node: usize| &plan.values[plan.nodes[node].outputs.start];
    value(a).shape == value(b).shape && value(a).words == value(b).words
}

/// Whether nodes can all be computed where the last of them stands: nobody else before reads them.
fn can_join(plan: &Plan, group: &[usize]) -> bool {
    let last = group[group.len() - 1];
    let read_before = |node: &usize| {
        plan.readers(plan.nodes[*node].outputs.start)
            .any(|(reader, _)| reader < last && !group.contains(&reader))
    };
    let (arguments, _) = arguments(plan, group);
    group.len() <= MOST_LINKS && arguments.len() <= MOST_ARGUMENTS && !group.iter().any(read_before)
}

/// An argument of a group before it has a port: a slot, and columns of it.
type Source = (Slot, Columns);

/// What a group reads from outside, and the nodes that only cut columns out for it and are not needed any more.
fn arguments(plan: &Plan, group: &[usize]) -> (Vec<Source>, Vec<usize>) {
    let (mut found, mut cutters) = (Vec::new(), Vec::new());
    for slot in group.iter().flat_map(|node| plan.nodes[*node].slots.iter().copied()) {
        let Some(value) = slot.value() else { continue };
        let writer = plan.writer(value);
        if writer.is_some_and(|writer| group.contains(&writer)) {
            continue;
        }
        let source = source(plan, group, slot, writer);
        if let Some(writer) = writer.filter(|_| source.0 != slot)
            && !cutters.contains(&writer)
        {
            cutters.push(writer);
        }
        if !found.contains(&source) {
            found.push(source);
        }
    }
    (found, cutters)
}

/// What an argument is read from: columns of another array, if they are cut out for this group alone.
fn source(plan: &Plan, group: &[usize], slot: Slot, writer: Option<usize>) -> Source {
    let cut = writer.and_then(|writer| {
        let node = &plan.nodes[writer];
        let Meaning::Columns(columns) = node.facts.meaning else { return None };
        let value = node.outputs.start;
        let alone = plan.readers(value).all(|(reader, _)| group.contains(&reader));
        let whole = matches!(node.slots[0], Slot::Value(_));
        (alone && whole && !plan.is_output(value)).then_some((node.slots[0], columns))
    });
    cut.unwrap_or((slot, Columns::All))
}

/// Puts one node in the place of a group.
fn join(plan: &mut Plan, group: &[usize], purpose: Purpose) {
    let (sources, cutters) = arguments(plan, group);
    let mut slots: Vec<Slot> = Vec::new();
    for (slot, _) in &sources {
        if !slots.contains(slot) {
            slots.push(*slot);
        }
    }
    let port = |slot: Slot| slots.iter().position(|known| *known == slot).unwrap_or_default();
    let arguments: Vec<Argument> = sources
        .iter()
        .map(|(slot, columns)| Argument { port: port(*slot), columns: *columns })
        .collect();
    let value = |node: usize| plan.nodes[node].outputs.start;
    let register = |slot: &Slot| {
        let writer = slot.value().and_then(|value| plan.writer(value));
        match group.iter().position(|node| Some(*node) == writer) {
            Some(link) => sources.len() + link,
            None => {
                let source = source(plan, group, *slot, writer);
                sources.iter().position(|known| *known == source).unwrap_or_default()
            }
        }
    };
    let links: Vec<Link> = group
        .iter()
        .filter_map(|node| {
            let node = &plan.nodes[*node];
            let reads = node.slots.iter().map(register).collect();
            Some(Link { function: function(node)?.clone(), reads })
        })
        .collect();
    let outside = |node: usize| {
        let read = plan.readers(value(node)).any(|(reader, _)| !group.contains(&reader));
        read || plan.is_output(value(node))
    };
    let results: Vec<usize> = (0..group.len()).filter(|link| outside(group[*link])).collect();
    let looked_at = |link: usize| {
        let own = links[link].function.looks_at() == LooksAt::Value;
        let by_others = links.iter().any(|other| {
            other.function.looks_at() == LooksAt::Arguments
                && other.reads.contains(&(sources.len() + link))
        });
        own || by_others
    };
    let kept = |link: &usize| {
        purpose != Purpose::Evaluation && looked_at(*link) && !results.contains(link)
    };
    let saved: Vec<usize> = (0..group.len()).filter(kept).collect();
    let shape = plan.values[value(group[0])].shape.clone();
    let whole = |port: &usize| {
        arguments.iter().all(|a: &Argument| a.port != *port || a.columns == Columns::All)
    };
    let in_place: Vec<usize> = match results.len() {
        1 => (0..slots.len()).filter(whole).collect(),
        _ => Vec::new(),
    };
    let old: Vec<usize> = results.iter().map(|link| value(group[*link])).collect();
    let memory = MemoryPlan { saved: vec![shape; saved.len()], ..MemoryPlan::default() };
    let chain = Chain { arguments, links, results, saved };
    let label = format!("{chain:?}");
    let chain = Lowered::new(chain).label(label);
    let chain = in_place.into_iter().fold(chain, Lowered::in_place);
    let last = group[group.len() - 1];
    let mut patch = Patch::of(plan);
    let new: Vec<usize> =
        old.iter().map(|value| patch.value(plan.values[*value].clone())).collect();
    old.iter().zip(&new).for_each(|(old, new)| patch.redirect(*old, *new));
    let mut node = NodePlan {
        definition: None,
        form: Form::PLAIN,
        facts: Facts::new(Dependence::Row),
        slots,
        outputs: new[0]..new[0] + new.len(),
        parameters: Vec::new(),
        ..plan.nodes[last].clone()
    };
    node.become_lowered(chain, memory);
    group.iter().chain(&cutters).filter(|at| **at != last).for_each(|at| patch.remove(*at));
    patch.replace(last, node);
    plan.apply(patch);
}
