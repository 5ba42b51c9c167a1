//! The gated recurrent unit.

use engine_core::context::Forward;
use engine_kernels::gemm::{add_product, product};
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Axis, Backward, Dim, Kernel, Layer, LayerPlan, Part, PlanError, Port, PortShapes, Scalar, Shape, Step, register};
use engine_kernels::math;
use ndarray::{ArrayView2, Axis as Side};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::affine;
use crate::elementwise::{sigmoid_slope, tanh_slope};
use crate::fused::GatedRecurrence;
use crate::recurrent::{
    B, WH, WX, X, add_recurrent_gradient, add_start_gradient, map_gradients, map_input, matrix_at,
    rows_at, rows_at_mut, start, take_gradient, take_input, transpose,
};
use crate::temporal_affine::{TemporalAffine, map_plan};

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

const BN: usize = 3;

/// Scratch and state: what is carried through time.
const H: usize = 0;

pub(crate) const GATES: usize = 3;

#[typetag::serde]
impl Layer for Gru {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, self.units.into()]).optional(),
        ]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let (units, wide, reset) = (self.units, self.units.times(GATES), self.reset);
        let over_time = inputs.shape(X).with_last(units);
        let map = TemporalAffine { units: wide, bias: true, init: self.init };
        let map_plan = map_plan(over_time.with_last(wide), true);
        let plan = recurrence_plan(&over_time, units)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .bias("b", [wide], Fill::zero());
        let (plan, own) = match reset {
            Reset::Before => (plan, vec![WH]),
            Reset::After => (plan.bias("bn", [units], Fill::zero()), vec![WH, BN]),
        };
        let fused = GatedRecurrence { reset };
        let fused_plan = GatedRecurrence::plan(&over_time, units);
        let recurrence = recurrence_plan(&over_time, units).indexed(X).fused(Part::new(
            fused,
            fused_plan,
            (0..own.len()).collect::<Vec<_>>(),
        ));
        Ok(plan.split(
            Part::new(map, map_plan, [WX, B]),
            Part::new(GruRecurrence { reset }, recurrence, own),
        ))
    }
}

/// The memory of the recurrence, over time and at one step.
fn recurrence_plan(over_time: &Shape, units: Dim) -> LayerPlan {
    let now = Shape::new([over_time[0], units]);
    let wide = units.times(GATES);
    LayerPlan::output(over_time.clone())
        // The gates, h before each step, and r * h (Before) or h wh_n + bn (After).
        .saved(over_time.with_last(wide))
        .saved(over_time.clone())
        .saved(over_time.clone())
        // h or its gradient; h wh, or the gradient of r * h; the transpose of wh.
        .scratch(now.clone())
        .scratch(now.with_last(wide))
        .scratch([wide, units])
        .state(now)
}

impl<T: Scalar> Kernel<T> for Gru {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        map_input(cx);
        start(&mut cx.scratch[H], cx.inputs.get(H0));
        self.reset.advance(cx, [WH, BN]);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        map_input(&mut cx.forward);
        self.reset.step(cx, [WH, BN]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.reset.go_back(cx, [WH, BN]);
        map_gradients(cx);
    }
}

/// The GRU from `x wx + b` on: its first port is that, its parameters are `wh` and, with `reset: After`, `bn`.
#[derive(Debug)]
struct GruRecurrence {
    reset: Reset,
}

impl<T: Scalar> Kernel<T> for GruRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        take_input(cx);
        start(&mut cx.scratch[H], cx.inputs.get(H0));
        self.reset.advance(cx, [0, 1]);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        take_input(&mut cx.forward);
        self.reset.step(cx, [0, 1]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.reset.go_back(cx, [0, 1]);
        take_gradient(cx);
    }
}

/// The recurrence, which finds in the gates' place what the input adds to their sums. `wh` and `bn` say where the
/// parameters of these names are.
impl Reset {
    /// One time step from the carried state on.
    fn step<T: Scalar>(self, cx: &mut Step<'_, T>, parameters: [usize; 2]) {
        let before = if cx.first { cx.forward.inputs.get(H0) } else { Some(&cx.state[H]) };
        start(&mut cx.forward.scratch[H], before);
        self.advance(&mut cx.forward, parameters);
        start(&mut cx.state[H], Some(&cx.forward.scratch[H]));
    }

    /// Runs over time from the carried state on, which it leaves at the last step's.
    fn advance<T: Scalar>(self, cx: &mut Forward<'_, T>, [wh, bn]: [usize; 2]) {
        let [gates, h_before, reset] = &mut *cx.saved else { unreachable!("as planned") };
        let [h, recurrent, _] = &mut *cx.scratch else { unreachable!("as planned") };
        let y = &mut cx.outputs[0];
        let (wh_rz, wh_n) = gate_columns(cx.parameters[wh].rows());
        let bn = (self == Reset::After).then(|| cx.parameters[bn].as_slice());
        for t in 0..y.dim(1) {
            let (recurrent_rz, _) = recurrent.rows_mut().split_at(Side(1), wh_rz.ncols());
            product(h.rows(), wh_rz, recurrent_rz);
            let read = rows_at(recurrent, 0).zip(rows_at(h, 0));
            let write =
                rows_at_mut(gates, t).zip(rows_at_mut(h_before, t)).zip(rows_at_mut(reset, t));
            for ((recurrent, h), ((gates, h_before), reset)) in read.zip(write) {
                h_before.copy_from_slice(h);
                open_gates(gates, recurrent);
                if self == Reset::Before {
                    let seen = gates.iter().zip(h).map(|(&r, &h)| r * h);
                    reset.iter_mut().zip(seen).for_each(|(reset, seen)| *reset = seen);
                }
            }
            let (_, recurrent_n) = recurrent.rows_mut().split_at(Side(1), wh_rz.ncols());
            match self {
                Reset::Before => product(matrix_at(reset, t), wh_n, recurrent_n),
                Reset::After => product(h.rows(), wh_n, recurrent_n),
            }
            let open = rows_at(recurrent, 0).zip(rows_at_mut(gates, t)).zip(rows_at_mut(reset, t));
            let state = rows_at_mut(h, 0).zip(rows_at_mut(y, t));
            for (((recurrent, gates), reset), (h, y)) in open.zip(state) {
                candidate(gates, recurrent, reset, bn);
                blend(gates, h);
                y.copy_from_slice(h);
            }
        }
    }

    /// Goes back through time: leaves the gradients of the gates' sums in the gates' place, and adds those of the
    /// parameters and of where the state starts.
    fn go_back<T: Scalar>(self, cx: &mut Backward<'_, T>, [wh, bn]: [usize; 2]) {
        let [gates, h_before, reset] = &mut *cx.saved else { unreachable!("as planned") };
        let [dh, reset_gradient, wh_t] = &mut *cx.scratch else { unreachable!("as planned") };
        let dy = &cx.output_gradients[0];
        let units = dy.dim(2);
        transpose(&cx.parameters[wh], wh_t);
        let (wh_rz_t, wh_n_t) = wh_t.rows().split_at(Side(0), 2 * units);
        dh.fill(T::zero());
        for t in (0..dy.dim(1)).rev() {
            let read = rows_at(dy, t).zip(rows_at(h_before, t));
            let write = rows_at_mut(gates, t).zip(rows_at_mut(reset, t)).zip(rows_at_mut(dh, 0));
            for ((dy, h_before), ((gates, reset), dh)) in read.zip(write) {
                dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
                blend_gradient(gates, h_before, dh);
                if self == Reset::After {
                    reset_after_gradient(gates, reset);
                }
            }
            match self {
                Reset::Before => {
                    let (_, dn) = gate_columns(matrix_at(gates, t));
                    let (mut product_here, _) = reset_gradient.rows_mut().split_at(Side(1), units);
                    product(dn, wh_n_t, product_here.view_mut());
                    let read = rows_at(reset_gradient, 0).zip(rows_at(h_before, t));
                    let write = rows_at_mut(gates, t).zip(rows_at_mut(dh, 0));
                    for ((d, h_before), (gates, dh)) in read.zip(write) {
                        reset_before_gradient(gates, h_before, d, dh);
                    }
                }
                Reset::After => add_product(matrix_at(reset, t), wh_n_t, dh.rows_mut()),
            }
            add_product(gate_columns(matrix_at(gates, t)).0, wh_rz_t, dh.rows_mut());
        }
        add_start_gradient(dh, cx.input_gradients.get(H0));
        let gradients = &mut cx.parameter_gradients;
        let (d_rz, dn) = gate_columns(gates.rows());
        let (dwh_rz, dwh_n) = gradients[wh].rows_mut().split_at(Side(1), 2 * units);
        add_recurrent_gradient(h_before, d_rz, dwh_rz);
        match self {
            Reset::Before => add_recurrent_gradient(reset, dn, dwh_n),
            Reset::After => {
                add_recurrent_gradient(h_before, reset.rows(), dwh_n);
                affine::add_bias_gradient(reset, &mut gradients[bn]);
            }
        }
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
