//! The long short-term memory.

use engine_core::field::Finite;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Form, Forward, Kernel, Layer, Lowered, Memory, Part,
    PlanError, Port, PortShapes, Saved, Scalar, Scratch, Sequences, Shape, Signature, State, Step,
    Weight, WeightOrder, register,
};
use engine_kernels::gemm::product;
use engine_kernels::math;
use ndarray::Axis as Side;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fused::{LstmCell, Recurrence};
use super::shared::{
    InputPart, X, add_recurrent_gradient, add_start_gradient, first, lower_input, matrix_at,
    recurrence_facts, rows_at, rows_at_mut, start, transpose,
};
use crate::elementwise::{sigmoid_slope, tanh_slope};

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

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (units, wide) = (self.units, self.units.times(GATES));
        let bias = Fill::Blocks(vec![0.0, self.forget_bias.get(), 0.0, 0.0]);
        Ok(Signature::output(inputs.shape(X).with_last(units), Dependence::Past)
            .port(H0, Dependence::StartOnly)
            .port(C0, Dependence::StartOnly)
            .weights("wx", [inputs.dim("Inputs"), wide], Fill::RandomBlocks(self.init, GATES))
            .weights("wh", [units, wide], Fill::RandomBlocks(self.recurrent_init, GATES))
            .bias("b", [wide], bias))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(LstmRecurrence::of(Part::Whole, memory))
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        match (form.part, form.weights) {
            (Part::Input, _) => Some(lower_input(form, GATES, memory)),
            (Part::Recurrence, WeightOrder::Stored) => Some(
                Lowered::new(LstmRecurrence::of(Part::Recurrence, memory))
                    .facts(recurrence_facts(&[H0, C0]))
                    .indexed(X),
            ),
            (Part::Recurrence, WeightOrder::PanelsBothWays) => {
                Some(Recurrence::lower(LstmCell, memory).facts(recurrence_facts(&[H0, C0])))
            }
            _ => None,
        }
    }
}

/// The recurrence over time and at one step.
#[derive(Debug)]
struct LstmRecurrence {
    input: InputPart,
    wh: Weight,
    /// The gates, h and c before each step, tanh(c).
    gates: Saved,
    h_before: Saved,
    c_before: Saved,
    tanh_c: Saved,
    /// h and c, or their gradients; h wh; the transpose of wh.
    h: Scratch,
    c: Scratch,
    recurrent: Scratch,
    wh_t: Scratch,
    carried_h: State,
    carried_c: State,
}

impl LstmRecurrence {
    fn of(part: Part, memory: &mut Memory<'_>) -> Self {
        let over_time = memory.output().clone();
        let units = over_time.last();
        let (now, wide) = (Shape::new([over_time[0], units]), units.times(GATES));
        LstmRecurrence {
            input: InputPart::of(part, memory),
            wh: memory.weight("wh"),
            gates: memory.saved(over_time.with_last(wide)),
            h_before: memory.saved(over_time.clone()),
            c_before: memory.saved(over_time.clone()),
            tanh_c: memory.saved(over_time.clone()),
            h: memory.scratch(now.clone()),
            c: memory.scratch(now.clone()),
            recurrent: memory.scratch(now.with_last(wide)),
            wh_t: memory.scratch([wide, units]),
            carried_h: memory.state(now.clone()),
            carried_c: memory.state(now),
        }
    }
}

impl<T: Scalar> Kernel<T> for LstmRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.input.forward(cx, self.gates);
        for (carried, port) in [(self.h, H0), (self.c, C0)] {
            start(&mut cx.scratch[carried], cx.inputs.get(port));
        }
        self.advance(cx);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        self.input.forward(&mut cx.forward, self.gates);
        let carried = [(self.h, self.carried_h, H0), (self.c, self.carried_c, C0)];
        for (now, state, port) in carried {
            let before =
                if cx.first { cx.forward.inputs.get(port) } else { Some(&cx.state[state]) };
            start(&mut cx.forward.scratch[now], before);
        }
        self.advance(&mut cx.forward);
        for (now, state, _) in carried {
            start(&mut cx.state[state], Some(&cx.forward.scratch[now]));
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.go_back(cx);
        self.input.backward(cx, self.gates);
    }
}

impl LstmRecurrence {
    /// Runs over time from the carried h and c on, which it leaves at the last step's. Finds in the gates' place what the
    /// input adds to their sums.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let saved = [self.gates, self.h_before, self.c_before, self.tanh_c];
        let [gates, h_before, c_before, tanh_c] = cx.saved.each(saved);
        let [h, c, recurrent] = cx.scratch.each([self.h, self.c, self.recurrent]);
        let y = &mut cx.outputs[0];
        let sequences = Sequences::of(y, cx.sequences);
        for t in 0..sequences.steps() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            product(h.rows(), cx.parameters[self.wh].rows(), recurrent.rows_mut());
            let sums = rows_at(recurrent, alive).zip(rows_at_mut(gates, rows));
            let before = rows_at_mut(h_before, rows).zip(rows_at_mut(c_before, rows));
            let after = rows_at_mut(h, alive).zip(rows_at_mut(c, alive));
            let kept = rows_at_mut(tanh_c, rows).zip(rows_at_mut(y, rows));
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
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let saved = [self.gates, self.h_before, self.c_before, self.tanh_c];
        let [gates, h_before, c_before, tanh_c] = cx.saved.each(saved);
        let [dh, dc, wh_t] = cx.scratch.each([self.h, self.c, self.wh_t]);
        let dy = &cx.output_gradients[0];
        let sequences = Sequences::of(dy, cx.sequences);
        transpose(&cx.parameters[self.wh], wh_t);
        dh.fill(T::zero());
        dc.fill(T::zero());
        for t in (0..sequences.steps()).rev() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            let carried = rows_at_mut(dh, alive).zip(rows_at_mut(dc, alive));
            let memory = rows_at(c_before, rows).zip(rows_at(tanh_c, rows));
            let sums = rows_at(dy, rows).zip(rows_at_mut(gates, rows));
            for (((dh, dc), (c_before, tanh_c)), (dy, gates)) in carried.zip(memory).zip(sums) {
                dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
                cell_gradient(gates, c_before, tanh_c, dh, dc);
            }
            let (dh, _) = dh.rows_mut().split_at(Side(0), alive.count);
            product(matrix_at(gates, rows), wh_t.rows(), dh);
        }
        add_start_gradient(dh, cx.input_gradients.get(H0));
        add_start_gradient(dc, cx.input_gradients.get(C0));
        let dwh = &mut cx.parameter_gradients[self.wh];
        add_recurrent_gradient(h_before, gates.rows(), dwh.rows_mut());
    }
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
