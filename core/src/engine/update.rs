//! From gradients to new parameters.

use super::network::Engine;
use crate::config::field::{NonNegative, Positive};
use crate::config::tagged::Tagged;
use crate::optimizer::{Optimizer, UpdateStep};
use crate::scalar::Scalar;
use crate::update::clip::{clip_norm_of, clip_value, global_norm};

/// What is done to gradients before an update rule sees them, in this order.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Limits {
    /// Weight decay: this times the weight is added to the gradient of every weight, not of biases. It is the gradient
    /// of half this times the sum of squared weights.
    pub l2: Option<NonNegative>,
    /// Each element is brought to between minus and plus this.
    pub clip_value: Option<Positive>,
    /// All gradients are scaled by one factor so that their Euclidean norm is at most this.
    pub clip_norm: Option<Positive>,
}

/// An update rule with the numbers it keeps for each parameter.
#[derive(Debug, Clone)]
pub struct Updater<T> {
    pub(super) rule: Tagged<dyn Optimizer>,
    limits: Limits,
    /// For each parameter, an array a slot.
    pub(super) slots: Vec<Vec<Vec<T>>>,
    pub(super) steps: u64,
}

impl<T: Scalar> Updater<T> {
    /// A rule at its start, its numbers zero.
    pub fn new(rule: Tagged<dyn Optimizer>, limits: Limits, engine: &Engine<T>) -> Self {
        let zeros = |count: usize| rule.slots().iter().map(|_| vec![T::zero(); count]).collect();
        let slots = engine.parameters().iter().map(|p| zeros(p.as_slice().len())).collect();
        Updater { rule, limits, slots, steps: 0 }
    }

    /// The rule's learning rate before any schedule.
    pub fn learning_rate(&self) -> f64 {
        self.rule.learning_rate()
    }

    /// The updates made so far.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Limits the engine's gradients and returns the norm they had before clipping by norm. A norm that is not finite
    /// says that the gradients are of no use.
    pub fn limit(&self, engine: &mut Engine<T>) -> f64 {
        if let Some(l2) = self.limits.l2.filter(|l2| l2.get() > 0.0) {
            let plan = engine.plan().clone();
            let (weights, gradients) = engine.parameters_and_gradients_mut();
            let decayed = plan.parameters.iter().zip(weights.iter().zip(gradients));
            for (_, (w, g)) in decayed.filter(|(parameter, _)| parameter.decays) {
                let l2 = T::of(l2.get());
                g.as_mut_slice().iter_mut().zip(w.as_slice()).for_each(|(g, w)| *g += l2 * *w);
            }
        }
        let plan = engine.plan().clone();
        let (_, gradients) = engine.parameters_and_gradients_mut();
        let trained = |at: usize| plan.parameters[at].is_trained();
        if let Some(limit) = self.limits.clip_value {
            let gradients = gradients.iter_mut().enumerate().filter(|(at, _)| trained(*at));
            clip_value(gradients.map(|(_, g)| g.as_mut_slice()), limit);
        }
        match self.limits.clip_norm {
            Some(limit) => clip_norm_of(gradients, trained, limit),
            None => {
                let gradients = gradients.iter().enumerate().filter(|(at, _)| trained(*at));
                global_norm(gradients.map(|(_, g)| g.as_slice()))
            }
        }
    }

    /// Changes the engine's parameters by its gradients, and moves running averages.
    pub fn update(&mut self, engine: &mut Engine<T>, learning_rate: f64) {
        self.steps += 1;
        let plan = engine.plan().clone();
        let rule = T::update(&*self.rule);
        let (weights, gradients) = engine.parameters_and_gradients_mut();
        for (((parameter, w), g), slots) in
            plan.parameters.iter().zip(weights).zip(gradients).zip(&mut self.slots)
        {
            if let Some(momentum) = parameter.momentum {
                move_average(T::of(momentum.get()), w.as_mut_slice(), g.as_slice());
                continue;
            }
            let step = UpdateStep { learning_rate, number: self.steps, decays: parameter.decays };
            rule.update(step, w.as_mut_slice(), g.as_slice(), slots);
        }
    }
}

/// A running average goes towards what it was last told: w = w - momentum g, g what w has too much.
fn move_average<T: Scalar>(momentum: T, w: &mut [T], g: &[T]) {
    w.iter_mut().zip(g).for_each(|(w, &g)| *w -= momentum * g);
}
