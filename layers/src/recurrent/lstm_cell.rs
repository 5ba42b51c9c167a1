//! One step of the long short-term memory.

use engine_core::context::Forward;
use engine_core::field::Finite;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Asked, Axis, Backward, Dim, Kernel, Layer, LayerPlan, Part, PlanError, Port, PortShapes, Reach, Scalar, Shape, register};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{self, rows_a_piece};
use crate::lstm::{self, GATES};
use crate::recurrent::X;
use crate::{affine, fused, sums};

/// One step of `Lstm`, from the state and the memory that it is given.
///
/// ```text
/// [i f o g] = x wx + h wh + b        four blocks of `units` numbers each
/// c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
/// h' = sigmoid(o) * tanh(c')
/// ```
///
/// Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.
///
/// # Shapes
/// - `x`: `[Batch, Inputs]`
/// - `h`, `c`: the state and the memory before the step, `[Batch, units]`
/// - output: h', `[Batch, units]`
/// - output `c`: c', `[Batch, units]`
/// - parameters: `wx` `[Inputs, 4 units]`, `wh` `[units, 4 units]`, `b` `[4 units]` unless `bias: false`, their columns in
///   the order i, f, o, g
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LstmCell {
    /// How many numbers the state has, and the memory.
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "affine::with_bias")]
    pub bias: bool,
    /// Where `b` starts for the forget gate; 0 for the others. 1 makes a new memory last (Jozefowicz et al., 2015).
    #[serde(default = "lstm::none")]
    pub forget_bias: Finite,
    /// How the first `wx` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub recurrent_init: Init,
}

const C: usize = 2;

#[typetag::serde]
impl Layer for LstmCell {
    fn ports(&self) -> Vec<Port> {
        let state = [Axis::BATCH, self.units.into()];
        vec![
            Port::real("x", [Axis::BATCH, Axis::Any("Inputs")]),
            Port::real("h", state),
            Port::real("c", state),
        ]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let state = inputs.shape(X).with_last(units);
        let own: &[usize] = if self.bias { &[0, 1, 2] } else { &[0, 1] };
        let packed = PackedLstmCell { bias: self.bias };
        let packed = Part::new(packed, fused::sums::packed(memory(&state)), own);
        let plan = memory(&state)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .with_packed_weights(packed.clone())
            .looped(packed);
        let bias = Fill::Blocks(vec![0.0, self.forget_bias.get(), 0.0, 0.0]);
        Ok(if self.bias { plan.bias("b", [wide], bias) } else { plan })
    }
}

fn memory(state: &Shape) -> LayerPlan {
    LayerPlan::output(state.clone())
        .and_output("c", state.clone())
        // The gates, tanh(c').
        .saved(state.with_last(state.last().times(GATES)))
        .saved(state.clone())
        // The gradient of c', then that of c.
        .scratch(state.clone())
        .separable()
        .reach(Reach::Row)
}

impl<T: Scalar> Kernel<T> for LstmCell {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        sums::forward(cx, self.bias);
        open(cx);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.asked != Asked::Parameters {
            close(cx);
        }
        sums::backward(cx, self.bias);
    }
}

/// The same over weights in the order of kernels.
#[derive(Debug)]
struct PackedLstmCell {
    bias: bool,
}

impl<T: Scalar> Kernel<T> for PackedLstmCell {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        fused::sums::forward(cx, self.bias);
        open(cx);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.asked != Asked::Parameters {
            close(cx);
        }
        fused::sums::backward(cx, self.bias);
    }
}

/// Opens the gates, which hold their sums, and computes c' and h'.
fn open<T: Scalar>(cx: &mut Forward<'_, T>) {
    let [gates, tanh_c] = &mut *cx.saved else { unreachable!("as planned") };
    let [h, new_c] = &mut *cx.outputs else { unreachable!("as planned") };
    let c = cx.inputs[C].as_slice();
    let units = h.rows().ncols();
    let rows = rows_a_piece(units) * units;
    let parts = (new_c.as_mut_slice(), rows);
    let kept = (tanh_c.as_mut_slice(), rows);
    team::for_each_chunk_mut3(
        (gates.as_mut_slice(), GATES * rows),
        parts,
        kept,
        |at, gates, new_c, tanh_c| {
            new_c.copy_from_slice(&c[at * rows..][..new_c.len()]);
            let state = new_c.chunks_exact_mut(units).zip(tanh_c.chunks_exact_mut(units));
            for (gates, (c, tanh_c)) in gates.chunks_exact_mut(GATES * units).zip(state) {
                lstm::remember(gates, c, tanh_c);
            }
        },
    );
    let (gates, tanh_c) = (gates.as_slice(), tanh_c.as_slice());
    team::for_each_chunk_mut(h.as_mut_slice(), rows, |at, h| {
        let gates = gates[at * GATES * rows..].chunks_exact(GATES * units);
        let read = gates.zip(tanh_c[at * rows..].chunks_exact(units));
        for (h, (gates, tanh_c)) in h.chunks_exact_mut(units).zip(read) {
            lstm::expose(gates, tanh_c, h);
        }
    });
}

/// Puts the gradients of the gates' sums in their place, and adds that of c.
fn close<T: Scalar>(cx: &mut Backward<'_, T>) {
    let [gates, tanh_c] = &mut *cx.saved else { unreachable!("as planned") };
    let [dc] = &mut *cx.scratch else { unreachable!("as planned") };
    let [dh, new_dc] = cx.output_gradients else { unreachable!("as planned") };
    let (c, tanh_c, dh, new_dc) =
        (cx.inputs[C].as_slice(), tanh_c.as_slice(), dh.as_slice(), new_dc.as_slice());
    let units = dc.rows().ncols();
    let rows = rows_a_piece(units) * units;
    let gates = (gates.as_mut_slice(), GATES * rows);
    team::for_each_chunk_mut2(gates, (dc.as_mut_slice(), rows), |at, gates, dc| {
        let part = at * rows..at * rows + dc.len();
        dc.copy_from_slice(&new_dc[part.clone()]);
        let memory =
            c[part.clone()].chunks_exact(units).zip(tanh_c[part.clone()].chunks_exact(units));
        let read = memory.zip(dh[part].chunks_exact(units));
        let write = gates.chunks_exact_mut(GATES * units).zip(dc.chunks_exact_mut(units));
        for (((c, tanh_c), dh), (gates, dc)) in read.zip(write) {
            lstm::cell_gradient(gates, c, tanh_c, dh, dc);
        }
    });
    if let Some(gradient) = cx.input_gradients.get(C) {
        elementwise::add(gradient.as_mut_slice(), dc.as_slice());
    }
}

register!(
    LstmCell in LAYER,
    example: "LstmCell(units: 512)",
    checks: [
        "LstmCell(units: Units)",
        "LstmCell(units: Units, bias: false, recurrent_init: Orthogonal)",
        "LstmCell(units: 3, forget_bias: 1, init: Uniform(0.3))",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::cells::{Cell, assert_cell, assert_without_bias};
    use crate::samples::{SIZES, assert_near, random};

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", forget_bias: 1"] {
            let carries = &["", ".c"];
            assert_cell(&Cell { sequence: "Lstm", cell: "LstmCell", options, carries });
        }
    }

    #[test]
    fn a_cell_without_b_is_one_whose_b_is_0() {
        assert_without_bias("LstmCell", "", &["", ".c"], &["b"]);
    }

    /// The form over packed weights as a layer of its own.
    #[derive(Debug, Clone, Serialize, Deserialize)]
    struct LstmCellInPanels(LstmCell);

    #[typetag::serde]
    impl Layer for LstmCellInPanels {
        fn ports(&self) -> Vec<Port> {
            self.0.ports()
        }

        fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
            self.0.plan(inputs).map(fused::sums::packed)
        }
    }

    impl<T: Scalar> Kernel<T> for LstmCellInPanels {
        fn forward(&self, cx: &mut Forward<'_, T>) {
            PackedLstmCell { bias: self.0.bias }.forward(cx);
        }

        fn backward(&self, cx: &mut Backward<'_, T>) {
            PackedLstmCell { bias: self.0.bias }.backward(cx);
        }
    }

    #[test]
    fn packed_weights_compute_the_same() {
        for [n, _, width, units] in SIZES.into_iter().chain([[150, 1, 20, 70]]) {
            for bias in [true, false] {
                let layer = format!("LstmCell(units: {units}, bias: {bias})");
                let inputs = [width, units, units].map(|w| random::<f64>(&[n, w], w as u64).into());
                let mut plain = LayerBench::new(&layer, inputs.to_vec());
                let layer = format!("LstmCellInPanels({layer})");
                let mut packed = LayerBench::new(&layer, inputs.to_vec());
                let names: &[&str] = if bias { &["wx", "wh", "b"] } else { &["wx", "wh"] };
                for (name, seed) in names.iter().zip(5..) {
                    *plain.parameter_mut(name) = random(plain.parameter(name).shape(), seed);
                    *packed.parameter_mut(name) = plain.parameter(name).clone();
                }
                assert_near(&packed.forward(Mode::Eval), &plain.forward(Mode::Eval));
                let dy = random(&[n, units], 9);
                packed.backward(&dy);
                plain.backward(&dy);
                for name in names {
                    assert_near(packed.parameter_gradient(name), plain.parameter_gradient(name));
                }
                for port in 0..3 {
                    assert_near(packed.input_gradient(port), plain.input_gradient(port));
                }
            }
        }
    }
}
