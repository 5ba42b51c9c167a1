//! Scores of words, from the vectors that stand for them.

use engine_core::field::Positive;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, GradientRequest, Kernel, Layer, Lowered, Memory,
    PlanError, Port, PortShapes, Scalar, Signature, Weight, register,
};
use engine_kernels::gemm::add_product;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::map;

/// Scores of words: the product of a row with each word's vector.
///
/// ```text
/// y[..] = x[..] w^T + b
/// ```
///
/// Row v of w is the vector of word v, as in `Embedding`. With `weights_of: "words"`, the name of an `Embedding`, both
/// use the same vectors, and only `b` is this layer's own. Press and Wolf, "Using the Output Embedding to Improve Language
/// Models", 2017.
///
/// # Shapes
/// - `x`: `[.., Inputs]`, whatever its dimensions before the last
/// - output: `[.., units]`
/// - parameters: `w` `[units, Inputs]`, `b` `[units]` unless `bias: false`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unembedding {
    /// How many words there are. By default the size that the data calls `Vocabulary`.
    #[serde(default = "vocabulary")]
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "super::with_bias")]
    pub bias: bool,
    /// How the first vectors are drawn, where they are not another node's; `b` starts at 0.
    #[serde(default = "small")]
    pub init: Init,
}

fn vocabulary() -> Dim {
    Dim::named("Vocabulary")
}

/// As the vectors of `Embedding` start.
fn small() -> Init {
    Init::Normal(Positive::constant(0.01))
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Unembedding {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Inputs")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let output = inputs.shape(X).with_last(self.units);
        Ok(Signature::output(output, Dependence::Row)
            .weights("w", [self.units, inputs.dim("Inputs")], Fill::Random(self.init))
            .bias_if(self.bias, "b", [self.units]))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let (w, b) = (memory.weight("w"), memory.weight_if(self.bias, "b"));
        Lowered::new(TransposedMap { w, b }).separable()
    }
}

/// x w^T + b over the rows of the first port.
#[derive(Debug)]
struct TransposedMap {
    w: Weight,
    b: Option<Weight>,
}

impl<T: Scalar> Kernel<T> for TransposedMap {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let b = self.b.map(|b| &cx.parameters[b]);
        let w = cx.parameters[self.w].rows().reversed_axes();
        map::forward_by(cx.inputs[X].rows(), w, b, &mut cx.outputs[0]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (dy, x) = (&cx.output_gradients[0], &cx.inputs[X]);
        if let Some(dx) = cx.input_gradients.get(X) {
            add_product(dy.rows(), cx.parameters[self.w].rows(), dx.rows_mut());
        }
        if cx.requested == GradientRequest::Inputs {
            return;
        }
        let dw = &mut cx.parameter_gradients[self.w];
        add_product(dy.rows().reversed_axes(), x.rows(), dw.rows_mut());
        if let Some(b) = self.b {
            map::add_bias_gradient(dy, &mut cx.parameter_gradients[b]);
        }
    }
}

register!(
    Unembedding in LAYER,
    example: "Unembedding()",
    checks: [
        "Unembedding(units: Units)",
        "Unembedding(units: Units, bias: false)",
        "Unembedding(units: Units, init: Xavier)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::engine::gradient_check;
    use engine_core::testing::{LayerBench, engine};
    use engine_core::{Batch, Mode, Sizes};

    use crate::samples::{SIZES, assert_near, from_fn, random, tokens};

    #[test]
    fn equals_naive_sums() {
        for [n, t, d, m] in SIZES {
            let (x, dy) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, m], 2));
            let layer = format!("Unembedding(units: {m})");
            let mut bench = LayerBench::new(&layer, vec![x.clone().into()]);
            *bench.parameter_mut("w") = random(&[m, d], 3);
            *bench.parameter_mut("b") = random(&[m], 4);
            let (w, b) = (bench.parameter("w").rows().to_owned(), bench.parameter("b").clone());
            let (xs, dys) = (x.view3(), dy.view3());

            let y = bench.forward(Mode::Eval);
            let expected = from_fn([n, t, m], |[i, s, j]| {
                (0..d).map(|k| xs[[i, s, k]] * w[[j, k]]).sum::<f64>() + b.as_slice()[j]
            });
            assert_near(&y, &expected);
            assert_near(&bench.steps(), &y);

            bench.backward(&dy);
            let dx = from_fn([n, t, d], |[i, s, k]| {
                (0..m).map(|j| dys[[i, s, j]] * w[[j, k]]).sum::<f64>()
            });
            assert_near(bench.input_gradient(0), &dx);
            let over_steps = |term: &dyn Fn(usize, usize) -> f64| -> f64 {
                (0..n).map(|i| (0..t).map(|s| term(i, s)).sum::<f64>()).sum()
            };
            let dw = from_fn([m, d], |[j, k]| over_steps(&|i, s| xs[[i, s, k]] * dys[[i, s, j]]));
            assert_near(bench.parameter_gradient("w"), &dw);
            let db = from_fn([m], |[j]| over_steps(&|i, s| dys[[i, s, j]]));
            assert_near(bench.parameter_gradient("b"), &db);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn vectors_that_are_read_and_scored_get_the_gradients_of_both() {
        let text = r#"Graph(
            inputs: {"words_in": [Batch, Time], "words_out": [Batch, Time]},
            nodes: [
                (name: "words", layer: Embedding(units: 5), from: ["words_in"]),
                (name: "bent", layer: Tanh(), from: ["words"]),
                (name: "scores", layer: Unembedding(), from: ["bent"], weights_of: "words"),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
            outputs: {"loss": "loss"},
        )"#;
        let sizes: Sizes = [("Vocabulary", 7)].into_iter().collect();
        let mut engine = engine::<f64>(text, sizes).unwrap();
        let names: Vec<_> = engine.plan().parameters.iter().map(|p| p.name.clone()).collect();
        assert_eq!(names, ["words.w", "scores.b"]);
        for (parameter, seed) in engine.parameters_mut().iter_mut().zip(1..) {
            *parameter = random(parameter.shape(), seed);
        }
        let mut batch = Batch::new();
        for (name, seed) in [("words_in", 3), ("words_out", 4)] {
            let words = tokens(&[3, 4], 7, seed);
            batch.tokens_mut(name, &[3, 4]).copy_from_slice(words.as_slice());
        }
        let mode = Mode::Train { iteration: 0 };
        let worst = gradient_check(&mut engine, &batch, mode, 60, 1).unwrap().unwrap();
        assert!(worst.relative_error < 1e-8, "{worst}");
    }
}
