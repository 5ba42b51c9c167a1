//! Normalisation by running averages within the weights before it.

use std::sync::Arc;

use super::{Pass, Purpose};
use crate::array::shape::Shape;
use crate::config::init::Fill;
use crate::graph::definition::Definition;
use crate::graph::plan::{Fold, NodePlan, Parameter, Plan};
use crate::layer::signature::{ChannelMap, Meaning};

/// A network that is not trained normalises channels by averages that stay: it scales and shifts each. A layer whose
/// channels are linear in rows of its weights does the same with other weights, (x w + b) s + t = x (w s) + (b s + t). The
/// weights are scaled once, in their place, before anything is computed.
pub(super) const PASS: Pass = Pass {
    name: "folded-norms",
    summary: "normalisation by running averages becomes part of the weights before it",
    apply,
};

fn apply(plan: &mut Plan, purpose: Purpose) {
    if purpose != Purpose::Evaluation {
        return;
    }
    while let Some((maker, norm, map)) = pattern(plan) {
        fold(plan, maker, norm, map);
    }
}

/// A node with a row of weights for each channel, and one that alone reads it and scales and shifts its channels.
fn pattern(plan: &Plan) -> Option<(usize, usize, Arc<dyn ChannelMap>)> {
    plan.nodes.iter().enumerate().find_map(|(norm, node)| {
        let Meaning::ChannelMap(map) = &node.facts.meaning else { return None };
        let maker = plan.only_source(norm)?;
        let linear = matches!(plan.nodes[maker].facts.meaning, Meaning::LinearChannels);
        let fits = linear && owns_parameters(plan, maker);
        (fits && with_bias(&plan.nodes[maker], 0).is_some()).then(|| (maker, norm, map.clone()))
    })
}

/// Whether no other node uses a parameter of this one, so that it can be changed.
fn owns_parameters(plan: &Plan, at: usize) -> bool {
    let own = &plan.nodes[at].parameters;
    let mut others = plan.nodes.iter().enumerate().filter(|(other, _)| *other != at);
    !others.any(|(_, other)| other.parameters.iter().any(|id| own.contains(id)))
}

/// The name of the parameter that is added to each channel.
const BIAS: &str = "b";

/// A node with a bias, which is the parameter `folded` of the plan, in place of its own if it has one.
fn with_bias(node: &NodePlan, folded: usize) -> Option<NodePlan> {
    let mut node = node.clone();
    let mut definition = Definition::clone(node.definition.as_ref()?);
    match definition.parameters.iter().position(|name| name == BIAS) {
        Some(at) => node.parameters[at] = folded,
        None => {
            definition.parameters.push(BIAS.into());
            node.parameters.push(folded);
        }
    }
    node.definition = Some(definition.into());
    node.take_form(node.form.with_bias()).then_some(node)
}

fn fold(plan: &mut Plan, maker: usize, norm: usize, map: Arc<dyn ChannelMap>) {
    let (node, folded) = (&plan.nodes[maker], plan.parameters.len());
    let Some(changed) = with_bias(node, folded) else { return };
    let weights = node.parameters[0];
    plan.folds.push(Fold {
        weights,
        bias: node.parameters.get(1).copied(),
        folded,
        map,
        from: plan.nodes[norm].parameters.clone(),
    });
    plan.parameters.push(Parameter {
        name: format!("{}.b", plan.nodes[norm].name),
        shape: Shape::new([plan.parameters[weights].shape[0]]),
        fill: Fill::zero(),
        decays: false,
        momentum: None,
    });
    plan.absorb(maker, changed, norm);
}
