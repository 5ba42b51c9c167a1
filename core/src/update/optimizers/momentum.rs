use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::update_each;
use crate::config::field::{Fraction, Positive};
use crate::config::registry::UPDATE_RULE;
use crate::{Optimizer, Scalar, Update, UpdateStep};

/// Gradient descent with a velocity that gathers past gradients.
///
/// ```text
/// v <- momentum * v - learning_rate * g
/// w <- w + v                                      plain
/// w <- w + momentum * v - learning_rate * g       nesterov, with the new v
/// ```
///
/// Polyak, "Some methods of speeding up the convergence of iteration methods", 1964. Nesterov's form looks one step
/// ahead: Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Momentum {
    /// How much of the gradient a step adds to the velocity. Above 0.
    pub learning_rate: Positive,
    /// The share of the velocity that is left after a step. From 0, which is `Sgd`, to below 1.
    pub momentum: Fraction,
    /// Whether to use Nesterov's form, which takes the gradient as that of the place the velocity leads to.
    pub nesterov: bool,
}

crate::register!(
    Momentum in UPDATE_RULE,
    example: "Momentum(learning_rate: 1e-2, momentum: 0.9)",
    checks: ["Momentum()", "Momentum(momentum: 0.5, nesterov: true)"],
);

impl Default for Momentum {
    fn default() -> Self {
        Momentum {
            learning_rate: Positive::constant(1e-2),
            // Ten steps along the same gradient go ten times as far as the first.
            momentum: Fraction::constant(0.9),
            nesterov: false,
        }
    }
}

#[typetag::serde]
impl Optimizer for Momentum {
    fn learning_rate(&self) -> f64 {
        self.learning_rate.get()
    }

    fn slots(&self) -> &'static [&'static str] {
        &["velocity"]
    }
}

impl<T: Scalar> Update<T> for Momentum {
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]) {
        let rate = T::of(step.learning_rate);
        let momentum = T::of(self.momentum.get());
        let velocity = move |v, g| momentum * v - rate * g;
        if self.nesterov {
            update_each(weights, gradients, slots, move |w, g, [v]| {
                let v = velocity(v, g);
                (w + velocity(v, g), [v])
            });
        } else {
            update_each(weights, gradients, slots, move |w, g, [v]| {
                let v = velocity(v, g);
                (w + v, [v])
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Trial, near};
    use super::*;

    #[test]
    fn defaults() {
        let Momentum { learning_rate, momentum, nesterov } = Momentum::default();
        assert_eq!((learning_rate.get(), momentum.get(), nesterov), (1e-2, 0.9, false));
    }

    #[test]
    fn velocity_gathers_gradients() {
        let rule = Momentum { momentum: Fraction::constant(0.5), ..Momentum::default() };
        let mut trial = Trial::<f64>::new(&rule, &[1.0]);
        trial.step(0.1, &[2.0]);
        near(&trial.slots[0], &[-0.2]);
        near(&trial.weights, &[0.8]);
        trial.step(0.1, &[1.0]);
        near(&trial.slots[0], &[-0.2]);
        near(&trial.weights, &[0.6]);
    }

    #[test]
    fn nesterov_looks_ahead() {
        let rule =
            Momentum { momentum: Fraction::constant(0.5), nesterov: true, ..Momentum::default() };
        let mut trial = Trial::<f64>::new(&rule, &[1.0]);
        trial.step(0.1, &[2.0]);
        near(&trial.slots[0], &[-0.2]);
        near(&trial.weights, &[0.7]);
        trial.step(0.1, &[1.0]);
        near(&trial.slots[0], &[-0.2]);
        near(&trial.weights, &[0.5]);
    }
}
