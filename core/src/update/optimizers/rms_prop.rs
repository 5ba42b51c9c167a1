use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update_each;
use crate::config::field::{Fraction, Positive};
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Gradient descent in units of each element's recent gradients.
///
/// ```text
/// cache <- decay_rate * cache + (1 - decay_rate) * g^2
/// w     <- w - learning_rate * g / (sqrt(cache) + epsilon)
/// ```
///
/// Tieleman and Hinton, "Neural Networks for Machine Learning", lecture 6.5, 2012.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// How far a step goes where the gradient is as large as it has been of late. Above 0.
    pub learning_rate: Positive,
    /// The share of the mean square gradient that is left after a step: the mean is over about
    /// 1 / (1 - decay_rate) steps. From 0 to below 1.
    pub decay_rate: Fraction,
    /// Added to the root mean square gradient, in the gradient's unit, so that none is divided by zero. Above 0.
    pub epsilon: Positive,
}

crate::register!(
    RmsProp in UPDATE_RULE,
    example: "RmsProp(learning_rate: 1e-3)",
    checks: ["RmsProp()", "RmsProp(decay_rate: 0.9, epsilon: 1e-4)"],
);

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp {
            learning_rate: Positive::constant(1e-2),
            // A mean over about a hundred steps.
            decay_rate: Fraction::constant(0.99),
            // Far below gradients that matter.
            epsilon: Positive::constant(1e-8),
        }
    }
}

#[typetag::serde]
impl Optimizer for RmsProp {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }

    fn slots(&self) -> &'static [&'static str] {
        &["cache"]
    }
}

impl<T: Scalar> Update<T> for RmsProp {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        let rate = T::of(step.learning_rate);
        let decay = T::of(self.decay_rate.get());
        let rest = T::of(1.0 - self.decay_rate.get());
        let epsilon = T::of(self.epsilon.get());
        update_each(weights, gradients, slots, |w, g, [cache]| {
            let cache = decay * cache + rest * g * g;
            (w - rate * g / (cache.sqrt() + epsilon), [cache])
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Trial, near};
    use super::*;

    #[test]
    fn defaults() {
        let RmsProp { learning_rate, decay_rate, epsilon } = RmsProp::default();
        assert_eq!((learning_rate.get(), decay_rate.get(), epsilon.get()), (1e-2, 0.99, 1e-8));
    }

    #[test]
    fn steps_are_in_units_of_the_root_mean_square() {
        let rule = RmsProp {
            decay_rate: Fraction::constant(0.75),
            epsilon: Positive::constant(1.0),
            ..RmsProp::default()
        };
        let mut trial = Trial::<f64>::new(&rule, &[1.0, 1.0]);
        trial.step(0.1, &[2.0, 0.0]);
        near(&trial.slots[0], &[1.0, 0.0]);
        near(&trial.weights, &[0.9, 1.0]);
        trial.step(0.1, &[13f64.sqrt(), -2.0]);
        near(&trial.slots[0], &[4.0, 1.0]);
        near(&trial.weights, &[0.9 - 13f64.sqrt() / 30.0, 1.1]);
    }
}
