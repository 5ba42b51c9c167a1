use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update_each;
use crate::config::field::{Fraction, Positive};
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Gradient descent along the mean gradient, in units of its root mean square.
///
/// ```text
/// m <- beta1 * m + (1 - beta1) * g
/// v <- beta2 * v + (1 - beta2) * g^2
/// w <- w - learning_rate * m' / (sqrt(v') + epsilon)
///
/// m' = m / (1 - beta1^t)      corrects for starting from m = 0; t counts steps from 1
/// v' = v / (1 - beta2^t)
/// ```
///
/// Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// About the furthest that a weight moves in a step, in the unit of the weights. Above 0.
    pub learning_rate: Positive,
    /// The share of the mean gradient that is left after a step: the mean is over about 1 / (1 - beta1) steps. From 0
    /// to below 1.
    pub beta1: Fraction,
    /// The share of the mean square gradient that is left after a step. From 0 to below 1.
    pub beta2: Fraction,
    /// Added to the root mean square gradient, in the gradient's unit, so that none is divided by zero. Above 0.
    pub epsilon: Positive,
}

crate::register!(
    Adam in UPDATE_RULE,
    example: "Adam(learning_rate: 5e-3)",
    checks: ["Adam()", "Adam(beta1: 0.8, beta2: 0.99, epsilon: 1e-4)"],
);

impl Default for Adam {
    fn default() -> Self {
        // The paper's recommendation.
        Adam {
            learning_rate: Positive::constant(1e-3),
            beta1: Fraction::constant(0.9),
            beta2: Fraction::constant(0.999),
            epsilon: Positive::constant(1e-8),
        }
    }
}

/// The names of Adam's moments: the mean gradient and the mean square gradient.
pub(super) const MOMENTS: &[&str] = &["m", "v"];

#[typetag::serde]
impl Optimizer for Adam {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }

    fn slots(&self) -> &'static [&'static str] {
        MOMENTS
    }
}

impl<T: Scalar> Update<T> for Adam {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        self.update_decayed(0.0, step, weights, gradients, slots);
    }
}

impl Adam {
    /// Takes Adam's step from weights that first shrink by the share `decay`.
    pub(super) fn update_decayed<T: Scalar>(
        &self,
        decay: f64,
        step: UpdateStep,
        weights: &mut [T],
        gradients: &[T],
        slots: &mut [Vec<T>],
    ) {
        let (beta1, beta2) = (self.beta1.get(), self.beta2.get());
        let t = step.number as f64;
        // The corrections of both means, taken out of the loop.
        let rate = T::of(step.learning_rate / (1.0 - beta1.powf(t)));
        let scale = T::of(1.0 / (1.0 - beta2.powf(t)).sqrt());
        let (rest1, rest2) = (T::of(1.0 - beta1), T::of(1.0 - beta2));
        let (beta1, beta2) = (T::of(beta1), T::of(beta2));
        let epsilon = T::of(self.epsilon.get());
        let decay = T::of(decay);
        update_each(weights, gradients, slots, |w, g, [m, v]| {
            let m = beta1 * m + rest1 * g;
            let v = beta2 * v + rest2 * g * g;
            let w = w - decay * w;
            (w - rate * m / (v.sqrt() * scale + epsilon), [m, v])
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Trial, near};
    use super::*;

    #[test]
    fn defaults() {
        let Adam { learning_rate, beta1, beta2, epsilon } = Adam::default();
        assert_eq!((learning_rate.get(), beta1.get(), beta2.get()), (1e-3, 0.9, 0.999));
        assert_eq!(epsilon.get(), 1e-8);
    }

    #[test]
    fn moments_are_means_corrected_for_their_start() {
        let rule = Adam {
            beta1: Fraction::constant(0.5),
            beta2: Fraction::constant(0.75),
            epsilon: Positive::constant(1.0),
            ..Adam::default()
        };
        let mut trial = Trial::<f64>::new(&rule, &[1.0, 1.0]);
        trial.step(0.1, &[4.0, 0.0]);
        near(&trial.slots[0], &[2.0, 0.0]);
        near(&trial.slots[1], &[4.0, 0.0]);
        // m' = 2 / 0.5 = 4, v' = 4 / 0.25 = 16.
        near(&trial.weights, &[1.0 - 0.1 * 4.0 / 5.0, 1.0]);
        trial.step(0.1, &[-2.0, 2.0]);
        near(&trial.slots[0], &[0.0, 1.0]);
        near(&trial.slots[1], &[4.0, 1.0]);
        // m' = 1 / 0.75, v' = 1 / 0.4375 for the second weight; the first has m' = 0.
        near(&trial.weights, &[0.92, 1.0 - 0.1 / 0.75 / ((1.0 / 0.4375f64).sqrt() + 1.0)]);
    }

    #[test]
    fn the_first_step_is_as_long_as_the_learning_rate() {
        let rule = Adam::default();
        let mut trial = Trial::<f64>::new(&rule, &[0.0, 0.0, 0.0]);
        trial.step(0.01, &[1e-3, -7.0, 1e4]);
        for (weight, expected) in trial.weights.iter().zip([-0.01, 0.01, -0.01]) {
            assert!((weight - expected).abs() < 1e-6, "{weight}");
        }
    }
}
