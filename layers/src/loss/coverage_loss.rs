//! An objective for attention: every region is looked at about once.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Saved, Scalar, Scratch, Sequences, Shape, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objective::within_range;
use crate::counted::{self, Positions};
use crate::elementwise::rows_a_piece;
use crate::reduce;

/// An objective for attention: over a sentence, each region's weights add up to about 1.
///
/// ```text
/// loss = (1 / N) (sum over n and i of (1 - (sum over counted t of weights[n, t, i]))^2)
/// ```
///
/// N is the number of sequences. Added to the loss of the words, it keeps an attention from looking at one region alone:
/// `WeightedSum` adds them. Xu et al., "Show, Attend and Tell", 2015, section 4.2.1, "doubly stochastic attention".
///
/// # Shapes
/// - `weights`: `[Batch, Time, Regions]`, such as the output `weights` of an attention
/// - `targets`: indices, `[Batch, Time]`; a position counts where they are not `ignore`
/// - `mask`, optional: numbers, `[Batch, Time]`; a position counts where it is not 0. When it is wired, it alone decides,
///   and `ignore` is not looked at. It gets no gradient
/// - output: a single number, `[]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CoverageLoss {
    /// The target whose positions do not count, such as 0 where 0 fills up short sequences; `None` counts all.
    pub ignore: Option<u32>,
}

impl Default for CoverageLoss {
    /// Vocabularies begin with the word that fills up short captions.
    fn default() -> Self {
        CoverageLoss { ignore: Some(0) }
    }
}

const WEIGHTS: usize = 0;

#[typetag::serde]
impl Layer for CoverageLoss {
    fn ports(&self) -> Vec<Port> {
        let positions = [Axis::BATCH, Axis::TIME];
        vec![
            Port::real("weights", [Axis::BATCH, Axis::TIME, Axis::Any("Regions")]),
            Port::tokens("targets", positions, Axis::Each("Vocabulary")),
            Port::real("mask", positions).optional(),
        ]
    }

    fn signature(&self, _: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let objective = counted::objective(self.ignore);
        Ok(Signature::output(Shape::scalar(), Dependence::Whole).meaning(objective))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let batch = memory.input(WEIGHTS)[0];
        let missing = memory.saved([batch, memory.inputs().dim("Regions")]);
        let losses = memory.scratch([batch]);
        Lowered::new(CoverageKernel { ignore: self.ignore, missing, losses })
    }
}

/// The objective; `missing` holds 1 less the sum of weights, of each region of each sequence.
#[derive(Debug)]
struct CoverageKernel {
    ignore: Option<u32>,
    missing: Saved,
    losses: Scratch,
}

impl<T: Scalar> Kernel<T> for CoverageKernel {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let weights = &cx.inputs[WEIGHTS];
        let (regions, sequences) = (weights.rows().ncols(), Sequences::of(weights, cx.sequences));
        let positions = Positions::of(&cx.inputs, self.ignore);
        let piece = rows_a_piece(weights.as_slice().len() / sequences.count());
        let missing = (cx.saved[self.missing].as_mut_slice(), piece * regions);
        let losses = (cx.scratch[self.losses].as_mut_slice(), piece);
        team::for_each_chunk_mut2(missing, losses, |at, missing, losses| {
            let each = missing.chunks_exact_mut(regions).zip(losses).zip(at * piece..);
            for ((missing, loss), sequence) in each {
                missing.fill(T::one());
                for row in sequences.rows_of(sequence).filter(|row| positions.counts(*row)) {
                    let weights = &weights.as_slice()[row * regions..][..regions];
                    missing.iter_mut().zip(weights).for_each(|(missing, &w)| *missing -= w);
                }
                *loss = within_range(reduce::sum_of(missing, |missing| missing * missing));
            }
        });
        let sum = reduce::sum(cx.scratch[self.losses].as_slice());
        cx.outputs[0].fill(within_range(sum / sequences.count() as f64));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let Some(gradient) = cx.input_gradients.get(WEIGHTS) else { return };
        let weights = &cx.inputs[WEIGHTS];
        let (regions, sequences) = (weights.rows().ncols(), Sequences::of(weights, cx.sequences));
        let positions = Positions::of(&cx.inputs, self.ignore);
        let by = cx.output_gradients[0].as_slice()[0] * T::of(-2.0 / sequences.count() as f64);
        for sequence in 0..sequences.count() {
            let missing = &cx.saved[self.missing].as_slice()[sequence * regions..][..regions];
            for row in sequences.rows_of(sequence).filter(|row| positions.counts(*row)) {
                let gradient = &mut gradient.as_mut_slice()[row * regions..][..regions];
                gradient.iter_mut().zip(missing).for_each(|(g, &missing)| *g += by * missing);
            }
        }
    }
}

register!(
    CoverageLoss in LAYER,
    example: "CoverageLoss()",
    checks: ["CoverageLoss()", "CoverageLoss(ignore: None)", "CoverageLoss(ignore: Some(1))"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::{LayerBench, Value};

    use super::*;
    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random, tokens};

    #[test]
    fn equals_the_formula_for_every_option() {
        for [n, t, regions, _] in SIZES {
            let weights = random::<f64>(&[n, t, regions], 1);
            let targets = tokens(&[n, t], 3, 2);
            let mask: Vec<f64> = (0..n * t).map(|at| [0.0, 0.5, -1.0][at % 3]).collect();
            for (options, ignore, wired) in [
                ("", Some(0), false),
                ("ignore: None", None, false),
                ("ignore: 1", Some(1), false),
                ("", Some(0), true),
            ] {
                let counts = |i: usize, s: usize| match wired {
                    true => mask[i * t + s] != 0.0,
                    false => Some(targets.as_slice()[i * t + s]) != ignore,
                };
                let missing = |i: usize, j: usize| {
                    let counted = (0..t).filter(|s| counts(i, *s));
                    1.0 - counted.map(|s| weights.view3()[[i, s, j]]).sum::<f64>()
                };
                let pairs = (0..n).flat_map(|i| (0..regions).map(move |j| (i, j)));
                let loss: f64 = pairs.map(|(i, j)| missing(i, j).powi(2)).sum::<f64>() / n as f64;
                let mut inputs: Vec<Value<f64>> =
                    vec![weights.clone().into(), targets.clone().into()];
                if wired {
                    inputs.push(array(&[n, t], &mask).into());
                }
                let mut bench = LayerBench::new(&format!("CoverageLoss({options})"), inputs);
                assert_near(&bench.forward(Mode::Eval), &array(&[], &[loss]));
                bench.backward(&array(&[], &[1.0]));
                let gradient = from_fn([n, t, regions], |[i, s, j]| match counts(i, s) {
                    true => -2.0 * missing(i, j) / n as f64,
                    false => 0.0,
                });
                assert_near(bench.input_gradient(WEIGHTS), &gradient);
                assert!(bench.gradient_error() < 1e-6);
            }
        }
    }

    #[test]
    fn regions_that_are_looked_at_once_cost_nothing() {
        let weights = array(&[1, 2, 2], &[0.25f32, 0.5, 0.75, 0.5]);
        let inputs = vec![weights.into(), array(&[1, 2], &[3, 4]).into()];
        let loss = LayerBench::new("CoverageLoss()", inputs).forward(Mode::Eval);
        assert_eq!(loss.as_slice(), [0.0]);
    }

    #[test]
    fn targets_of_another_shape_are_refused() {
        let node = r#"(name: "out", layer: CoverageLoss(), from: ["weights", "words"])"#;
        let error = graph(r#""weights": [Batch, Time, 4], "words": [Batch]"#, node).unwrap_err();
        assert!(error.contains("targets"), "{error}");
    }
}
