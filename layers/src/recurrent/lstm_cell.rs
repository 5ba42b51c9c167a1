//! One step of the long short-term memory.

use engine_core::field::Finite;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Form, Forward, GradientRequest, Kernel, Layer, Lowered,
    Memory, PlanError, Port, PortShapes, Saved, Scalar, Scratch, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fused::sums::PanelSums;
use super::lstm::{self, GATES};
use super::shared::X;
use super::sums::Sums;
use crate::elementwise::{self, rows_a_piece};

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
    #[serde(default = "crate::linear::with_bias")]
    pub bias: bool,
    /// Where `b` starts for the forget gate; 0 for the others. 1 makes a new memory last (Jozefowicz et al., 2015).
    #[serde(default = "super::lstm::none")]
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

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let state = inputs.shape(X).with_last(units);
        let signature = Signature::output(state.clone(), Dependence::Item)
            .and_output("c", state)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES));
        let bias = Fill::Blocks(vec![0.0, self.forget_bias.get(), 0.0, 0.0]);
        Ok(if self.bias { signature.bias("b", [wide], bias) } else { signature })
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let sums = Sums::of(GATES, self.bias, true, memory);
        let gates = Gates::of(&sums, memory);
        Lowered::new(Plain { gates, sums }).separable()
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        form.is_of_whole_cell().then(|| {
            let sums = PanelSums::of(Sums::of(GATES, self.bias, false, memory), memory);
            let gates = Gates::of(&sums.sums, memory);
            Lowered::new(OverPanels { gates, sums }).separable()
        })
    }
}

/// The step over weights as they are stored.
#[derive(Debug)]
struct Plain {
    gates: Gates,
    sums: Sums,
}

impl<T: Scalar> Kernel<T> for Plain {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.sums.forward(cx);
        self.gates.open(cx);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.requested != GradientRequest::Parameters {
            self.gates.close(cx);
        }
        self.sums.backward(cx);
    }
}

/// The step over weights in panels.
#[derive(Debug)]
struct OverPanels {
    gates: Gates,
    sums: PanelSums,
}

impl<T: Scalar> Kernel<T> for OverPanels {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.sums.forward(cx);
        self.gates.open(cx);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.requested != GradientRequest::Parameters {
            self.gates.close(cx);
        }
        self.sums.backward(cx);
    }
}

/// The gates' arrays.
#[derive(Debug)]
struct Gates {
    gates: Saved,
    tanh_c: Saved,
    /// The gradient of c', then that of c.
    dc: Scratch,
}

impl Gates {
    fn of(sums: &Sums, memory: &mut Memory<'_>) -> Self {
        let state = memory.output().clone();
        Gates { gates: sums.a, tanh_c: memory.saved(state.clone()), dc: memory.scratch(state) }
    }

    /// Opens the gates, which hold their sums, and computes c' and h'.
    fn open<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let [gates, tanh_c] = cx.saved.each([self.gates, self.tanh_c]);
        let (h, new_c) = cx.outputs.split_at_mut(1);
        let (h, new_c) = (&mut h[0], &mut new_c[0]);
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
    fn close<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [gates, tanh_c] = cx.saved.each([self.gates, self.tanh_c]);
        let dc = &mut cx.scratch[self.dc];
        let (dh, new_dc) = (&cx.output_gradients[0], &cx.output_gradients[1]);
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

        fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
            self.0.signature(inputs)
        }

        fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
            let form = Form::PLAIN.weights(engine_core::WeightOrder::PanelsBothWays);
            self.0.form(form, memory).unwrap()
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
