//! The long short-term memory, over time and one step of it.

use engine_core::field::Finite;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Dim, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Before, Cell, Gradients, Lane, Recurrent, State};
use crate::recurrent_layer;

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
    #[serde(default = "none")]
    pub forget_bias: Finite,
    /// How the first `wx` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub init: Init,
    /// How the first `wh` is drawn, each gate's block as a matrix of its own.
    #[serde(default)]
    pub recurrent_init: Init,
}

fn none() -> Finite {
    Finite::constant(0.0)
}

recurrent_layer!(Lstm);
recurrent_layer!(LstmCell);

impl Lstm {
    fn recurrent(&self) -> Recurrent<Gates, 4> {
        Recurrent::over_time(Gates, self.units, self.init, self.recurrent_init)
            .bias(Fill::Blocks(vec![0.0, self.forget_bias.get(), 0.0, 0.0]))
    }
}

impl LstmCell {
    fn recurrent(&self) -> Recurrent<Gates, 4> {
        let LstmCell { units, bias, forget_bias, init, recurrent_init } = *self;
        let lstm = Lstm { units, init, recurrent_init, forget_bias };
        lstm.recurrent().one_step().bias_if(bias)
    }
}

/// The mathematics of a step, gates in the order i, f, o, g.
#[derive(Debug, Clone, Copy)]
struct Gates;

impl Cell<4> for Gates {
    const HAS_CELL_STATE: bool = true;

    #[inline(always)]
    fn forward<V: Lane>(self, [i, f, o, g]: [V; 4], before: Before<V>) -> ([V; 4], State<V>) {
        let (i, f, o, g) = (i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh());
        let c = i.mul_add(g, f * before.c);
        ([i, f, o, g], State { h: o * c.tanh(), c })
    }

    #[inline(always)]
    fn backward<V: Lane>(
        self,
        [i, f, o, g]: [V; 4],
        before: Before<V>,
        after: State<V>,
        gradient: State<V>,
    ) -> Gradients<V, 4> {
        let (dh, tanh_c) = (gradient.h, after.c.tanh());
        let dc = (dh * o).mul_add(tanh_c.tanh_slope(), gradient.c);
        let gates = [
            dc * g * i.sigmoid_slope(),
            dc * before.c * f.sigmoid_slope(),
            dh * tanh_c * o.sigmoid_slope(),
            dc * i * g.tanh_slope(),
        ];
        Gradients { c: dc * f, ..Gradients::of(gates) }
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
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use crate::samples::cells::{
        OneStep, assert_forms, assert_one_step, assert_packed, assert_without_bias,
    };
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
        assert!(bench.input_gradient(0).as_slice().iter().all(|g| g.is_finite()));
    }

    #[test]
    fn steps_are_those_of_the_sequence_layer() {
        for options in ["", ", forget_bias: 1"] {
            let carries = &["", ".c"];
            assert_one_step(&OneStep { sequence: "Lstm", cell: "LstmCell", options, carries });
        }
    }

    #[test]
    fn a_cell_without_b_is_one_whose_b_is_0() {
        assert_without_bias("LstmCell", "", &["", ".c"], &["b"]);
    }

    #[test]
    fn packed_weights_compute_the_same() {
        assert_packed("LstmCell", "", 2, &["b"]);
    }

    #[test]
    fn every_form_computes_the_same() {
        assert_forms("Lstm", "", 2);
    }
}
