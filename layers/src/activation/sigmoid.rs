//! The logistic function of every number, between 0 and 1.

use engine_core::register;
use engine_core::registry::LAYER;
use engine_kernels::math;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{self, activation};

/// The logistic function of every number, between 0 and 1.
///
/// ```text
/// y = 1 / (1 + e^-x)
/// ```
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sigmoid {}

activation!(Sigmoid: math::sigmoid, elementwise::sigmoid_slope);

register!(Sigmoid in LAYER, example: "Sigmoid()", checks: ["Sigmoid()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, random};

    #[test]
    fn values_and_slopes_are_right() {
        for (x, y, slope) in
            [(0.0, 0.5, 0.25), (2.0, 0.8807970779778823, 0.10499358540350662), (-1e300, 0.0, 0.0)]
        {
            let mut bench = LayerBench::<f64>::new("Sigmoid()", vec![array(&[1, 1], &[x]).into()]);
            assert_near(&bench.forward(Mode::Eval), &array(&[1, 1], &[y]));
            bench.backward(&array(&[1, 1], &[2.0]));
            assert_near(bench.input_gradient(0), &array(&[1, 1], &[2.0 * slope]));
        }
    }

    #[test]
    fn gradients_and_steps_agree_with_the_forward_pass() {
        for [n, t, d, _] in SIZES {
            let mut bench = LayerBench::new("Sigmoid()", vec![random::<f64>(&[n, t, d], 1).into()]);
            assert!(bench.gradient_error() < 1e-8);
            assert_eq!(bench.forward(Mode::Eval), bench.steps());
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = array(&[1, 1], &[f64::NAN]);
        let y = LayerBench::new("Sigmoid()", vec![x.into()]).forward(Mode::Eval);
        assert!(y.as_slice()[0].is_nan());
    }
}
