//! The long short-term memory.

use engine_core::context::Forward;
use engine_core::field::Finite;
use engine_kernels::gemm::product;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Axis, Backward, Dim, Kernel, Layer, LayerPlan, Part, PlanError, Port, PortShapes, Scalar, Shape, Step, register};
use engine_kernels::math;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{sigmoid_slope, tanh_slope};
use crate::fused::{LstmCell, Recurrence};
use crate::recurrent::{
    B, WH, WX, X, add_recurrent_gradient, add_start_gradient, map_gradients, map_input, matrix_at,
    rows_at, rows_at_mut, start, take_gradient, take_input, transpose,
};
use crate::temporal_affine::{TemporalAffine, map_plan};

/// A recurrence with a memory that gates protect: the long short-term memory.
///
/// ```text
/// [i f o g] = x[t] wx + h[t-1] wh + b        four blocks of `units` numbers each
/// c[t] = sigmoid(f) * c[t-1] + sigmoid(i) * tanh(g)
/// h[t] = sigmoid(o) * tanh(c[t])
/// ```
///
/// Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.
///
/// # Shapes
/// - `x`: `[Batch, Time, Inputs]`
/// - `h0`, optional: the state before the first step, `[Batch, units]`; 0 when not wired
/// - `c0`, optional: the memory before the first step, `[Batch, units]`; 0 when not wired
/// - output: h, `[Batch, Time, units]`
/// - parameters: `wx` `[Inputs, 4 units]`, `wh` `[units, 4 units]`, `b` `[4 units]`, their columns in the order i, f, o, g
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lstm {
    /// How many numbers the state has, and the memory.
    pub units: Dim,
    /// How the first `wx` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub recurrent_init: Init,
    /// Where `b` starts for the forget gate; 0 for the others. 1 makes a new memory last (Jozefowicz et al., 2015).
    #[serde(default = "none")]
    pub forget_bias: Finite,
}

pub(crate) fn none() -> Finite {
    Finite::constant(0.0)
}

const H0: usize = 1;
const C0: usize = 2;

/// Scratch and state: what is carried through time.
const H: usize = 0;
const C: usize = 1;

pub(crate) const GATES: usize = 4;

#[typetag::serde]
impl Layer for Lstm {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, self.units.into()]).optional(),
            Port::real("c0", [Axis::BATCH, self.units.into()]).optional(),
        ]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let over_time = inputs.shape(X).with_last(units);
        let gates_over_time = over_time.with_last(wide);
        let bias = Fill::Blocks(vec![0.0, self.forget_bias.get(), 0.0, 0.0]);
        let map = TemporalAffine { units: wide, bias: true, init: self.init };
        let map_plan = map_plan(gates_over_time, true);
        let recurrence = recurrence_plan(&over_time, units).indexed(X).fused(Part::new(
            Recurrence::new(LstmCell),
            Recurrence::<LstmCell>::plan(&over_time, units),
            [0],
        ));
        Ok(recurrence_plan(&over_time, units)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .bias("b", [wide], bias)
            .split(
                Part::new(map, map_plan, [WX, B]),
                Part::new(LstmRecurrence {}, recurrence, [WH]),
            ))
    }
}

/// The memory of the recurrence, over time and at one step.
fn recurrence_plan(over_time: &Shape, units: Dim) -> LayerPlan {
    let now = Shape::new([over_time[0], units]);
    let wide = units.times(GATES);
    LayerPlan::output(over_time.clone())
        // The gates, h and c before each step, tanh(c).
        .saved(over_time.with_last(wide))
        .saved(over_time.clone())
        .saved(over_time.clone())
        .saved(over_time.clone())
        // h, c, or their gradients; h wh; the transpose of wh.
        .scratch(now.clone())
        .scratch(now.clone())
        .scratch(now.with_last(wide))
        .scratch([wide, units])
        .state(now.clone())
        .state(now)
}

impl<T: Scalar> Kernel<T> for Lstm {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        map_input(cx);
        begin(cx);
        advance(cx, WH);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        map_input(&mut cx.forward);
        step(cx, WH);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        go_back(cx, WH);
        map_gradients(cx);
    }
}

/// The LSTM from `x wx + b` on: its first port is that, its only parameter `wh`.
#[derive(Debug)]
struct LstmRecurrence {}

impl<T: Scalar> Kernel<T> for LstmRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        take_input(cx);
        begin(cx);
        advance(cx, 0);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        take_input(&mut cx.forward);
        step(cx, 0);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        go_back(cx, 0);
        take_gradient(cx);
    }
}

/// Sets h and c to where they start.
fn begin<T: Scalar>(cx: &mut Forward<'_, T>) {
    start(&mut cx.scratch[H], cx.inputs.get(H0));
    start(&mut cx.scratch[C], cx.inputs.get(C0));
}

/// One time step from the carried h and c on.
fn step<T: Scalar>(cx: &mut Step<'_, T>, wh: usize) {
    for (carried, port) in [(H, H0), (C, C0)] {
        let before = if cx.first { cx.forward.inputs.get(port) } else { Some(&cx.state[carried]) };
        start(&mut cx.forward.scratch[carried], before);
    }
    advance(&mut cx.forward, wh);
    for carried in [H, C] {
        start(&mut cx.state[carried], Some(&cx.forward.scratch[carried]));
    }
}

/// Runs over time from the carried h and c on, which it leaves at the last step's. Finds in the gates' place what the
/// input adds to their sums.
fn advance<T: Scalar>(cx: &mut Forward<'_, T>, wh: usize) {
    let [gates, h_before, c_before, tanh_c] = &mut *cx.saved else { unreachable!("as planned") };
    let [h, c, recurrent, _] = &mut *cx.scratch else { unreachable!("as planned") };
    let y = &mut cx.outputs[0];
    for t in 0..y.dim(1) {
        product(h.rows(), cx.parameters[wh].rows(), recurrent.rows_mut());
        let sums = rows_at(recurrent, 0).zip(rows_at_mut(gates, t));
        let before = rows_at_mut(h_before, t).zip(rows_at_mut(c_before, t));
        let after = rows_at_mut(h, 0).zip(rows_at_mut(c, 0));
        let kept = rows_at_mut(tanh_c, t).zip(rows_at_mut(y, t));
        for (((recurrent, gates), (h_before, c_before)), ((h, c), (tanh_c, y))) in
            sums.zip(before).zip(after.zip(kept))
        {
            h_before.copy_from_slice(h);
            c_before.copy_from_slice(c);
            gates.iter_mut().zip(recurrent).for_each(|(a, &recurrent)| *a += recurrent);
            cell(gates, c, tanh_c, h);
            y.copy_from_slice(h);
        }
    }
}

/// Goes back through time: leaves the gradients of the gates' sums in the gates' place, and adds those of `wh` and of
/// where h and c start.
fn go_back<T: Scalar>(cx: &mut Backward<'_, T>, wh: usize) {
    let [gates, h_before, c_before, tanh_c] = &mut *cx.saved else { unreachable!("as planned") };
    let [dh, dc, _, wh_t] = &mut *cx.scratch else { unreachable!("as planned") };
    let dy = &cx.output_gradients[0];
    transpose(&cx.parameters[wh], wh_t);
    dh.fill(T::zero());
    dc.fill(T::zero());
    for t in (0..dy.dim(1)).rev() {
        let carried = rows_at_mut(dh, 0).zip(rows_at_mut(dc, 0));
        let memory = rows_at(c_before, t).zip(rows_at(tanh_c, t));
        let sums = rows_at(dy, t).zip(rows_at_mut(gates, t));
        for (((dh, dc), (c_before, tanh_c)), (dy, gates)) in carried.zip(memory).zip(sums) {
            dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
            cell_gradient(gates, c_before, tanh_c, dh, dc);
        }
        product(matrix_at(gates, t), wh_t.rows(), dh.rows_mut());
    }
    add_start_gradient(dh, cx.input_gradients.get(H0));
    add_start_gradient(dc, cx.input_gradients.get(C0));
    add_recurrent_gradient(h_before, gates.rows(), cx.parameter_gradients[wh].rows_mut());
}

/// One sequence's step: opens the gates in place, renews c, computes tanh(c) and h.
fn cell<T: Scalar>(gates: &mut [T], c: &mut [T], tanh_c: &mut [T], h: &mut [T]) {
    remember(gates, c, tanh_c);
    expose(gates, tanh_c, h);
}

/// Opens the gates in place, renews c, computes tanh(c).
pub(crate) fn remember<T: Scalar>(gates: &mut [T], c: &mut [T], tanh_c: &mut [T]) {
    let units = c.len();
    let (open, g) = gates.split_at_mut(3 * units);
    math::sigmoid(open);
    math::tanh(g);
    let (i, f) = (&open[..units], &open[units..][..units]);
    for (u, c) in c.iter_mut().enumerate() {
        *c = f[u] * *c + i[u] * g[u];
    }
    tanh_c.copy_from_slice(c);
    math::tanh(tanh_c);
}

/// h = o * tanh(c), of open gates.
pub(crate) fn expose<T: Scalar>(gates: &[T], tanh_c: &[T], h: &mut [T]) {
    let o = &gates[2 * h.len()..];
    h.iter_mut().zip(o).zip(tanh_c).for_each(|((h, &o), &tanh_c)| *h = o * tanh_c);
}

/// One sequence's step back: puts the gradients of the gates' sums in the gates' place, and takes dc to the step before.
pub(crate) fn cell_gradient<T: Scalar>(
    gates: &mut [T],
    c_before: &[T],
    tanh_c: &[T],
    dh: &[T],
    dc: &mut [T],
) {
    let units = dc.len();
    let (c_before, tanh_c, dh) = (&c_before[..units], &tanh_c[..units], &dh[..units]);
    let (i, rest) = gates.split_at_mut(units);
    let (f, rest) = rest.split_at_mut(units);
    let (o, g) = rest.split_at_mut(units);
    let g = &mut g[..units];
    for u in 0..units {
        let d = dc[u] + dh[u] * tanh_slope(tanh_c[u]) * o[u];
        dc[u] = f[u] * d;
        o[u] = tanh_c[u] * dh[u] * sigmoid_slope(o[u]);
        f[u] = c_before[u] * d * sigmoid_slope(f[u]);
        let di = g[u] * d * sigmoid_slope(i[u]);
        g[u] = i[u] * d * tanh_slope(g[u]);
        i[u] = di;
    }
}

register!(
    Lstm in LAYER,
    example: "Lstm(units: 512)",
    checks: [
        "Lstm(units: Units)",
        "Lstm(units: Units, forget_bias: 1, recurrent_init: Orthogonal)",
        "Lstm(units: 3, init: Uniform(0.3), recurrent_init: Xavier)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use super::*;
    use crate::samples::{SIZES, array, assert_near, random};

    /// A bench over random inputs and biases, with as many of `h0`, `c0` as are `started`.
    fn bench([n, t, d, units]: [usize; 4], started: usize) -> LayerBench<f64> {
        let mut inputs: Vec<Value<f64>> = vec![random::<f64>(&[n, t, d], 1).into()];
        inputs.extend((0..started).map(|port| random::<f64>(&[n, units], 2 + port as u64).into()));
        let mut bench = LayerBench::new(&format!("Lstm(units: {units})"), inputs);
        *bench.parameter_mut("b") = random(&[4 * units], 4);
        bench
    }

    /// The recurrence, one number after the other.
    fn naive(bench: &LayerBench<f64>, [n, t, d, units]: [usize; 4], started: usize) -> Tensor<f64> {
        let x = random::<f64>(&[n, t, d], 1);
        let start = |port: usize| match started > port {
            true => random(&[n, units], 2 + port as u64),
            false => Tensor::<f64>::zeros(&[n, units]),
        };
        let (h0, c0) = (start(0), start(1));
        let (wx, wh, b) = (bench.parameter("wx"), bench.parameter("wh"), bench.parameter("b"));
        let sigmoid = |a: f64| 1.0 / (1.0 + (-a).exp());
        let mut hs = Tensor::zeros(&[n, t, units]);
        for row in 0..n {
            let (mut h, mut c) = (h0.rows().row(row).to_vec(), c0.rows().row(row).to_vec());
            for s in 0..t {
                let sum = |gate: usize, u: usize, h: &[f64]| {
                    let column = gate * units + u;
                    let from_x = (0..d).map(|k| x.view3()[[row, s, k]] * wx.rows()[[k, column]]);
                    let from_h = h.iter().enumerate().map(|(k, h)| h * wh.rows()[[k, column]]);
                    from_x.sum::<f64>() + from_h.sum::<f64>() + b.as_slice()[column]
                };
                let before = h.clone();
                for u in 0..units {
                    let [i, f, o] = [0, 1, 2].map(|gate| sigmoid(sum(gate, u, &before)));
                    c[u] = f * c[u] + i * sum(3, u, &before).tanh();
                    h[u] = o * c[u].tanh();
                    hs.view3_mut()[[row, s, u]] = h[u];
                }
            }
        }
        hs
    }

    #[test]
    fn equals_the_naive_recurrence() {
        for sizes in SIZES {
            for started in 0..3 {
                println!("{sizes:?}, {started} starts");
                let mut bench = bench(sizes, started);
                let h = bench.forward(Mode::Eval);
                assert_near(&h, &naive(&bench, sizes, started));
                assert_near(&bench.steps(), &h);
                assert!(bench.gradient_error() < 1e-6);
            }
        }
    }

    #[test]
    fn gradients_of_two_passes_add_up() {
        let mut bench = bench([3, 4, 2, 5], 2);
        let dy = random(&[3, 4, 5], 6);
        bench.forward(Mode::Eval);
        bench.backward(&dy);
        let once = ["wx", "wh", "b"].map(|name| bench.parameter_gradient(name).clone());
        bench.forward(Mode::Eval);
        bench.backward_more(&dy);
        for (name, once) in ["wx", "wh", "b"].into_iter().zip(once) {
            let twice: Vec<f64> = once.as_slice().iter().map(|g| 2.0 * g).collect();
            assert_near(bench.parameter_gradient(name), &array(once.shape(), &twice));
        }
    }

    #[test]
    fn gates_are_drawn_apart_and_the_forget_gate_starts_where_told() {
        let layer = "Lstm(units: 3, recurrent_init: Orthogonal, forget_bias: 1.5)";
        let bench = LayerBench::<f64>::new(layer, vec![random::<f64>(&[1, 1, 2], 1).into()]);
        let b = bench.parameter("b").as_slice();
        assert_eq!(b, [0.0, 0.0, 0.0, 1.5, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        let wh = bench.parameter("wh").rows();
        for gate in 0..4 {
            for (j, k) in [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)] {
                let dot =
                    (0..3).map(|i| wh[[i, 3 * gate + j]] * wh[[i, 3 * gate + k]]).sum::<f64>();
                assert!((dot - f64::from(u8::from(j == k))).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn large_inputs_saturate() {
        let x = array(&[1, 2, 1], &[1e30f32, -1e30]);
        let mut bench = LayerBench::<f32>::new("Lstm(units: 2)", vec![x.into()]);
        let h = bench.forward(Mode::Eval);
        assert!(h.as_slice().iter().all(|h| h.abs() <= 1.0));
        bench.backward(&array(&[1, 2, 2], &[1.0; 4]));
        assert!(bench.input_gradient(X).as_slice().iter().all(|g| g.is_finite()));
    }
}
