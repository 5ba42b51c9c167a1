//! One affine map of a whole row of the batch.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar,
    Symbol, register,
};
use engine_core::context::Forward;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::affine;

/// An affine map of everything an example has: features to a state, a state to scores.
///
/// ```text
/// y = x w + b        x: each example's numbers, laid out in one row
/// ```
///
/// # Shapes
/// - `x`: `[Batch, ..]`, of any rank, without `Time`; its dimensions after `Batch` are taken as one, `inputs`
/// - output: `[Batch, units]`
/// - parameters: `w` `[inputs, units]`, `b` `[units]` unless `bias: false`
///
/// # Errors
/// An input with `Time` is refused, for the parameters would depend on how long a sequence is: `TemporalAffine` maps
/// every step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// How many numbers come out for each example.
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "affine::with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

const X: usize = 0;
const W: usize = 0;
const B: usize = 1;

#[typetag::serde]
impl Layer for Projection {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::Rest])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let x = inputs.shape(X);
        if x.has(Symbol::TIME) {
            return Err(PlanError::new(format!(
                "expected an input without Time, found {x}; TemporalAffine maps every step"
            )));
        }
        let width = x.dims()[1..].iter().copied().reduce(Dim::by).unwrap_or(Dim::Fixed(1));
        let plan = LayerPlan::output([x[0], self.units]).weights(
            "w",
            [width, self.units],
            Fill::Random(self.init),
        );
        Ok(if self.bias { plan.bias("b", [self.units], Fill::zero()) } else { plan })
    }
}

impl<T: Scalar> Kernel<T> for Projection {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let b = self.bias.then(|| &cx.parameters[B]);
        affine::forward(cx.inputs[X].flat(), &cx.parameters[W], b, &mut cx.outputs[0]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        if let Some(dx) = cx.input_gradients.get(X) {
            affine::add_input_gradient(dy, &cx.parameters[W], dx.flat_mut());
        }
        affine::add_weight_gradient(cx.inputs[X].flat(), dy, &mut cx.parameter_gradients[W]);
        if self.bias {
            affine::add_bias_gradient(dy, &mut cx.parameter_gradients[B]);
        }
    }
}

register!(
    Projection in LAYER,
    example: "Projection(units: 512)",
    checks: [
        "Projection(units: Units)",
        "Projection(units: Units, bias: false)",
        "Projection(units: 3, init: Xavier)",
    ],
);
