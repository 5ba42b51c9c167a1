//! What a sequence has at its end.

use engine_core::layer::context::Inputs;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PackedSequence, PlanError,
    Port, PortShapes, Scalar, Sequences, Shape, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::counted::{self, Positions};

/// What a sequence has at its last word: the state that has read all of a sentence.
///
/// ```text
/// y[n] = x[n, e]        e: the last position whose word is not ignore
/// ```
///
/// A sequence without such a position ends at its first.
///
/// # Shapes
/// - `x`: `[Batch, Time, ..]`
/// - `words`: indices, `[Batch, Time]`
/// - `mask`, optional: numbers, `[Batch, Time]`; a position counts where it is not 0. When it is wired, it alone decides,
///   and `ignore` is not looked at. It gets no gradient
/// - output: `[Batch, ..]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AtEnd {
    /// The word that fills up short sequences; `None` where there is none, and every sequence ends at its last position.
    pub ignore: Option<u32>,
}

impl Default for AtEnd {
    /// Vocabularies begin with the word that fills up short captions.
    fn default() -> Self {
        AtEnd { ignore: Some(0) }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for AtEnd {
    fn ports(&self) -> Vec<Port> {
        let positions = [Axis::BATCH, Axis::TIME];
        vec![
            Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Rest]),
            Port::tokens("words", positions, Axis::Each("Vocabulary")),
            Port::real("mask", positions).optional(),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X).dims();
        let output = Shape::new([x[0]].into_iter().chain(x[2..].iter().copied()));
        Ok(Signature::output(output, Dependence::Whole).meaning(counted::objective(self.ignore)))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl AtEnd {
    /// For each sequence the row of its last position that counts.
    fn ends<'a, T: Scalar>(
        &self,
        inputs: &Inputs<'a, T>,
        packed: Option<&'a PackedSequence>,
    ) -> impl Iterator<Item = usize> {
        let sequences = Sequences::of(&inputs[X], packed);
        let positions = Positions::of(inputs, self.ignore);
        (0..sequences.count()).map(move |sequence| {
            let last = sequences.rows_of(sequence).rfind(|row| positions.counts(*row));
            last.or(sequences.rows_of(sequence).next()).unwrap_or(0)
        })
    }
}

impl<T: Scalar> Kernel<T> for AtEnd {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (cx.inputs[X].as_slice(), &mut cx.outputs[0]);
        let width = y.flat().ncols();
        let ends = self.ends(&cx.inputs, cx.sequences);
        for (y, end) in y.as_mut_slice().chunks_exact_mut(width).zip(ends) {
            y.copy_from_slice(&x[end * width..][..width]);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let width = dy.flat().ncols();
        let ends = self.ends(&cx.inputs, cx.sequences);
        for (dy, end) in dy.as_slice().chunks_exact(width).zip(ends) {
            let dx = &mut dx.as_mut_slice()[end * width..][..width];
            dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        }
    }
}

register!(
    AtEnd in LAYER,
    example: "AtEnd()",
    checks: ["AtEnd()", "AtEnd(ignore: None)", "AtEnd(ignore: Some(2))"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{array, from_fn, graph, random};

    #[test]
    fn takes_the_last_position_that_counts() {
        let x = random::<f64>(&[4, 3, 2], 1);
        let words = array(&[4, 3], &[5, 1, 0, 0, 0, 0, 1, 0, 2, 3, 0, 0]);
        let mask = array(&[4, 3], &[0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
        for (options, wired, ends) in [
            ("", false, [1, 0, 2, 0]),
            ("ignore: None", false, [2, 2, 2, 2]),
            ("ignore: 2", false, [2, 2, 1, 2]),
            ("", true, [2, 1, 0, 2]),
        ] {
            let mut inputs = vec![x.clone().into(), words.clone().into()];
            if wired {
                inputs.push(mask.clone().into());
            }
            let mut bench = LayerBench::new(&format!("AtEnd({options})"), inputs);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([4, 2], |[i, j]| x.view3()[[i, ends[i], j]]), "{options}");
            let dy = random::<f64>(&[4, 2], 2);
            bench.backward(&dy);
            let dx = from_fn([4, 3, 2], |[i, s, j]| match s == ends[i] {
                true => dy.rows()[[i, j]],
                false => 0.0,
            });
            assert_eq!(*bench.input_gradient(0), dx);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn words_of_another_shape_are_refused() {
        let node = r#"(name: "out", layer: AtEnd(), from: ["x", "words"])"#;
        let error = graph(r#""x": [Batch, Time, 4], "words": [Batch, 2]"#, node).unwrap_err();
        assert!(error.contains("words"), "{error}");
    }
}
