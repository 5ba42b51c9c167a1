//! One step of the gated recurrent unit.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Saved, Scalar, Scratch, Signature, Weight, register,
};
use engine_kernels::gemm::{add_product, product};
use engine_kernels::team;
use ndarray::Axis as Side;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gru::{
    GATES, Reset, blend, blend_gradient, candidate, gate_columns, open_gates, reset_after_gradient,
    reset_before_gradient,
};
use super::shared::{X, transpose};
use super::sums::{H, Sums};
use crate::elementwise::{self, rows_a_piece};
use crate::linear::map;

/// One step of `Gru`, from the state that it is given.
///
/// ```text
/// r = sigmoid(x wx_r + h wh_r + b_r)        how much of the state the candidate sees
/// z = sigmoid(x wx_z + h wh_z + b_z)        how much of the state stays
/// n = tanh(x wx_n + (r * h) wh_n + b_n)               reset: Before
/// n = tanh(x wx_n + b_n + r * (h wh_n + bn))          reset: After
/// h' = (1 - z) * n + z * h
/// ```
///
/// Cho et al., 2014 (`Before`); the variant of cuDNN and PyTorch (`After`).
///
/// # Shapes
/// - `x`: `[Batch, Inputs]`
/// - `h`: the state before the step, `[Batch, units]`
/// - output: h', `[Batch, units]`
/// - parameters: `wx` `[Inputs, 3 units]`, `wh` `[units, 3 units]`, `b` `[3 units]`, their columns in the order r, z, n;
///   with `reset: After` also `bn` `[units]`. With `bias: false` neither `b` nor `bn`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GruCell {
    /// How many numbers the state has.
    pub units: Dim,
    /// Whether the gate r works on the state before it is multiplied by `wh_n`, or on the product after.
    #[serde(default)]
    pub reset: Reset,
    /// Whether `b` and `bn` are added.
    #[serde(default = "crate::linear::with_bias")]
    pub bias: bool,
    /// How the first `wx` is drawn, each gate's block as a matrix of its own; biases start at 0.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub recurrent_init: Init,
}

#[typetag::serde]
impl Layer for GruCell {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::Any("Inputs")]),
            Port::real("h", [Axis::BATCH, self.units.into()]),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        Ok(Signature::output(inputs.shape(X).with_last(units), Dependence::Item)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .bias_if(self.bias, "b", [wide])
            .bias_if(self.bias && self.reset == Reset::After, "bn", [units]))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let state = memory.output().clone();
        let (units, wide) = (state.last(), state.last().times(GATES));
        let bn = memory.weight_if(self.bias && self.reset == Reset::After, "bn");
        Lowered::new(GruStep {
            reset: self.reset,
            sums: Sums::of(GATES, self.bias, true, memory),
            bn,
            seen: memory.saved(state.clone()),
            recurrent: memory.scratch(state.with_last(wide)),
            dh: memory.scratch(state),
            wh_t: memory.scratch([wide, units]),
            no_bn: memory.scratch([units]),
        })
    }
}

/// The step.
#[derive(Debug)]
struct GruStep {
    reset: Reset,
    /// Holds the gates.
    sums: Sums,
    bn: Option<Weight>,
    /// r * h (Before) or h wh_n + bn (After).
    seen: Saved,
    /// h wh, or the gradient of r * h; the gradient of h; the transpose of wh; a bn of 0.
    recurrent: Scratch,
    dh: Scratch,
    wh_t: Scratch,
    no_bn: Scratch,
}

impl<T: Scalar> Kernel<T> for GruStep {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.sums.forward_input(cx);
        let [gates, reset] = cx.saved.each([self.sums.a, self.seen]);
        let [recurrent, no_bn] = cx.scratch.each([self.recurrent, self.no_bn]);
        no_bn.fill(T::zero());
        let bn = match (self.reset, self.bn) {
            (Reset::Before, _) => None,
            (Reset::After, Some(bn)) => Some(cx.parameters[bn].as_slice()),
            (Reset::After, None) => Some(no_bn.as_slice()),
        };
        let (h, new_h) = (&cx.inputs[H], &mut cx.outputs[0]);
        let (wh_rz, wh_n) = gate_columns(cx.parameters[self.sums.wh].rows());
        let units = h.rows().ncols();
        let (rows, wide) = (rows_a_piece(units) * units, GATES * units);
        // Before, r and z must be open when wh_n comes; After, one product makes all.
        match self.reset {
            Reset::Before => {
                let (rz, _) = recurrent.rows_mut().split_at(Side(1), 2 * units);
                product(h.rows(), wh_rz, rz);
            }
            Reset::After => {
                product(h.rows(), cx.parameters[self.sums.wh].rows(), recurrent.rows_mut())
            }
        }
        let sums = recurrent.as_slice();
        let write = (gates.as_mut_slice(), GATES * rows);
        team::for_each_chunk_mut2(write, (reset.as_mut_slice(), rows), |at, gates, reset| {
            let sums = sums[at * GATES * rows..].chunks_exact(wide);
            let read = sums.zip(h.as_slice()[at * rows..].chunks_exact(units));
            let write = gates.chunks_exact_mut(wide).zip(reset.chunks_exact_mut(units));
            for ((gates, reset), (sums, h)) in write.zip(read) {
                open_gates(gates, sums);
                let seen = gates.iter().zip(h).map(|(&r, &h)| r * h);
                reset.iter_mut().zip(seen).for_each(|(reset, seen)| *reset = seen);
            }
        });
        if self.reset == Reset::Before {
            let (_, sum) = recurrent.rows_mut().split_at(Side(1), 2 * units);
            product(reset.rows(), wh_n, sum);
        }
        let sums = recurrent.as_slice();
        let gates = (gates.as_mut_slice(), GATES * rows);
        let (reset, new_h) = ((reset.as_mut_slice(), rows), (new_h.as_mut_slice(), rows));
        team::for_each_chunk_mut3(gates, reset, new_h, |at, gates, reset, new_h| {
            new_h.copy_from_slice(&h.as_slice()[at * rows..][..new_h.len()]);
            let sums = sums[at * GATES * rows..].chunks_exact(wide);
            let write = gates.chunks_exact_mut(wide).zip(reset.chunks_exact_mut(units));
            for ((sums, new_h), (gates, reset)) in
                sums.zip(new_h.chunks_exact_mut(units)).zip(write)
            {
                candidate(gates, sums, reset, bn);
                blend(gates, new_h);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.close(cx);
        let [gates, reset] = cx.saved.each([self.sums.a, self.seen]);
        let h = &cx.inputs[H];
        let units = h.rows().ncols();
        let (d_rz, dn) = gate_columns(gates.rows());
        let (dwh_rz, dwh_n) =
            cx.parameter_gradients[self.sums.wh].rows_mut().split_at(Side(1), 2 * units);
        add_product(h.rows().reversed_axes(), d_rz, dwh_rz);
        match self.reset {
            Reset::Before => add_product(reset.rows().reversed_axes(), dn, dwh_n),
            Reset::After => add_product(h.rows().reversed_axes(), reset.rows(), dwh_n),
        }
        if let Some(bn) = self.bn {
            map::add_bias_gradient(reset, &mut cx.parameter_gradients[bn]);
        }
        self.sums.backward_input(cx);
    }
}

impl GruStep {
    /// Puts the gradients of the gates' sums in their place, and adds that of h. With `reset: After`, puts that of
    /// `h wh_n + bn` in its place too.
    fn close<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [gates, reset] = cx.saved.each([self.sums.a, self.seen]);
        let [d_seen, dh, wh_t] = cx.scratch.each([self.recurrent, self.dh, self.wh_t]);
        let (h, new_dh) = (cx.inputs[H].as_slice(), cx.output_gradients[0].as_slice());
        let units = dh.rows().ncols();
        let (rows, wide) = (rows_a_piece(units) * units, GATES * units);
        let after = self.reset == Reset::After;
        let write = (gates.as_mut_slice(), GATES * rows);
        let carried = (dh.as_mut_slice(), rows);
        team::for_each_chunk_mut3(
            write,
            (reset.as_mut_slice(), rows),
            carried,
            |at, gates, reset, dh| {
                dh.copy_from_slice(&new_dh[at * rows..][..dh.len()]);
                let read = h[at * rows..].chunks_exact(units);
                let write = gates.chunks_exact_mut(wide).zip(reset.chunks_exact_mut(units));
                for ((h, dh), (gates, reset)) in read.zip(dh.chunks_exact_mut(units)).zip(write) {
                    blend_gradient(gates, h, dh);
                    if after {
                        reset_after_gradient(gates, reset);
                    }
                }
            },
        );
        transpose(&cx.parameters[self.sums.wh], wh_t);
        let (wh_rz_t, wh_n_t) = wh_t.rows().split_at(Side(0), 2 * units);
        match self.reset {
            Reset::Before => {
                let (mut d_seen_rows, _) = d_seen.rows_mut().split_at(Side(1), units);
                product(gate_columns(gates.rows()).1, wh_n_t, d_seen_rows.view_mut());
                let d_seen = d_seen.as_slice();
                let gates = (gates.as_mut_slice(), GATES * rows);
                team::for_each_chunk_mut2(gates, (dh.as_mut_slice(), rows), |at, gates, dh| {
                    let d_seen = d_seen[at * GATES * rows..].chunks_exact(wide);
                    let read = d_seen.zip(h[at * rows..].chunks_exact(units));
                    let write = gates.chunks_exact_mut(wide).zip(dh.chunks_exact_mut(units));
                    for ((d_seen, h), (gates, dh)) in read.zip(write) {
                        reset_before_gradient(gates, h, d_seen, dh);
                    }
                });
            }
            Reset::After => add_product(reset.rows(), wh_n_t, dh.rows_mut()),
        }
        add_product(gate_columns(gates.rows()).0, wh_rz_t, dh.rows_mut());
        if let Some(gradient) = cx.input_gradients.get(H) {
            elementwise::add(gradient.as_mut_slice(), dh.as_slice());
        }
    }
}

register!(
    GruCell in LAYER,
    example: "GruCell(units: 512)",
    checks: [
        "GruCell(units: Units)",
        "GruCell(units: Units, reset: After)",
        "GruCell(units: Units, bias: false, init: Uniform(0.3))",
        "GruCell(units: 3, reset: After, bias: false, recurrent_init: Orthogonal)",
    ],
);

#[cfg(test)]
mod tests {
    use crate::samples::cells::{Cell, assert_cell, assert_without_bias};

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", reset: After"] {
            assert_cell(&Cell { sequence: "Gru", cell: "GruCell", options, carries: &[""] });
        }
    }

    #[test]
    fn a_cell_without_biases_is_one_whose_biases_are_0() {
        assert_without_bias("GruCell", "", &[""], &["b"]);
        assert_without_bias("GruCell", ", reset: After", &[""], &["b", "bn"]);
    }
}
