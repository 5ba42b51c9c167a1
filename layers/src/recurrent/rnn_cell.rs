//! One step of the plain recurrence.

use engine_core::context::Forward;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Asked, Axis, Backward, Dim, Kernel, Layer, LayerPlan, Part, PlanError, Port, PortShapes, Reach, Scalar, Shape, register};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::recurrent::{A, X};
use crate::rnn::Activation;
use crate::{affine, fused, sums};

/// One step of `Rnn`, from the state that it is given.
///
/// ```text
/// h' = f(x wx + h wh + b)        f: tanh, or max(0, .)
/// ```
///
/// Elman, 1990.
///
/// # Shapes
/// - `x`: `[Batch, Inputs]`
/// - `h`: the state before the step, `[Batch, units]`
/// - output: h', `[Batch, units]`
/// - parameters: `wx` `[Inputs, units]`, `wh` `[units, units]`, `b` `[units]` unless `bias: false`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RnnCell {
    /// How many numbers the state has.
    pub units: Dim,
    /// The function f.
    #[serde(default)]
    pub activation: Activation,
    /// Whether `b` is added.
    #[serde(default = "affine::with_bias")]
    pub bias: bool,
    /// How the first `wx` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn.
    #[serde(default)]
    pub recurrent_init: Init,
}

#[typetag::serde]
impl Layer for RnnCell {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::Any("Inputs")]),
            Port::real("h", [Axis::BATCH, self.units.into()]),
        ]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let units = self.units;
        let state = inputs.shape(X).with_last(units);
        let own: &[usize] = if self.bias { &[0, 1, 2] } else { &[0, 1] };
        let packed = PackedRnnCell { activation: self.activation, bias: self.bias };
        let packed = Part::new(packed, fused::sums::packed(memory(&state)), own);
        let plan = memory(&state)
            .weights("wx", [inputs.dim("Inputs"), units], Fill::Random(self.init))
            .weights("wh", [units, units], Fill::Random(self.recurrent_init))
            .with_packed_weights(packed.clone())
            .looped(packed);
        Ok(if self.bias { plan.bias("b", [units], Fill::zero()) } else { plan })
    }
}

fn memory(state: &Shape) -> LayerPlan {
    // The gradients of the sums.
    LayerPlan::output(state.clone()).saved(state.clone()).separable().reach(Reach::Row)
}

impl<T: Scalar> Kernel<T> for RnnCell {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        sums::forward(cx, self.bias);
        squash(cx, self.activation);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.asked != Asked::Parameters {
            close(cx, self.activation);
        }
        sums::backward(cx, self.bias);
    }
}

/// The same over weights in the order of kernels.
#[derive(Debug)]
struct PackedRnnCell {
    activation: Activation,
    bias: bool,
}

impl<T: Scalar> Kernel<T> for PackedRnnCell {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        fused::sums::forward(cx, self.bias);
        squash(cx, self.activation);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.asked != Asked::Parameters {
            close(cx, self.activation);
        }
        fused::sums::backward(cx, self.bias);
    }
}

/// h' = f(a).
fn squash<T: Scalar>(cx: &mut Forward<'_, T>, f: Activation) {
    let (a, h) = (cx.saved[A].as_slice(), &mut cx.outputs[0]);
    let piece = rows_a_piece(1);
    team::for_each_chunk_mut(h.as_mut_slice(), piece, |at, h| {
        h.copy_from_slice(&a[at * piece..][..h.len()]);
        f.squash(h);
    });
}

/// Puts the gradients of the sums in their place.
fn close<T: Scalar>(cx: &mut Backward<'_, T>, f: Activation) {
    let (h, dh) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
    let piece = rows_a_piece(1);
    team::for_each_chunk_mut(cx.saved[A].as_mut_slice(), piece, |at, da| {
        let part = at * piece..at * piece + da.len();
        f.gradient(&dh[part.clone()], &h[part], da);
    });
}

register!(
    RnnCell in LAYER,
    example: "RnnCell(units: 512)",
    checks: [
        "RnnCell(units: Units)",
        "RnnCell(units: Units, activation: Relu, bias: false)",
        "RnnCell(units: 3, init: Uniform(0.3), recurrent_init: Orthogonal)",
    ],
);

#[cfg(test)]
mod tests {
    use crate::samples::cells::{Cell, assert_cell, assert_without_bias};

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", activation: Relu"] {
            assert_cell(&Cell { sequence: "Rnn", cell: "RnnCell", options, carries: &[""] });
        }
    }

    #[test]
    fn a_cell_without_b_is_one_whose_b_is_0() {
        assert_without_bias("RnnCell", "", &[""], &["b"]);
    }
}
