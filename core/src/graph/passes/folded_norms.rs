//! Normalisation by running averages within the weights before it.

use super::{Pass, Purpose};
use crate::graph::plan::{Fold, Parameter, Plan};
use crate::init::Fill;
use crate::shape::Shape;

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
    while let Some((maker, norm)) = pattern(plan) {
        fold(plan, maker, norm);
    }
}

/// A node with a row of weights for each channel, and one that alone reads it and scales and shifts its channels.
fn pattern(plan: &Plan) -> Option<(usize, usize)> {
    plan.nodes.iter().enumerate().find_map(|(norm, node)| {
        let maker = plan.only_source(norm).filter(|_| node.hints.scales_channels.is_some())?;
        let fits = plan.nodes[maker].hints.per_channel.is_some() && owns_parameters(plan, maker);
        fits.then_some((maker, norm))
    })
}

/// Whether no other node uses a parameter of this one, so that it can be changed.
fn owns_parameters(plan: &Plan, at: usize) -> bool {
    let own = &plan.nodes[at].parameters;
    let mut others = plan.nodes.iter().enumerate().filter(|(other, _)| *other != at);
    !others.any(|(_, other)| other.parameters.iter().any(|id| own.contains(id)))
}

fn fold(plan: &mut Plan, maker: usize, norm: usize) {
    let node = &plan.nodes[maker];
    let part = node.hints.per_channel.clone().expect("part of the pattern");
    let map = plan.nodes[norm].hints.scales_channels.clone().expect("part of the pattern");
    let weights = node.parameters[0];
    let folded = plan.parameters.len();
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
    plan.nodes[maker].take_on(*part);
    plan.nodes[maker].parameters.push(folded);
    plan.absorb(maker, norm);
}
