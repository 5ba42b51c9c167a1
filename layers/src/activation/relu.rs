//! The positive part of every number.

use engine_core::register;
use engine_core::registry::LAYER;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{self, activation};

/// The positive part of every number.
///
/// ```text
/// y = max(0, x)        its slope at 0 is taken as 0
/// ```
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Relu {}

activation!(Relu: elementwise::relu, elementwise::relu_slope, is_relu);

register!(Relu in LAYER, example: "Relu()", checks: ["Relu()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, random};

    #[test]
    fn values_and_slopes_are_right() {
        for (x, y, slope) in
            [(-2.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5, 1.0), (1e300, 1e300, 1.0)]
        {
            let mut bench = LayerBench::<f64>::new("Relu()", vec![array(&[1, 1], &[x]).into()]);
            assert_near(&bench.forward(Mode::Eval), &array(&[1, 1], &[y]));
            bench.backward(&array(&[1, 1], &[2.0]));
            assert_near(bench.input_gradient(0), &array(&[1, 1], &[2.0 * slope]));
        }
    }

    #[test]
    fn gradients_and_steps_agree_with_the_forward_pass() {
        for [n, t, d, _] in SIZES {
            let mut bench = LayerBench::new("Relu()", vec![random::<f64>(&[n, t, d], 1).into()]);
            assert!(bench.gradient_error() < 1e-8);
            assert_eq!(bench.forward(Mode::Eval), bench.steps());
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = array(&[1, 1], &[f64::NAN]);
        let y = LayerBench::new("Relu()", vec![x.into()]).forward(Mode::Eval);
        assert!(y.as_slice()[0].is_nan());
    }
}
