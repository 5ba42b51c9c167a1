//! The plain recurrence.

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

use super::fused::{Recurrence, RnnCell};
use super::shared::{
    InputPart, X, add_recurrent_gradient, add_start_gradient, first, lower_input, matrix_at,
    recurrence_facts, rows_at, rows_at_mut, start, transpose,
};
use crate::elementwise;

/// A plain recurrence: each state is an affine map of the input and the state before, squashed.
///
/// ```text
/// h[t] = f(x[t] wx + h[t-1] wh + b)        f: tanh, or max(0, .)
/// ```
///
/// Elman, 1990.
///
/// # Shapes
/// - `x`: `[Batch, Time, Inputs]`
/// - `h0`, optional: the state before the first step, `[Batch, units]`; 0 when not wired
/// - output: h, `[Batch, Time, units]`
/// - parameters: `wx` `[Inputs, units]`, `wh` `[units, units]`, `b` `[units]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rnn {
    /// How many numbers the state has.
    pub units: Dim,
    /// The function f.
    #[serde(default)]
    pub activation: Activation,
    /// How the first `wx` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn.
    #[serde(default)]
    pub recurrent_init: Init,
}

/// What squashes a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Activation {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// The positive part; best with `recurrent_init: Orthogonal`, for nothing bounds it.
    Relu,
}

impl Activation {
    /// Applies the function.
    pub(crate) fn squash<T: Scalar>(self, a: &mut [T]) {
        match self {
            Activation::Tanh => math::tanh(a),
            Activation::Relu => elementwise::relu(a),
        }
    }

    /// da = dh * the function's slope where its value is h.
    pub(crate) fn gradient<T: Scalar>(self, dh: &[T], h: &[T], da: &mut [T]) {
        let times = |slope: fn(T) -> T, da: &mut [T]| {
            da.iter_mut().zip(dh).zip(h).for_each(|((da, &dh), &h)| *da = dh * slope(h));
        };
        match self {
            Activation::Tanh => times(elementwise::tanh_slope, da),
            Activation::Relu => times(elementwise::relu_slope, da),
        }
    }
}

const H0: usize = 1;

#[typetag::serde]
impl Layer for Rnn {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, self.units.into()]).optional(),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let units = self.units;
        Ok(Signature::output(inputs.shape(X).with_last(units), Dependence::Past)
            .port(H0, Dependence::StartOnly)
            .weights("wx", [inputs.dim("Inputs"), units], Fill::Random(self.init))
            .weights("wh", [units, units], Fill::Random(self.recurrent_init))
            .bias("b", [units], Fill::zero()))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(RnnRecurrence::of(self.activation, Part::Whole, memory))
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let facts = recurrence_facts(&[H0]);
        match (form.part, form.weights) {
            (Part::Input, _) => Some(lower_input(form, 1, memory)),
            (Part::Recurrence, WeightOrder::Stored) => {
                let recurrence = RnnRecurrence::of(self.activation, Part::Recurrence, memory);
                Some(Lowered::new(recurrence).facts(facts).indexed(X))
            }
            (Part::Recurrence, WeightOrder::PanelsBothWays) => {
                Some(Recurrence::lower(RnnCell(self.activation), memory).facts(facts))
            }
            _ => None,
        }
    }
}

/// The recurrence over time and at one step.
#[derive(Debug)]
struct RnnRecurrence {
    f: Activation,
    input: InputPart,
    wh: Weight,
    /// The sums and their gradients, h before each step.
    sums: Saved,
    before: Saved,
    /// h or its gradient; h wh; the transpose of wh.
    h: Scratch,
    recurrent: Scratch,
    wh_t: Scratch,
    carried: State,
}

impl RnnRecurrence {
    fn of(f: Activation, part: Part, memory: &mut Memory<'_>) -> Self {
        let over_time = memory.output().clone();
        let units = over_time.last();
        let now = Shape::new([over_time[0], units]);
        RnnRecurrence {
            f,
            input: InputPart::of(part, memory),
            wh: memory.weight("wh"),
            sums: memory.saved(over_time.clone()),
            before: memory.saved(over_time),
            h: memory.scratch(now.clone()),
            recurrent: memory.scratch(now.clone()),
            wh_t: memory.scratch([units, units]),
            carried: memory.state(now),
        }
    }

    /// Runs over time from the carried state on, which it leaves at the last step's.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let [sums, before] = cx.saved.each([self.sums, self.before]);
        let [h, recurrent] = cx.scratch.each([self.h, self.recurrent]);
        let y = &mut cx.outputs[0];
        let sequences = Sequences::of(y, cx.sequences);
        for t in 0..sequences.steps() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            product(h.rows(), cx.parameters[self.wh].rows(), recurrent.rows_mut());
            let read = rows_at(recurrent, alive).zip(rows_at(sums, rows));
            let write =
                rows_at_mut(before, rows).zip(rows_at_mut(h, alive)).zip(rows_at_mut(y, rows));
            for ((recurrent, sums), ((before, h), y)) in read.zip(write) {
                before.copy_from_slice(h);
                y.iter_mut().zip(sums).zip(recurrent).for_each(|((y, &a), &b)| *y = a + b);
                self.f.squash(y);
                h.copy_from_slice(y);
            }
        }
    }

    /// Goes back through time: leaves the gradients of the sums in their place, and adds those of `wh` and of where the
    /// state starts.
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [da, before] = cx.saved.each([self.sums, self.before]);
        let [dh, wh_t] = cx.scratch.each([self.h, self.wh_t]);
        let (h, dy) = (&cx.outputs[0], &cx.output_gradients[0]);
        let sequences = Sequences::of(dy, cx.sequences);
        transpose(&cx.parameters[self.wh], wh_t);
        dh.fill(T::zero());
        for t in (0..sequences.steps()).rev() {
            let (rows, alive) = (sequences.at(t), first(sequences.alive(t)));
            let read = rows_at(h, rows).zip(rows_at(dy, rows));
            for ((h, dy), (dh, da)) in read.zip(rows_at_mut(dh, alive).zip(rows_at_mut(da, rows))) {
                dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
                self.f.gradient(dh, h, da);
            }
            let (dh, _) = dh.rows_mut().split_at(Side(0), alive.count);
            product(matrix_at(da, rows), wh_t.rows(), dh);
        }
        add_start_gradient(dh, cx.input_gradients.get(H0));
        let dwh = &mut cx.parameter_gradients[self.wh];
        add_recurrent_gradient(before, da.rows(), dwh.rows_mut());
    }
}

impl<T: Scalar> Kernel<T> for RnnRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.input.forward(cx, self.sums);
        start(&mut cx.scratch[self.h], cx.inputs.get(H0));
        self.advance(cx);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        self.input.forward(&mut cx.forward, self.sums);
        let before =
            if cx.first { cx.forward.inputs.get(H0) } else { Some(&cx.state[self.carried]) };
        start(&mut cx.forward.scratch[self.h], before);
        self.advance(&mut cx.forward);
        start(&mut cx.state[self.carried], Some(&cx.forward.scratch[self.h]));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.go_back(cx);
        self.input.backward(cx, self.sums);
    }
}

register!(
    Rnn in LAYER,
    example: "Rnn(units: 512)",
    checks: [
        "Rnn(units: Units)",
        "Rnn(units: Units, activation: Relu, recurrent_init: Orthogonal)",
        "Rnn(units: 3, init: Normal(0.5), recurrent_init: Xavier)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use crate::samples::{SIZES, array, assert_near, random};

    /// A bench over random inputs and biases; `h0` is wired if `started`.
    fn bench(layer: &str, [n, t, d, units]: [usize; 4], started: bool) -> LayerBench<f64> {
        let mut inputs: Vec<Value<f64>> = vec![random::<f64>(&[n, t, d], 1).into()];
        if started {
            inputs.push(random::<f64>(&[n, units], 2).into());
        }
        let mut bench = LayerBench::new(layer, inputs);
        // With these, no sum comes so close to 0 that finite differences step over the kink of `Relu`.
        *bench.parameter_mut("b") = random(&[units], 7);
        bench
    }

    /// The recurrence, one number after the other.
    fn naive(
        bench: &LayerBench<f64>,
        f: fn(f64) -> f64,
        sizes: [usize; 4],
        started: bool,
    ) -> Tensor<f64> {
        let [n, t, d, units] = sizes;
        let x = random::<f64>(&[n, t, d], 1);
        let start = if started { random(&[n, units], 2) } else { Tensor::zeros(&[n, units]) };
        let (wx, wh, b) = (bench.parameter("wx"), bench.parameter("wh"), bench.parameter("b"));
        let mut h = Tensor::zeros(&[n, t, units]);
        for i in 0..n {
            let mut before: Vec<f64> = start.rows().row(i).to_vec();
            for s in 0..t {
                let mut now = vec![0.0; units];
                for (u, now) in now.iter_mut().enumerate() {
                    let mut a = b.as_slice()[u];
                    a += (0..d).map(|k| x.view3()[[i, s, k]] * wx.rows()[[k, u]]).sum::<f64>();
                    a += (0..units).map(|k| before[k] * wh.rows()[[k, u]]).sum::<f64>();
                    *now = f(a);
                    h.view3_mut()[[i, s, u]] = *now;
                }
                before = now;
            }
        }
        h
    }

    #[test]
    fn equals_the_naive_recurrence() {
        for sizes in SIZES {
            for started in [true, false] {
                for (f, name) in [(f64::tanh as fn(f64) -> f64, "Tanh"), (|a| a.max(0.0), "Relu")] {
                    let layer = format!("Rnn(units: {}, activation: {name})", sizes[3]);
                    println!("{layer} {sizes:?} {started}");
                    let mut bench = bench(&layer, sizes, started);
                    let h = bench.forward(Mode::Eval);
                    assert_near(&h, &naive(&bench, f, sizes, started));
                    assert_near(&bench.steps(), &h);
                    assert!(bench.gradient_error() < 1e-6);
                }
            }
        }
    }

    #[test]
    fn gradients_of_two_passes_add_up() {
        let sizes = [3, 4, 2, 5];
        let mut bench = bench("Rnn(units: 5)", sizes, true);
        let dy = random(&[3, 4, 5], 4);
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
    fn a_start_of_another_width_is_refused() {
        let (x, h0) = (random::<f64>(&[2, 3, 4], 1), random::<f64>(&[2, 6], 2));
        assert!(LayerBench::try_new("Rnn(units: 5)", vec![x.into(), h0.into()]).is_err());
    }
}
