//! The objective: cross entropy of a softmax.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Form, Forward, Kernel, Layer, Lowered, Memory, Part, PlanError,
    Port, PortShapes, Saved, Scalar, Scratch, Sequences, Shape, Signature, WeightOrder, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine_loss::AffineLoss;
pub use super::objective::Per;
use super::objective::{Objective, within_range};
use crate::counted::{self, TARGETS};
use crate::elementwise::rows_a_piece;
use crate::reduce::softmax;

/// The objective: how surprised the scores are by the targets, as cross entropy of a softmax.
///
/// ```text
/// p = exp(scores) / (sum over classes of exp(scores))
/// loss = (sum over counted positions of -log p[target]) / N
/// ```
///
/// N is the number of sequences or of counted positions, see `per`. For classes of whole examples, where 0 is a class like
/// any other, there is `CrossEntropy`.
///
/// # Shapes
/// - `scores`: `[Batch, .., Classes]`, with or without `Time`
/// - `targets`: indices below `Classes`, `[Batch, ..]`
/// - `mask`, optional: numbers, `[Batch, ..]`; a position counts where it is not 0. When it is wired, it alone decides, and
///   `ignore` is not looked at. It gets no gradient
/// - output: a single number, `[]`
///
/// The loss is finite for any finite scores: it ends at the largest number that the precision has. Where no position
/// counts, it is 0, and so is its gradient.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SoftmaxLoss {
    /// The target whose positions do not count, such as 0 where 0 fills up short sequences; `None` counts all.
    pub ignore: Option<u32>,
    /// What the sum is divided by.
    pub per: Per,
}

impl SoftmaxLoss {
    fn objective(&self) -> Objective {
        Objective { ignore: self.ignore, per: self.per }
    }
}

impl Default for SoftmaxLoss {
    /// Vocabularies begin with the word that fills up short captions.
    fn default() -> Self {
        SoftmaxLoss { ignore: Some(0), per: Per::default() }
    }
}

const SCORES: usize = 0;

#[typetag::serde]
impl Layer for SoftmaxLoss {
    fn ports(&self) -> Vec<Port> {
        let classes = Axis::Any("Classes");
        vec![
            Port::real("scores", [Axis::BATCH, Axis::Rest, classes]),
            Port::tokens("targets", [Axis::BATCH, Axis::Rest], classes),
            Port::real("mask", [Axis::BATCH, Axis::Rest]).optional(),
        ]
    }

    fn signature(&self, _: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let objective = counted::objective(self.ignore);
        Ok(Signature::output(Shape::scalar(), Dependence::Whole).meaning(objective))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let probabilities = memory.saved(memory.input(SCORES).clone());
        let losses = memory.scratch(memory.input(TARGETS).clone());
        Lowered::new(SoftmaxLossKernel { objective: self.objective(), probabilities, losses })
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        let over_map = Form::PLAIN.part(Part::OverAffine).weights(WeightOrder::PanelsBothWays);
        (form == over_map).then(|| AffineLoss::lower(self.objective(), memory))?
    }
}

/// The objective of scores.
#[derive(Debug)]
struct SoftmaxLossKernel {
    objective: Objective,
    /// p, where it counts.
    probabilities: Saved,
    /// The loss of each position.
    losses: Scratch,
}

impl<T: Scalar> Kernel<T> for SoftmaxLossKernel {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let scores = &cx.inputs[SCORES];
        let classes = scores.rows().ncols();
        let positions = self.objective.positions(&cx.inputs);
        let piece = rows_a_piece(classes);
        let p = (cx.saved[self.probabilities].as_mut_slice(), piece * classes);
        let losses = (cx.scratch[self.losses].as_mut_slice(), piece);
        team::for_each_chunk_mut2(p, losses, |at, p, losses| {
            let rows = p.chunks_exact_mut(classes).zip(losses).zip(at * piece..);
            for ((p, loss), at) in rows {
                let scores = &scores.as_slice()[at * classes..][..classes];
                *loss = match positions.counts(at) {
                    true => T::of(cross_entropy(scores, positions.targets[at] as usize, p)),
                    false => T::zero(),
                };
            }
        });
        let sum: f64 = cx.scratch[self.losses].as_slice().iter().map(|loss| loss.f64()).sum();
        let sequences = Sequences::of(scores, cx.sequences).count();
        cx.outputs[0].fill(within_range(sum / self.objective.divisor(&positions, sequences)));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let Some(gradient) = cx.input_gradients.get(SCORES) else { return };
        let p = &cx.saved[self.probabilities];
        let classes = p.rows().ncols();
        let positions = self.objective.positions(&cx.inputs);
        let sequences = Sequences::of(&cx.inputs[SCORES], cx.sequences).count();
        let weight = cx.output_gradients[0].as_slice()[0]
            / T::of(self.objective.divisor(&positions, sequences));
        let piece = rows_a_piece(classes);
        team::for_each_chunk_mut(gradient.as_mut_slice(), piece * classes, |at, gradient| {
            for (gradient, at) in gradient.chunks_exact_mut(classes).zip(at * piece..) {
                if positions.counts(at) {
                    let p = &p.as_slice()[at * classes..][..classes];
                    gradient.iter_mut().zip(p).for_each(|(gradient, &p)| *gradient += weight * p);
                    gradient[positions.targets[at] as usize] -= weight;
                }
            }
        });
    }
}

/// p = softmax(scores). Returns -log p\[target\], from the scores rather than from p, which may be too small to have one.
fn cross_entropy<T: Scalar>(scores: &[T], target: usize, p: &mut [T]) -> f64 {
    p.copy_from_slice(scores);
    let (largest, sum) = softmax(p);
    sum.ln() + (largest.f64() - scores[target].f64())
}

register!(
    SoftmaxLoss in LAYER,
    example: "SoftmaxLoss()",
    checks: [
        "SoftmaxLoss()",
        "SoftmaxLoss(per: Token)",
        "SoftmaxLoss(ignore: None)",
        "SoftmaxLoss(ignore: Some(1), per: Token)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::{LayerBench, Value};
    use engine_core::{Mode, Tensor};

    use super::*;
    use crate::samples::{SIZES, array, assert_near, graph, random, tokens};

    fn scalar(value: f64) -> Tensor<f64> {
        array(&[], &[value])
    }

    /// Loss and gradient of rows of scores, weighted by a mask over n, as the formula says.
    fn naive(scores: &Tensor<f64>, targets: &[u32], mask: &[f64], n: f64) -> (f64, Tensor<f64>) {
        let (mut loss, mut gradient) = (0.0, Tensor::zeros(scores.shape()));
        for (row, (target, mask)) in targets.iter().zip(mask).enumerate() {
            let e: Vec<f64> = scores.rows().row(row).iter().map(|s| s.exp()).collect();
            let sum: f64 = e.iter().sum();
            loss -= mask * (e[*target as usize] / sum).ln() / n;
            for (class, e) in e.iter().enumerate() {
                let hit = f64::from(u8::from(class == *target as usize));
                gradient.rows_mut()[[row, class]] = mask * (e / sum - hit) / n;
            }
        }
        (loss, gradient)
    }

    fn assert_loss(bench: &mut LayerBench<f64>, (loss, gradient): (f64, Tensor<f64>)) {
        assert_near(&bench.forward(Mode::Eval), &scalar(loss));
        bench.backward(&scalar(1.0));
        assert_near(bench.input_gradient(SCORES), &gradient);
    }

    #[test]
    fn equals_the_formula_for_every_option() {
        for [n, t, _, classes] in SIZES {
            let scores = random::<f64>(&[n, t, classes], 1);
            let targets = tokens(&[n, t], classes, 2);
            let mask: Vec<f64> = (0..n * t).map(|at| [0.0, 0.5, -1.0][at % 3]).collect();
            for (options, wired) in [
                ("", false),
                ("ignore: None", false),
                ("ignore: Some(1), per: Token", false),
                ("per: Token", true),
                ("", true),
            ] {
                println!("[{n}, {t}, {classes}] {options} {wired}");
                let words = targets.as_slice();
                let counts = |at: usize| match (wired, options) {
                    (true, _) => mask[at] != 0.0,
                    (_, "ignore: None") => true,
                    (_, "") => words[at] != 0,
                    _ => words[at] != 1,
                };
                let counted: Vec<f64> =
                    (0..n * t).map(|at| f64::from(u8::from(counts(at)))).collect();
                let of_tokens = counted.iter().sum::<f64>().max(1.0);
                let divisor = if options.contains("Token") { of_tokens } else { n as f64 };
                let mut inputs: Vec<Value<f64>> =
                    vec![scores.clone().into(), targets.clone().into()];
                if wired {
                    inputs.push(array(&[n, t], &mask).into());
                }
                let mut bench = LayerBench::new(&format!("SoftmaxLoss({options})"), inputs);
                assert_loss(&mut bench, naive(&scores, words, &counted, divisor));
                assert!(bench.gradient_error() < 1e-6);
            }
        }
    }

    #[test]
    fn classifies_without_time() {
        let (scores, targets) = (random::<f64>(&[5, 40], 1), tokens(&[5], 40, 2));
        let inputs = vec![scores.clone().into(), targets.clone().into()];
        let mut bench = LayerBench::new("SoftmaxLoss(ignore: None)", inputs);
        assert_loss(&mut bench, naive(&scores, targets.as_slice(), &[1.0; 5], 5.0));
    }

    #[test]
    fn the_gradient_is_multiplied_by_that_of_the_loss() {
        let (scores, targets) = (random::<f64>(&[2, 3], 1), array(&[2], &[1, 2]));
        let mut bench = LayerBench::new("SoftmaxLoss()", vec![scores.into(), targets.into()]);
        bench.forward(Mode::Eval);
        bench.backward(&scalar(1.0));
        let once = bench.input_gradient(SCORES).clone();
        bench.backward(&scalar(-3.0));
        let thrice: Vec<f64> = once.as_slice().iter().map(|g| -3.0 * g).collect();
        assert_near(bench.input_gradient(SCORES), &array(&[2, 3], &thrice));
    }

    #[test]
    fn nothing_counted_is_no_loss() {
        for options in ["", "per: Token"] {
            let (scores, targets) = (random::<f64>(&[2, 3, 4], 1), array(&[2, 3], &[0; 6]));
            let layer = format!("SoftmaxLoss({options})");
            let mut bench = LayerBench::new(&layer, vec![scores.into(), targets.into()]);
            assert_loss(&mut bench, (0.0, Tensor::zeros(&[2, 3, 4])));
        }
    }

    #[test]
    fn extreme_scores_have_finite_losses_and_exact_gradients() {
        type Case = ([f32; 3], u32, f32, [f32; 3]);
        let cases: [Case; 5] = [
            ([1000.0, -1000.0, -5000.0], 1, 2000.0, [1.0, -1.0, 0.0]),
            ([-5000.0, -5000.0, -5000.0], 2, 1.098_612_3, [1.0 / 3.0, 1.0 / 3.0, -2.0 / 3.0]),
            ([1e30, 1e30, -1e30], 1, std::f32::consts::LN_2, [0.5, -0.5, 0.0]),
            ([1e30, -1e30, 0.0], 2, 1e30, [1.0, 0.0, -1.0]),
            ([f32::MAX, f32::MIN, 0.0], 1, f32::MAX, [1.0, -1.0, 0.0]),
        ];
        for (scores, target, loss, gradient) in cases {
            let inputs = vec![array(&[1, 3], &scores).into(), array(&[1], &[target]).into()];
            let mut bench = LayerBench::<f32>::new("SoftmaxLoss()", inputs);
            let found = bench.forward(Mode::Eval).as_slice()[0];
            assert!((found - loss).abs() <= 1e-6 * loss, "{scores:?}: {found}");
            bench.backward(&array(&[], &[1.0]));
            let found = bench.input_gradient(SCORES).as_slice();
            let error = found.iter().zip(gradient).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(error < 1e-6, "{scores:?}: {found:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let inputs = vec![array(&[1, 2], &[f64::NAN, 0.0]).into(), array(&[1], &[1]).into()];
        let loss = LayerBench::new("SoftmaxLoss()", inputs).forward(Mode::Eval);
        assert!(loss.as_slice()[0].is_nan());
    }

    #[test]
    fn targets_of_another_shape_are_refused() {
        let node = r#"(name: "out", layer: SoftmaxLoss(), from: ["scores", "words"])"#;
        let error = graph(r#""scores": [Batch, Time, 4], "words": [Batch]"#, node).unwrap_err();
        assert!(error.contains("targets"), "{error}");
    }
}
