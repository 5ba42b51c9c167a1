//! The sum of arrays.

use engine_core::context::Forward;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// The sum of two or more arrays of one shape.
///
/// ```text
/// y = x_1 + x_2 + ..
/// ```
///
/// # Shapes
/// - `x`, two or more: any, all the same
/// - output: that of each `x`
///
/// The same value may be wired more than once, and counts as often.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Add {}

const FIRST: usize = 0;

#[typetag::serde]
impl Layer for Add {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest]).at_least(2)]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        Ok(LayerPlan::output(inputs.shape(FIRST).clone()))
    }
}

impl<T: Scalar> Kernel<T> for Add {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = cx.outputs[0].as_mut_slice();
        y.copy_from_slice(cx.inputs[FIRST].as_slice());
        for port in FIRST + 1..cx.inputs.len() {
            elementwise::add(y, cx.inputs[port].as_slice());
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        for port in 0..cx.inputs.len() {
            if let Some(dx) = cx.input_gradients.get(port) {
                elementwise::add(dx.as_mut_slice(), dy);
            }
        }
    }
}

register!(Add in LAYER, example: "Add()", checks: ["Add()"]);
