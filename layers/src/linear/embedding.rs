//! A learnt vector for each word.

use engine_core::field::Positive;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Meaning, Memory, PlanError,
    Port, PortShapes, Scalar, Signature, Weight, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A learnt vector for each word.
///
/// ```text
/// y[n, t] = w[tokens[n, t]]        0 where the token is `zero`
/// ```
///
/// # Shapes
/// - `tokens`: indices below `vocabulary`, `[Batch, Time]`
/// - output: `[Batch, Time, units]`
/// - parameters: `w` `[vocabulary, units]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Embedding {
    /// The length of a vector.
    pub units: Dim,
    /// How many words there are. By default the size that the data calls `Vocabulary`.
    #[serde(default = "vocabulary")]
    pub vocabulary: Dim,
    /// How the first vectors are drawn.
    #[serde(default = "small")]
    pub init: Init,
    /// The word whose vector is 0 and stays so, such as what fills up short sentences. By default there is none.
    #[serde(default)]
    pub zero: Option<u32>,
}

fn vocabulary() -> Dim {
    Dim::named("Vocabulary")
}

/// A word's vector is a row by itself, so the number of rows says nothing about how long it should be.
fn small() -> Init {
    Init::Normal(Positive::constant(0.01))
}

const TOKENS: usize = 0;

#[typetag::serde]
impl Layer for Embedding {
    fn ports(&self) -> Vec<Port> {
        vec![Port::tokens("tokens", [Axis::BATCH, Axis::TIME], self.vocabulary.into())]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let tokens = inputs.shape(TOKENS);
        Ok(Signature::output([tokens[0], tokens[1], self.units], Dependence::Item)
            .weights("w", [self.vocabulary, self.units], Fill::Random(self.init))
            .meaning(Meaning::Lookup))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(Lookup { w: memory.weight("w"), zero: self.zero })
    }
}

/// Rows of w, one for each index at the first port; 0 where the index is `zero`.
#[derive(Debug)]
struct Lookup {
    w: Weight,
    zero: Option<u32>,
}

impl<T: Scalar> Kernel<T> for Lookup {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let w = &cx.parameters[self.w];
        let (w, units) = (w.as_slice(), w.dim(1));
        let words = cx.inputs.tokens(TOKENS);
        let vectors = cx.outputs[0].as_mut_slice().chunks_exact_mut(units);
        for (vector, &word) in vectors.zip(words) {
            if Some(word) == self.zero {
                vector.fill(T::zero());
                continue;
            }
            vector.copy_from_slice(&w[word as usize * units..][..units]);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dw = &mut cx.parameter_gradients[self.w];
        let units = dw.dim(1);
        let dw = dw.as_mut_slice();
        let words = cx.inputs.tokens(TOKENS);
        // One position after the other: a word that stands at several is summed in one order on any machine.
        let positions = cx.output_gradients[0].as_slice().chunks_exact(units).zip(words);
        for (dy, &word) in positions.filter(|(_, word)| Some(**word) != self.zero) {
            let dw = &mut dw[word as usize * units..][..units];
            dw.iter_mut().zip(dy).for_each(|(dw, &dy)| *dw += dy);
        }
    }
}

register!(
    Embedding in LAYER,
    example: "Embedding(units: 256)",
    checks: [
        "Embedding(units: Units)",
        "Embedding(units: Units, vocabulary: 7, init: Normal(1))",
        "Embedding(units: Units, vocabulary: 3, zero: Some(0))",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, from_fn, random, tokens};

    fn bench(words: &engine_core::Tensor<u32>, units: usize, vocabulary: usize) -> LayerBench<f64> {
        let layer = format!("Embedding(units: {units}, vocabulary: {vocabulary})");
        LayerBench::new(&layer, vec![words.clone().into()])
    }

    #[test]
    fn looks_up_rows_and_sums_their_gradients() {
        for [n, t, v, m] in SIZES {
            let (words, dy) = (tokens(&[n, t], v, 1), random::<f64>(&[n, t, m], 2));
            let mut bench = bench(&words, m, v);
            let (w, at) = (bench.parameter("w").rows().to_owned(), words.rows());

            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, t, m], |[i, s, j]| w[[at[[i, s]] as usize, j]]));
            assert_eq!(bench.steps(), y);

            bench.backward(&dy);
            let dw = from_fn([v, m], |[word, j]| {
                let all = at.indexed_iter().filter(|(_, w)| **w as usize == word);
                all.map(|((i, s), _)| dy.view3()[[i, s, j]]).sum()
            });
            assert_near(bench.parameter_gradient("w"), &dw);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn words_that_do_not_occur_get_no_gradient() {
        let mut bench = bench(&array(&[1, 3], &[2, 2, 0]), 1, 4);
        bench.forward(Mode::Eval);
        bench.backward(&array(&[1, 3, 1], &[1.0, 10.0, 100.0]));
        assert_eq!(bench.parameter_gradient("w").as_slice(), [100.0, 0.0, 11.0, 0.0]);
    }

    #[test]
    fn the_word_that_is_0_has_no_gradient() {
        let layer = "Embedding(units: 1, vocabulary: 4, zero: Some(2))";
        let mut bench = LayerBench::<f64>::new(layer, vec![array(&[1, 3], &[2, 2, 0]).into()]);
        *bench.parameter_mut("w") = array(&[4, 1], &[5.0, 6.0, 7.0, 8.0]);
        assert_eq!(bench.forward(Mode::Eval).as_slice(), [0.0, 0.0, 5.0]);
        assert_eq!(bench.steps().as_slice(), [0.0, 0.0, 5.0]);
        bench.backward(&array(&[1, 3, 1], &[1.0, 10.0, 100.0]));
        assert_eq!(bench.parameter_gradient("w").as_slice(), [100.0, 0.0, 0.0, 0.0]);
        assert!(bench.gradient_error() < 1e-8);
    }

    #[test]
    fn vectors_start_small() {
        let bench = bench(&array(&[1, 1], &[0]), 50, 100);
        let w = bench.parameter("w").as_slice();
        let deviation = (w.iter().map(|w| w * w).sum::<f64>() / w.len() as f64).sqrt();
        assert!((deviation - 0.01).abs() < 5e-4, "{deviation}");
    }
}
