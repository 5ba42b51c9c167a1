//! Noise that switches numbers off.

use engine_core::context::Forward;
use engine_core::field::Fraction;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, Mode, PlanError, Port, PortShapes, Scalar, register,
};
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// Noise in training: switches a share of the numbers off, others at each step, and scales up the rest.
///
/// ```text
/// y = x m        m: 0 with probability rate, else 1 / (1 - rate)        training
/// y = x                                                                 validation and sampling
/// ```
///
/// The mean of y is x, so that nothing needs rescaling when the noise is off. Srivastava et al., 2014, with the scale
/// moved to training. The same seed, node and step draw the same m, in either precision and on any number of threads.
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dropout {
    /// The share of numbers that are switched off, on average.
    pub rate: Fraction,
}

impl Default for Dropout {
    /// Srivastava et al. find a half close to the best for hidden units of many networks.
    fn default() -> Self {
        Dropout { rate: Fraction::constant(0.5) }
    }
}

const X: usize = 0;
const MASK: usize = 0;

#[typetag::serde]
impl Layer for Dropout {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let shape = inputs.shape(X);
        Ok(LayerPlan::output(shape.clone()).saved(shape.clone()))
    }
}

impl Dropout {
    /// Draws m, one number after the other.
    fn draw<T: Scalar>(&self, mask: &mut [T], mut rng: impl Rng) {
        let rate = self.rate.get();
        let scale = T::of(1.0 / (1.0 - rate));
        let off_below = (rate * 2f64.powi(32)).round() as u64;
        for m in mask {
            *m = if u64::from(rng.next_u32()) < off_below { T::zero() } else { scale };
        }
    }
}

impl<T: Scalar> Kernel<T> for Dropout {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = cx.outputs[0].as_mut_slice();
        y.copy_from_slice(cx.inputs[X].as_slice());
        if let Mode::Train { .. } = cx.mode {
            let mask = cx.saved[MASK].as_mut_slice();
            self.draw(mask, cx.noise.rng());
            elementwise::multiply(y, mask);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        let Some(dx) = cx.input_gradients.get(X) else { return };
        match cx.mode {
            Mode::Train { .. } => {
                elementwise::add_scaled(dx.as_mut_slice(), dy, cx.saved[MASK].as_slice(), |m| m);
            }
            Mode::Eval => elementwise::add(dx.as_mut_slice(), dy),
        }
    }
}

register!(
    Dropout in LAYER,
    example: "Dropout(rate: 0.5)",
    checks: ["Dropout()", "Dropout(rate: 0.2)", "Dropout(rate: 0)"],
);
