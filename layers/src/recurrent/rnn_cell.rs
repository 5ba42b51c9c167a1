//! One step of the plain recurrence.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Form, Forward, GradientRequest, Kernel, Layer, Lowered,
    Memory, PlanError, Port, PortShapes, Saved, Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fused::sums::PanelSums;
use super::rnn::Activation;
use super::shared::X;
use super::sums::Sums;
use crate::elementwise::rows_a_piece;

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
    #[serde(default = "crate::linear::with_bias")]
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

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let units = self.units;
        Ok(Signature::output(inputs.shape(X).with_last(units), Dependence::Item)
            .weights("wx", [inputs.dim("Inputs"), units], Fill::Random(self.init))
            .weights("wh", [units, units], Fill::Random(self.recurrent_init))
            .bias_if(self.bias, "b", [units]))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let sums = Sums::of(1, self.bias, true, memory);
        Lowered::new(Plain { f: self.activation, sums }).separable()
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        form.is_of_whole_cell().then(|| {
            let sums = PanelSums::of(Sums::of(1, self.bias, false, memory), memory);
            Lowered::new(OverPanels { f: self.activation, sums }).separable()
        })
    }
}

/// The step over weights as they are stored.
#[derive(Debug)]
struct Plain {
    f: Activation,
    sums: Sums,
}

impl<T: Scalar> Kernel<T> for Plain {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.sums.forward(cx);
        squash(cx, self.sums.a, self.f);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.requested != GradientRequest::Parameters {
            close(cx, self.sums.a, self.f);
        }
        self.sums.backward(cx);
    }
}

/// The step over weights in panels.
#[derive(Debug)]
struct OverPanels {
    f: Activation,
    sums: PanelSums,
}

impl<T: Scalar> Kernel<T> for OverPanels {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.sums.forward(cx);
        squash(cx, self.sums.sums.a, self.f);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.requested != GradientRequest::Parameters {
            close(cx, self.sums.sums.a, self.f);
        }
        self.sums.backward(cx);
    }
}

/// h' = f(a).
fn squash<T: Scalar>(cx: &mut Forward<'_, T>, a: Saved, f: Activation) {
    let (a, h) = (cx.saved[a].as_slice(), &mut cx.outputs[0]);
    let piece = rows_a_piece(1);
    team::for_each_chunk_mut(h.as_mut_slice(), piece, |at, h| {
        h.copy_from_slice(&a[at * piece..][..h.len()]);
        f.squash(h);
    });
}

/// Puts the gradients of the sums in their place.
fn close<T: Scalar>(cx: &mut Backward<'_, T>, a: Saved, f: Activation) {
    let (h, dh) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
    let piece = rows_a_piece(1);
    team::for_each_chunk_mut(cx.saved[a].as_mut_slice(), piece, |at, da| {
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
