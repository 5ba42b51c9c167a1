//! The gated recurrent unit.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Form, Forward, Kernel, Layer, Lowered, Memory, Part,
    PlanError, Port, PortShapes, Saved, Scalar, Scratch, Sequences, Shape, Signature, State, Step,
    Weight, WeightOrder, register,
};
use engine_kernels::gemm::{add_product, product};
use engine_kernels::math;
use ndarray::{ArrayView2, Axis as Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fused::GatedRecurrence;
use super::shared::{
    InputPart, X, add_recurrent_gradient, add_start_gradient, first, lower_input, matrix_at,
    recurrence_facts, rows_at, rows_at_mut, start, transpose,
};
use crate::elementwise::{sigmoid_slope, tanh_slope};
use crate::linear::map;

/// A recurrence whose state changes only as far as a gate lets it: the gated recurrent unit.
///
/// ```text
/// r = sigmoid(x[t] wx_r + h[t-1] wh_r + b_r)        how much of the state the candidate sees
/// z = sigmoid(x[t] wx_z + h[t-1] wh_z + b_z)        how much of the state stays
/// n = tanh(x[t] wx_n + (r * h[t-1]) wh_n + b_n)               reset: Before
/// n = tanh(x[t] wx_n + b_n + r * (h[t-1] wh_n + bn))          reset: After
/// h[t] = (1 - z) * n + z * h[t-1]
/// ```
///
/// Cho et al., 2014 (`Before`); the variant of cuDNN and PyTorch (`After`).
///
/// # Shapes
/// - `x`: `[Batch, Time, Inputs]`
/// - `h0`, optional: the state before the first step, `[Batch, units]`; 0 when not wired
/// - output: h, `[Batch, Time, units]`
/// - parameters: `wx` `[Inputs, 3 units]`, `wh` `[units, 3 units]`, `b` `[3 units]`, their columns in the order r, z, n;
///   with `reset: After` also `bn` `[units]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gru {
    /// How many numbers the state has.
    pub units: Dim,
    /// Whether the gate r works on the state before it is multiplied by `wh_n`, or on the product after.
    #[serde(default)]
    pub reset: Reset,
    /// How the first `wx` is drawn, each gate's block as a matrix of its own; biases start at 0.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub recurrent_init: Init,
}

/// Where the reset gate works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Reset {
    /// On the state, before the recurrent product.
    #[default]
    Before,
    /// On the recurrent product and a bias of its own.
    After,
}

const H0: usize = 1;

pub(crate) const GATES: usize = 3;

#[typetag::serde]
impl Layer for Gru {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, self.units.into()]).optional(),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let signature = Signature::output(inputs.shape(X).with_last(units), Dependence::Past)
            .port(H0, Dependence::StartOnly)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .bias("b", [wide], Fill::zero());
        Ok(signature.bias_if(self.reset == Reset::After, "bn", [units]))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(GruRecurrence::of(self.reset, Part::Whole, memory))
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let facts = recurrence_facts(&[H0]);
        match (form.part, form.weights) {
            (Part::Input, _) => Some(lower_input(form, GATES, memory)),
            (Part::Recurrence, WeightOrder::Stored) => {
                let recurrence = GruRecurrence::of(self.reset, Part::Recurrence, memory);
                Some(Lowered::new(recurrence).facts(facts).indexed(X))
            }
            (Part::Recurrence, WeightOrder::PanelsBothWays) => {
                Some(GatedRecurrence::lower(self.reset, memory).facts(facts))
            }
            _ => None,
        }
    }
}

/// The recurrence over time and at one step.
#[derive(Debug)]
struct GruRecurrence {
    reset: Reset,
    input: InputPart,
    wh: Weight,
    bn: Option<Weight>,
    /// The gates, h before each step, and r * h (Before) or h wh_n + bn (After).
    gates: Saved,
    h_before: Saved,
    seen: Saved,
    /// h or its gradient; h wh, or the gradient of r * h; the transpose of wh.
    h: Scratch,
    recurrent: Scratch,
    wh_t: Scratch,
    carried: State,
}

impl GruRecurrence {
    fn of(reset: Reset, part: Part, memory: &mut Memory<'_>) -> Self {
        let over_time = memory.output().clone();
        let units = over_time.last();
        let (now, wide) = (Shape::new([over_time[0], units]), units.times(GATES));
        GruRecurrence {
            reset,
            input: InputPart::of(part, memory),
            wh: memory.weight("wh"),
            bn: memory.weight_if(reset == Reset::After, "bn"),
            gates: memory.saved(over_time.with_last(wide)),
            h_before: memory.saved(over_time.clone()),
            seen: memory.saved(over_time),
            h: memory.scratch(now.clone()),
            recurrent: memory.scratch(now.with_last(wide)),
            wh_t: memory.scratch([wide, units]),
            carried: memory.state(now),
        }
    }

    /// Runs over time from the carried state on, which it leaves at the last step's.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let [gates, h_before, reset] = cx.saved.each([self.gates, self.h_before, self.seen]);
        let [h, recurrent] = cx.scratch.each([self.h, self.recurrent]);
        let y = &mut cx.outputs[0];
        let (wh_rz, wh_n) = gate_columns(cx.parameters[self.wh].rows());
        let bn = self.bn.map(|bn| cx.parameters[bn].as_slice());
        let sequences = Sequences::of(y, cx.sequences);
        for t in 0..sequences.steps() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            let (recurrent_rz, _) = recurrent.rows_mut().split_at(Side(1), wh_rz.ncols());
            product(h.rows(), wh_rz, recurrent_rz);
            let read = rows_at(recurrent, alive).zip(rows_at(h, alive));
            let write = rows_at_mut(gates, rows)
                .zip(rows_at_mut(h_before, rows))
                .zip(rows_at_mut(reset, rows));
            for ((recurrent, h), ((gates, h_before), reset)) in read.zip(write) {
                h_before.copy_from_slice(h);
                open_gates(gates, recurrent);
                if self.reset == Reset::Before {
                    let seen = gates.iter().zip(h).map(|(&r, &h)| r * h);
                    reset.iter_mut().zip(seen).for_each(|(reset, seen)| *reset = seen);
                }
            }
            let (_, recurrent_n) = recurrent.rows_mut().split_at(Side(1), wh_rz.ncols());
            match self.reset {
                Reset::Before => {
                    let (recurrent_n, _) = recurrent_n.split_at(Side(0), alive.count);
                    product(matrix_at(reset, rows), wh_n, recurrent_n);
                }
                Reset::After => product(h.rows(), wh_n, recurrent_n),
            }
            let open = rows_at(recurrent, alive)
                .zip(rows_at_mut(gates, rows))
                .zip(rows_at_mut(reset, rows));
            let state = rows_at_mut(h, alive).zip(rows_at_mut(y, rows));
            for (((recurrent, gates), reset), (h, y)) in open.zip(state) {
                candidate(gates, recurrent, reset, bn);
                blend(gates, h);
                y.copy_from_slice(h);
            }
        }
    }

    /// Goes back through time: leaves the gradients of the gates' sums in the gates' place, and adds those of the
    /// parameters and of where the state starts.
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [gates, h_before, reset] = cx.saved.each([self.gates, self.h_before, self.seen]);
        let [dh, reset_gradient, wh_t] = cx.scratch.each([self.h, self.recurrent, self.wh_t]);
        let dy = &cx.output_gradients[0];
        let units = dy.rows().ncols();
        let sequences = Sequences::of(dy, cx.sequences);
        transpose(&cx.parameters[self.wh], wh_t);
        let (wh_rz_t, wh_n_t) = wh_t.rows().split_at(Side(0), 2 * units);
        dh.fill(T::zero());
        for t in (0..sequences.steps()).rev() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            let read = rows_at(dy, rows).zip(rows_at(h_before, rows));
            let write =
                rows_at_mut(gates, rows).zip(rows_at_mut(reset, rows)).zip(rows_at_mut(dh, alive));
            for ((dy, h_before), ((gates, reset), dh)) in read.zip(write) {
                dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
                blend_gradient(gates, h_before, dh);
                if self.reset == Reset::After {
                    reset_after_gradient(gates, reset);
                }
            }
            match self.reset {
                Reset::Before => {
                    let (_, dn) = gate_columns(matrix_at(gates, rows));
                    let (product_here, _) = reset_gradient.rows_mut().split_at(Side(1), units);
                    product(dn, wh_n_t, product_here.split_at(Side(0), alive.count).0);
                    let read = rows_at(reset_gradient, alive).zip(rows_at(h_before, rows));
                    let write = rows_at_mut(gates, rows).zip(rows_at_mut(dh, alive));
                    for ((d, h_before), (gates, dh)) in read.zip(write) {
                        reset_before_gradient(gates, h_before, d, dh);
                    }
                }
                Reset::After => {
                    let (dh, _) = dh.rows_mut().split_at(Side(0), alive.count);
                    add_product(matrix_at(reset, rows), wh_n_t, dh);
                }
            }
            let (dh, _) = dh.rows_mut().split_at(Side(0), alive.count);
            add_product(gate_columns(matrix_at(gates, rows)).0, wh_rz_t, dh);
        }
        add_start_gradient(dh, cx.input_gradients.get(H0));
        let gradients = &mut cx.parameter_gradients;
        let (d_rz, dn) = gate_columns(gates.rows());
        let (dwh_rz, dwh_n) = gradients[self.wh].rows_mut().split_at(Side(1), 2 * units);
        add_recurrent_gradient(h_before, d_rz, dwh_rz);
        match self.reset {
            Reset::Before => add_recurrent_gradient(reset, dn, dwh_n),
            Reset::After => {
                add_recurrent_gradient(h_before, reset.rows(), dwh_n);
                if let Some(bn) = self.bn {
                    map::add_bias_gradient(reset, &mut gradients[bn]);
                }
            }
        }
    }
}

impl<T: Scalar> Kernel<T> for GruRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.input.forward(cx, self.gates);
        start(&mut cx.scratch[self.h], cx.inputs.get(H0));
        self.advance(cx);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        self.input.forward(&mut cx.forward, self.gates);
        let before =
            if cx.first { cx.forward.inputs.get(H0) } else { Some(&cx.state[self.carried]) };
        start(&mut cx.forward.scratch[self.h], before);
        self.advance(&mut cx.forward);
        start(&mut cx.state[self.carried], Some(&cx.forward.scratch[self.h]));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.go_back(cx);
        self.input.backward(cx, self.gates);
    }
}

/// The columns of r and z, and those of n.
pub(crate) fn gate_columns<T: Scalar>(
    gates: ArrayView2<'_, T>,
) -> (ArrayView2<'_, T>, ArrayView2<'_, T>) {
    let units = gates.ncols() / GATES;
    gates.split_at(Side(1), 2 * units)
}

/// The blocks r, z and n of one row, of one length.
fn blocks<T: Scalar>(gates: &mut [T]) -> (&mut [T], &mut [T], &mut [T]) {
    let units = gates.len() / GATES;
    let (r, rest) = gates.split_at_mut(units);
    let (z, n) = rest.split_at_mut(units);
    (r, z, &mut n[..units])
}

/// Completes r and z in place.
pub(crate) fn open_gates<T: Scalar>(gates: &mut [T], recurrent: &[T]) {
    let units = gates.len() / GATES;
    let open = &mut gates[..2 * units];
    open.iter_mut().zip(recurrent).for_each(|(a, &recurrent)| *a += recurrent);
    math::sigmoid(open);
}

/// Completes n in place. With `bn`, which is there when r works after the product, keeps the product and its bias.
pub(crate) fn candidate<T: Scalar>(
    gates: &mut [T],
    recurrent: &[T],
    reset: &mut [T],
    bn: Option<&[T]>,
) {
    let (r, _, n) = blocks(gates);
    let recurrent = &recurrent[2 * n.len()..];
    match bn {
        None => n.iter_mut().zip(recurrent).for_each(|(n, &recurrent)| *n += recurrent),
        Some(bn) => {
            let sums = recurrent.iter().zip(bn).map(|(&recurrent, &bn)| recurrent + bn);
            reset.iter_mut().zip(sums).for_each(|(reset, sum)| *reset = sum);
            n.iter_mut().zip(r).zip(reset).for_each(|((n, r), reset)| *n += *r * *reset);
        }
    }
    math::tanh(n);
}

/// h = (1 - z) n + z h.
pub(crate) fn blend<T: Scalar>(gates: &mut [T], h: &mut [T]) {
    let (_, z, n) = blocks(gates);
    h.iter_mut().zip(z).zip(n).for_each(|((h, z), n)| *h = (T::one() - *z) * *n + *z * *h);
}

/// Puts the gradients of the sums of z and n in their place, and takes dh to what z lets through.
pub(crate) fn blend_gradient<T: Scalar>(gates: &mut [T], h_before: &[T], dh: &mut [T]) {
    let (_, z, n) = blocks(gates);
    for (((z, n), dh), &h) in z.iter_mut().zip(n).zip(dh).zip(h_before) {
        let d = *dh;
        *dh = d * *z;
        let dz = d * (h - *n) * sigmoid_slope(*z);
        *n = d * (T::one() - *z) * tanh_slope(*n);
        *z = dz;
    }
}

/// Given d, the gradient of r * h: puts the gradient of r's sum in its place, and adds to dh.
pub(crate) fn reset_before_gradient<T: Scalar>(
    gates: &mut [T],
    h_before: &[T],
    d: &[T],
    dh: &mut [T],
) {
    let (r, ..) = blocks(gates);
    for (((r, dh), &d), &h) in r.iter_mut().zip(dh).zip(d).zip(h_before) {
        *dh += d * *r;
        *r = d * h * sigmoid_slope(*r);
    }
}

/// Puts the gradient of r's sum in its place, and that of the recurrent product in the product's.
pub(crate) fn reset_after_gradient<T: Scalar>(gates: &mut [T], reset: &mut [T]) {
    let (r, _, dn) = blocks(gates);
    for ((r, dn), reset) in r.iter_mut().zip(dn).zip(reset) {
        let dr = *dn * *reset * sigmoid_slope(*r);
        *reset = *dn * *r;
        *r = dr;
    }
}

register!(
    Gru in LAYER,
    example: "Gru(units: 512)",
    checks: [
        "Gru(units: Units)",
        "Gru(units: Units, reset: After)",
        "Gru(units: 3, reset: After, init: Uniform(0.3), recurrent_init: Orthogonal)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use super::*;
    use crate::samples::{SIZES, array, assert_near, random};

    /// A bench over random inputs and biases; `h0` is wired if `started`.
    fn bench(reset: Reset, [n, t, d, units]: [usize; 4], started: bool) -> LayerBench<f64> {
        let mut inputs: Vec<Value<f64>> = vec![random::<f64>(&[n, t, d], 1).into()];
        if started {
            inputs.push(random::<f64>(&[n, units], 2).into());
        }
        let mut bench = LayerBench::new(&format!("Gru(units: {units}, reset: {reset:?})"), inputs);
        *bench.parameter_mut("b") = random(&[3 * units], 3);
        if reset == Reset::After {
            *bench.parameter_mut("bn") = random(&[units], 4);
        }
        bench
    }

    /// The recurrence, one number after the other.
    fn naive(
        bench: &LayerBench<f64>,
        reset: Reset,
        sizes: [usize; 4],
        started: bool,
    ) -> Tensor<f64> {
        let [n, t, d, units] = sizes;
        let x = random::<f64>(&[n, t, d], 1);
        let h0 = if started { random(&[n, units], 2) } else { Tensor::zeros(&[n, units]) };
        let (wx, wh, b) = (bench.parameter("wx"), bench.parameter("wh"), bench.parameter("b"));
        let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
        let from_h = |h: &[f64], column: usize| -> f64 {
            h.iter().enumerate().map(|(k, h)| h * wh.rows()[[k, column]]).sum()
        };
        let mut hs = Tensor::zeros(&[n, t, units]);
        for row in 0..n {
            let mut h: Vec<f64> = h0.rows().row(row).to_vec();
            for s in 0..t {
                let from_x = |column: usize| {
                    let products = (0..d).map(|k| x.view3()[[row, s, k]] * wx.rows()[[k, column]]);
                    products.sum::<f64>() + b.as_slice()[column]
                };
                let gate = |column: usize| sigmoid(from_x(column) + from_h(&h, column));
                let r: Vec<f64> = (0..units).map(gate).collect();
                let seen: Vec<f64> = r.iter().zip(&h).map(|(r, h)| r * h).collect();
                let next = (0..units).map(|u| {
                    let (z, column) = (gate(units + u), 2 * units + u);
                    let recurrent = match reset {
                        Reset::Before => from_h(&seen, column),
                        Reset::After => {
                            r[u] * (from_h(&h, column) + bench.parameter("bn").as_slice()[u])
                        }
                    };
                    (1.0 - z) * (from_x(column) + recurrent).tanh() + z * h[u]
                });
                h = next.collect();
                hs.as_mut_slice()[(row * t + s) * units..][..units].copy_from_slice(&h);
            }
        }
        hs
    }

    #[test]
    fn equals_the_naive_recurrence() {
        for sizes in SIZES {
            for reset in [Reset::Before, Reset::After] {
                for started in [true, false] {
                    println!("{reset:?} {sizes:?} {started}");
                    let mut bench = bench(reset, sizes, started);
                    let h = bench.forward(Mode::Eval);
                    assert_near(&h, &naive(&bench, reset, sizes, started));
                    assert_near(&bench.steps(), &h);
                    assert!(bench.gradient_error() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn gradients_of_two_passes_add_up() {
        let mut bench = bench(Reset::After, [3, 4, 2, 5], true);
        let (dy, names) = (random(&[3, 4, 5], 6), ["wx", "wh", "b", "bn"]);
        bench.forward(Mode::Eval);
        bench.backward(&dy);
        let once = names.map(|name| bench.parameter_gradient(name).clone());
        bench.forward(Mode::Eval);
        bench.backward_more(&dy);
        for (name, once) in names.into_iter().zip(once) {
            let twice: Vec<f64> = once.as_slice().iter().map(|g| 2.0 * g).collect();
            assert_near(bench.parameter_gradient(name), &array(once.shape(), &twice));
        }
    }
}
