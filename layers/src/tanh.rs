//! The hyperbolic tangent of every number, between -1 and 1.

use engine_core::context::Forward;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, math, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

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

const X: usize = 0;

#[typetag::serde]
impl Layer for Tanh {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        Ok(LayerPlan::output(inputs.shape(X).clone()))
    }
}

impl<T: Scalar> Kernel<T> for Tanh {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::apply(cx.inputs[X].as_slice(), cx.outputs[0].as_mut_slice(), math::tanh);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (y, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        if let Some(dx) = cx.input_gradients.get(X) {
            elementwise::add_scaled(dx.as_mut_slice(), dy, y, elementwise::tanh_slope);
        }
    }
}

register!(Tanh in LAYER, example: "Tanh()", checks: ["Tanh()"]);
