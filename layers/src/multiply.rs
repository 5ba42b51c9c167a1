//! The product of arrays, element by element.

use engine_core::context::{Forward, Inputs};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// The product of two or more arrays of one shape, element by element.
///
/// ```text
/// y = x_1 * x_2 * ..
/// ```
///
/// # Shapes
/// - `x`, two or more: any, all the same
/// - output: that of each `x`
///
/// The same value may be wired more than once, and counts as often: twice is its square.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Multiply {}

const FIRST: usize = 0;

#[typetag::serde]
impl Layer for Multiply {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest]).at_least(2)]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let shape = inputs.shape(FIRST);
        Ok(LayerPlan::output(shape.clone()).scratch(shape.clone()))
    }
}

impl<T: Scalar> Kernel<T> for Multiply {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = cx.outputs[0].as_mut_slice();
        y.copy_from_slice(cx.inputs[FIRST].as_slice());
        multiply_by_all_but(FIRST, &cx.inputs, y);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        for port in 0..cx.inputs.len() {
            if let Some(dx) = cx.input_gradients.get(port) {
                let term = cx.scratch[0].as_mut_slice();
                term.copy_from_slice(cx.output_gradients[0].as_slice());
                multiply_by_all_but(port, &cx.inputs, term);
                elementwise::add(dx.as_mut_slice(), term);
            }
        }
    }
}

/// y = y * the product of all inputs but one. No division: an input may be 0.
fn multiply_by_all_but<T: Scalar>(port: usize, inputs: &Inputs<'_, T>, y: &mut [T]) {
    for other in (0..inputs.len()).filter(|other| *other != port) {
        elementwise::multiply(y, inputs[other].as_slice());
    }
}

register!(Multiply in LAYER, example: "Multiply()", checks: ["Multiply()"]);
