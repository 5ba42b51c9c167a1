//! The gated recurrent unit, over time and one step of it.

use engine_core::init::Init;
use engine_core::registry::LAYER;
use engine_core::{Dim, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Before, Candidate, Cell, Gradients, Lane, Recurrent, State};
use crate::recurrent_layer;

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

/// Where the reset gate works.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Reset {
    /// On the state, before the recurrent product.
    #[default]
    Before,
    /// On the recurrent product and a bias of its own.
    After,
}

recurrent_layer!(Gru);
recurrent_layer!(GruCell);

impl Gru {
    fn recurrent(&self) -> Recurrent<Reset, 3> {
        Recurrent::over_time(self.reset, self.units, self.init, self.recurrent_init)
    }
}

impl GruCell {
    fn recurrent(&self) -> Recurrent<Reset, 3> {
        let GruCell { units, reset, bias, init, recurrent_init } = *self;
        Recurrent::over_time(reset, units, init, recurrent_init).one_step().bias_if(bias)
    }
}

impl Cell<3> for Reset {
    fn candidate(self) -> Candidate {
        match self {
            Reset::Before => Candidate::Filtered,
            Reset::After => Candidate::Apart,
        }
    }

    #[inline(always)]
    fn forward<V: Lane>(self, [r, z, n]: [V; 3], before: Before<V>) -> ([V; 3], State<V>) {
        let z = z.sigmoid();
        let (r, n) = match self {
            Reset::Before => (r, n.tanh()),
            Reset::After => {
                let r = r.sigmoid();
                (r, r.mul_add(before.product, n).tanh())
            }
        };
        ([r, z, n], State::of(z.mul_add(before.h - n, n)))
    }

    #[inline(always)]
    fn backward<V: Lane>(
        self,
        [r, z, n]: [V; 3],
        before: Before<V>,
        _: State<V>,
        gradient: State<V>,
    ) -> Gradients<V, 3> {
        let dh = gradient.h;
        let dz = dh * (before.h - n) * z.sigmoid_slope();
        let dn = dh * (z.one() - z) * n.tanh_slope();
        let (dr, product) = match self {
            Reset::Before => (z.zero(), z.zero()),
            Reset::After => (dn * before.product * r.sigmoid_slope(), dn * r),
        };
        Gradients { h: dh * z, product, ..Gradients::of([dr, dz, dn]) }
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
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use super::*;
    use crate::samples::cells::{
        OneStep, assert_forms, assert_one_step, assert_packed, assert_without_bias,
    };
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

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", reset: After"] {
            assert_one_step(&OneStep { sequence: "Gru", cell: "GruCell", options, carries: &[""] });
        }
    }

    #[test]
    fn a_cell_without_biases_is_one_whose_biases_are_0() {
        assert_without_bias("GruCell", "", &[""], &["b"]);
        assert_without_bias("GruCell", ", reset: After", &[""], &["b", "bn"]);
    }
    #[test]
    fn packed_weights_compute_the_same() {
        assert_packed("GruCell", "", 1, &["b"]);
        assert_packed("GruCell", ", reset: After", 1, &["b", "bn"]);
    }

    #[test]
    fn every_form_computes_the_same() {
        assert_forms("Gru", "", 1);
        assert_forms("Gru", ", reset: After", 1);
    }
}
