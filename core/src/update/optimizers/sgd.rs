use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update_each;
use crate::config::field::Positive;
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Gradient descent: each step goes straight down the gradient.
///
/// ```text
/// w <- w - learning_rate * g
/// ```
///
/// On a batch of examples drawn at random it is *stochastic* gradient descent. Robbins and Monro, "A Stochastic
/// Approximation Method", 1951.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// How far a step goes, as a multiple of the gradient. Above 0.
    pub learning_rate: Positive,
}

crate::register!(Sgd in UPDATE_RULE, example: "Sgd(learning_rate: 1e-2)");

impl Default for Sgd {
    fn default() -> Self {
        // A hundredth suits losses that are means over a batch.
        Sgd { learning_rate: Positive::constant(1e-2) }
    }
}

#[typetag::serde]
impl Optimizer for Sgd {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }
}

impl<T: Scalar> Update<T> for Sgd {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        let rate = T::of(step.learning_rate);
        update_each(weights, gradients, slots, |w, g, []| (w - rate * g, []));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Trial, near};
    use super::*;

    #[test]
    fn defaults() {
        assert_eq!(Sgd::default().learning_rate(), 1e-2);
    }

    #[test]
    fn steps_go_down_the_gradient() {
        let rule = Sgd::default();
        let mut trial = Trial::<f64>::new(&rule, &[1.0, -2.0]);
        trial.step(0.1, &[0.5, -4.0]);
        near(&trial.weights, &[0.95, -1.6]);
        trial.step(0.2, &[1.0, 0.0]);
        near(&trial.weights, &[0.75, -1.6]);
    }
}
