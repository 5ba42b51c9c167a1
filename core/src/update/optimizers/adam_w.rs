use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::adam::{Adam, MOMENTS};
use crate::config::field::{Fraction, NonNegative, Positive};
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Adam with weights that shrink by a fixed share a step, whatever their gradients.
///
/// ```text
/// w <- w - learning_rate * weight_decay * w      where decay applies to the parameter
/// m <- beta1 * m + (1 - beta1) * g
/// v <- beta2 * v + (1 - beta2) * g^2
/// w <- w - learning_rate * m' / (sqrt(v') + epsilon)
///
/// m' = m / (1 - beta1^t)      corrects for starting from m = 0; t counts steps from 1
/// v' = v / (1 - beta2^t)
/// ```
///
/// Loshchilov and Hutter, "Decoupled Weight Decay Regularization", 2019.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// About the furthest that a gradient moves a weight in a step, in the unit of the weights. Above 0.
    pub learning_rate: Positive,
    /// The share of the mean gradient that is left after a step: the mean is over about 1 / (1 - beta1) steps. From 0
    /// to below 1.
    pub beta1: Fraction,
    /// The share of the mean square gradient that is left after a step. From 0 to below 1.
    pub beta2: Fraction,
    /// Added to the root mean square gradient, in the gradient's unit, so that none is divided by zero. Above 0.
    pub epsilon: Positive,
    /// The share of a weight that a step takes away, as a multiple of the learning rate. At least 0.
    pub weight_decay: NonNegative,
}

crate::register!(
    AdamW in UPDATE_RULE,
    example: "AdamW(learning_rate: 1e-3, weight_decay: 1e-2)",
    checks: ["AdamW()", "AdamW(beta1: 0.8, beta2: 0.99, epsilon: 1e-4, weight_decay: 0.1)"],
);

impl Default for AdamW {
    fn default() -> Self {
        let Adam { learning_rate, beta1, beta2, epsilon } = Adam::default();
        // At Adam's learning rate, weights without gradients halve in about 70 thousand steps.
        AdamW { learning_rate, beta1, beta2, epsilon, weight_decay: NonNegative::constant(1e-2) }
    }
}

#[typetag::serde]
impl Optimizer for AdamW {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }

    fn slots(&self) -> &'static [&'static str] {
        MOMENTS
    }
}

impl<T: Scalar> Update<T> for AdamW {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        let &AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = self;
        let decay = if step.decays { step.learning_rate * weight_decay.get() } else { 0.0 };
        let adam = Adam { learning_rate, beta1, beta2, epsilon };
        adam.update_decayed(decay, step, weights, gradients, slots);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Trial, near};
    use super::*;

    /// Weights and moments after two steps.
    fn after(rule: &dyn Optimizer, decays: bool, gradients: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
        let mut trial = Trial::new(rule, &[2.0, -4.0]);
        trial.decays = decays;
        trial.step(0.1, gradients);
        trial.step(0.1, gradients);
        (trial.weights, trial.slots)
    }

    #[test]
    fn defaults() {
        let AdamW { learning_rate, beta1, beta2, epsilon, weight_decay } = AdamW::default();
        assert_eq!((learning_rate.get(), beta1.get(), beta2.get()), (1e-3, 0.9, 0.999));
        assert_eq!((epsilon.get(), weight_decay.get()), (1e-8, 1e-2));
    }

    #[test]
    fn weights_without_gradients_only_shrink() {
        let rule = AdamW { weight_decay: NonNegative::constant(0.5), ..AdamW::default() };
        let (weights, _) = after(&rule, true, &[0.0, 0.0]);
        near(&weights, &[2.0 * 0.95 * 0.95, -4.0 * 0.95 * 0.95]);
    }

    #[test]
    fn decay_stays_out_of_the_moments() {
        let gradients = [3.0, -0.5];
        let (plain, plain_moments) = after(&Adam::default(), true, &gradients);
        let (decayed, moments) = after(&AdamW::default(), true, &gradients);
        assert_eq!(moments, plain_moments);
        // Under equal gradients Adam's steps are as long as the rate, 0.1; before each, a thousandth goes.
        for (at, (w, by)) in [(2.0, -0.1), (-4.0, 0.1)].into_iter().enumerate() {
            let expected = (w * 0.999 + by) * 0.999 + by;
            assert!((decayed[at] - expected).abs() < 1e-8, "{decayed:?}");
            assert!((plain[at] - (w + 2.0 * by)).abs() < 1e-8, "{plain:?}");
        }
    }

    #[test]
    fn parameters_that_do_not_decay_take_adams_steps() {
        let gradients = [3.0, 1.0];
        assert_eq!(
            after(&AdamW::default(), false, &gradients),
            after(&Adam::default(), true, &gradients)
        );
    }
}
