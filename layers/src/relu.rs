//! The positive part of every number.

use engine_core::context::Forward;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, register,
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
        Ok(LayerPlan::output(inputs.shape(X).clone()))
    }
}

impl<T: Scalar> Kernel<T> for Relu {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::apply(cx.inputs[X].as_slice(), cx.outputs[0].as_mut_slice(), elementwise::relu);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (y, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        if let Some(dx) = cx.input_gradients.get(X) {
            elementwise::add_scaled(dx.as_mut_slice(), dy, y, elementwise::relu_slope);
        }
    }
}

register!(Relu in LAYER, example: "Relu()", checks: ["Relu()"]);
