use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update_each;
use crate::config::field::Positive;
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Gradient descent in units of all of an element's gradients so far.
///
/// ```text
/// cache <- cache + g^2
/// w     <- w - learning_rate * g / (sqrt(cache) + epsilon)
/// ```
///
/// Elements with rare gradients, such as the vectors of rare words, keep taking long steps; all others slow down.
///
/// Duchi, Hazan and Singer, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization", 2011.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Adagrad {
    /// How far an element's first step goes, in the unit of the weights. Above 0.
    pub learning_rate: Positive,
    /// Added to the root of the sum of squares, in the gradient's unit, so that none is divided by zero. Above 0.
    pub epsilon: Positive,
}

crate::register!(
    Adagrad in UPDATE_RULE,
    example: "Adagrad(learning_rate: 1e-2)",
    checks: ["Adagrad()", "Adagrad(epsilon: 1e-4)"],
);

impl Default for Adagrad {
    fn default() -> Self {
        Adagrad {
            learning_rate: Positive::constant(1e-2),
            // Far below gradients that matter.
            epsilon: Positive::constant(1e-8),
        }
    }
}

#[typetag::serde]
impl Optimizer for Adagrad {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }

    fn slots(&self) -> &'static [&'static str] {
        &["cache"]
    }
}

impl<T: Scalar> Update<T> for Adagrad {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        let rate = T::of(step.learning_rate);
        let epsilon = T::of(self.epsilon.get());
        update_each(weights, gradients, slots, |w, g, [cache]| {
            let cache = cache + g * g;
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
        let Adagrad { learning_rate, epsilon } = Adagrad::default();
        assert_eq!((learning_rate.get(), epsilon.get()), (1e-2, 1e-8));
    }

    #[test]
    fn steps_shorten_with_all_gradients_so_far() {
        let rule = Adagrad { epsilon: Positive::constant(1.0), ..Adagrad::default() };
        let mut trial = Trial::<f64>::new(&rule, &[1.0, 1.0]);
        trial.step(0.1, &[3.0, 0.0]);
        near(&trial.slots[0], &[9.0, 0.0]);
        near(&trial.weights, &[0.925, 1.0]);
        trial.step(0.1, &[4.0, -1.0]);
        near(&trial.slots[0], &[25.0, 1.0]);
        near(&trial.weights, &[0.925 - 0.4 / 6.0, 1.05]);
    }
}
