//! The plain recurrence.

use engine_core::context::Forward;
use engine_core::gemm::product;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, Shape,
    Step, math, register,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::recurrent::{
    add_recurrent_gradient, add_start_gradient, matrix_at, rows_at, rows_at_mut, start, transpose,
};
use crate::{affine, elementwise};

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
    fn squash<T: Scalar>(self, a: &mut [T]) {
        match self {
            Activation::Tanh => math::tanh(a),
            Activation::Relu => elementwise::relu(a),
        }
    }

    /// da = dh * the function's slope where its value is h.
    fn gradient<T: Scalar>(self, dh: &[T], h: &[T], da: &mut [T]) {
        let times = |slope: fn(T) -> T, da: &mut [T]| {
            da.iter_mut().zip(dh).zip(h).for_each(|((da, &dh), &h)| *da = dh * slope(h));
        };
        match self {
            Activation::Tanh => times(elementwise::tanh_slope, da),
            Activation::Relu => times(elementwise::relu_slope, da),
        }
    }
}

const X: usize = 0;
const H0: usize = 1;

const WX: usize = 0;
const WH: usize = 1;
const B: usize = 2;

/// Scratch: the state that is carried through time.
const H: usize = 0;

#[typetag::serde]
impl Layer for Rnn {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")]),
            Port::real("h0", [Axis::BATCH, self.units.into()]).optional(),
        ]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let units = self.units;
        let over_time = inputs.shape(X).with_last(units);
        let now = Shape::new([over_time[0], units]);
        Ok(LayerPlan::output(over_time.clone())
            .weights("wx", [inputs.dim("Inputs"), units], Fill::Random(self.init))
            .weights("wh", [units, units], Fill::Random(self.recurrent_init))
            .bias("b", [units], Fill::zero())
            .saved(over_time.clone())
            .scratch(now.clone())
            .scratch(now.clone())
            .scratch(over_time)
            .scratch([units, units])
            .state(now))
    }
}

impl<T: Scalar> Kernel<T> for Rnn {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        start(&mut cx.scratch[H], cx.inputs.get(H0));
        self.advance(cx);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let before = if cx.first { cx.forward.inputs.get(H0) } else { Some(&cx.state[H]) };
        start(&mut cx.forward.scratch[H], before);
        self.advance(&mut cx.forward);
        start(&mut cx.state[H], Some(&cx.forward.scratch[H]));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let [before] = &mut *cx.saved else { unreachable!("as planned") };
        let [dh, _, da, wh_t] = &mut *cx.scratch else { unreachable!("as planned") };
        let (h, dy) = (&cx.outputs[0], &cx.output_gradients[0]);
        let piece = elementwise::rows_a_piece(h.dim(2));
        transpose(&cx.parameters[WH], wh_t);
        dh.fill(T::zero());
        for t in (0..h.dim(1)).rev() {
            let rows = (rows_at(h, t), rows_at(dy, t), rows_at_mut(dh, 0), rows_at_mut(da, t));
            rows.into_par_iter().with_min_len(piece).for_each(|(h, dy, dh, da)| {
                dh.iter_mut().zip(dy).for_each(|(dh, &dy)| *dh += dy);
                self.activation.gradient(dh, h, da);
            });
            product(matrix_at(da, t), wh_t.rows(), dh.rows_mut());
        }
        add_start_gradient(dh, cx.input_gradients.get(H0));
        if let Some(dx) = cx.input_gradients.get(X) {
            affine::add_input_gradient(da, &cx.parameters[WX], dx.rows_mut());
        }
        let gradients = &mut cx.parameter_gradients;
        affine::add_weight_gradient(cx.inputs[X].rows(), da, &mut gradients[WX]);
        add_recurrent_gradient(before, da.rows(), gradients[WH].rows_mut());
        affine::add_bias_gradient(da, &mut gradients[B]);
    }
}

impl Rnn {
    /// Runs over the time of the input from the carried state on, which it leaves at the last step's.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let [before] = &mut *cx.saved else { unreachable!("as planned") };
        let [h, recurrent, _, _] = &mut *cx.scratch else { unreachable!("as planned") };
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let piece = elementwise::rows_a_piece(y.dim(2));
        affine::forward(x.rows(), &cx.parameters[WX], Some(&cx.parameters[B]), y);
        for t in 0..x.dim(1) {
            product(h.rows(), cx.parameters[WH].rows(), recurrent.rows_mut());
            let rows = (
                rows_at(recurrent, 0),
                rows_at_mut(before, t),
                rows_at_mut(h, 0),
                rows_at_mut(y, t),
            );
            rows.into_par_iter().with_min_len(piece).for_each(|(recurrent, before, h, y)| {
                before.copy_from_slice(h);
                y.iter_mut().zip(recurrent).for_each(|(a, &recurrent)| *a += recurrent);
                self.activation.squash(y);
                h.copy_from_slice(y);
            });
        }
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
