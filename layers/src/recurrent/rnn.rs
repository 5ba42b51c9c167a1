//! The plain recurrence, over time and one step of it.

use engine_core::init::Init;
use engine_core::registry::LAYER;
use engine_core::{Dim, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Before, Cell, Gradients, Lane, Recurrent, State};
use crate::recurrent_layer;

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

/// What squashes a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Activation {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// The positive part; best with `recurrent_init: Orthogonal`, for nothing bounds it.
    Relu,
}

recurrent_layer!(Rnn);
recurrent_layer!(RnnCell);

impl Rnn {
    fn recurrent(&self) -> Recurrent<Activation, 1> {
        Recurrent::over_time(self.activation, self.units, self.init, self.recurrent_init)
    }
}

impl RnnCell {
    fn recurrent(&self) -> Recurrent<Activation, 1> {
        let RnnCell { units, activation, bias, init, recurrent_init } = *self;
        Recurrent::over_time(activation, units, init, recurrent_init).one_step().bias_if(bias)
    }
}

impl Cell<1> for Activation {
    #[inline(always)]
    fn forward<V: Lane>(self, [a]: [V; 1], _: Before<V>) -> ([V; 1], State<V>) {
        let h = match self {
            Activation::Tanh => a.tanh(),
            Activation::Relu => a.relu(),
        };
        ([a], State::of(h))
    }

    #[inline(always)]
    fn backward<V: Lane>(
        self,
        _: [V; 1],
        _: Before<V>,
        after: State<V>,
        gradient: State<V>,
    ) -> Gradients<V, 1> {
        let slope = match self {
            Activation::Tanh => after.h.tanh_slope(),
            Activation::Relu => after.h.relu_slope(),
        };
        Gradients::of([gradient.h * slope])
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
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use crate::samples::cells::{
        OneStep, assert_forms, assert_one_step, assert_packed, assert_without_bias,
    };
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

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", activation: Relu"] {
            assert_one_step(&OneStep { sequence: "Rnn", cell: "RnnCell", options, carries: &[""] });
        }
    }

    #[test]
    fn a_cell_without_b_is_one_whose_b_is_0() {
        assert_without_bias("RnnCell", "", &[""], &["b"]);
    }
    #[test]
    fn packed_weights_compute_the_same() {
        assert_packed("RnnCell", "", 1, &["b"]);
    }

    #[test]
    fn every_form_computes_the_same() {
        assert_forms("Rnn", "", 1);
        assert_forms("Rnn", ", activation: Relu", 1);
    }
}
