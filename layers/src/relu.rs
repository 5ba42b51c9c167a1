//! The positive part of every number.

use engine_core::context::Forward;
use engine_core::pointwise::{Function, LooksAt, Pointwise};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Reach, Scalar, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

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

const X: usize = 0;

#[typetag::serde]
impl Layer for Relu {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        Ok(LayerPlan::output(inputs.shape(X).clone())
            .reach(Reach::Row)
            .any_lead()
            .pointwise(self.clone())
            .rectifies())
    }
}

impl<T: Scalar> Kernel<T> for Relu {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::forward(self, cx);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        elementwise::backward(self, cx);
    }
}

impl Function for Relu {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Value
    }
}

impl<T: Scalar> Pointwise<T> for Relu {
    fn value(&self, x: &[&[T]], y: &mut [T]) {
        y.copy_from_slice(x[X]);
        elementwise::relu(y);
    }

    fn add_slope(&self, _: &[&[T]], y: &[T], dy: &[T], _: usize, dx: &mut [T]) {
        elementwise::add_slope(dx, dy, y, elementwise::relu_slope);
    }
}

register!(Relu in LAYER, example: "Relu()", checks: ["Relu()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::{SIZES, array, assert_near, random};

    #[test]
    fn values_and_slopes_are_right() {
        for (x, y, slope) in
            [(-2.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.5, 0.5, 1.0), (1e300, 1e300, 1.0)]
        {
            let mut bench = LayerBench::<f64>::new("Relu()", vec![array(&[1, 1], &[x]).into()]);
            assert_near(&bench.forward(Mode::Eval), &array(&[1, 1], &[y]));
            bench.backward(&array(&[1, 1], &[2.0]));
            assert_near(bench.input_gradient(X), &array(&[1, 1], &[2.0 * slope]));
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
