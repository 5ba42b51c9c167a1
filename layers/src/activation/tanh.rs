//! The hyperbolic tangent of every number, between -1 and 1.

use engine_core::register;
use engine_core::registry::LAYER;
use engine_kernels::math;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{self, activation};

/// The hyperbolic tangent of every number, between -1 and 1.
///
/// ```text
/// y = tanh x = (e^x - e^-x) / (e^x + e^-x)
/// ```
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tanh {}

activation!(Tanh: math::tanh, elementwise::tanh_slope);

register!(Tanh in LAYER, example: "Tanh()", checks: ["Tanh()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, random};

    #[test]
    fn values_and_slopes_are_right() {
        for (x, y, slope) in
            [(0.0, 0.0, 1.0), (0.5, 0.46211715726000975, 0.7864477329659274), (-1e300, -1.0, 0.0)]
        {
            let mut bench = LayerBench::<f64>::new("Tanh()", vec![array(&[1, 1], &[x]).into()]);
            assert_near(&bench.forward(Mode::Eval), &array(&[1, 1], &[y]));
            bench.backward(&array(&[1, 1], &[2.0]));
            assert_near(bench.input_gradient(0), &array(&[1, 1], &[2.0 * slope]));
        }
    }

    #[test]
    fn gradients_and_steps_agree_with_the_forward_pass() {
        for [n, t, d, _] in SIZES {
            let mut bench = LayerBench::new("Tanh()", vec![random::<f64>(&[n, t, d], 1).into()]);
            assert!(bench.gradient_error() < 1e-8);
            assert_eq!(bench.forward(Mode::Eval), bench.steps());
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let x = array(&[1, 1], &[f64::NAN]);
        let y = LayerBench::new("Tanh()", vec![x.into()]).forward(Mode::Eval);
        assert!(y.as_slice()[0].is_nan());
    }
}
