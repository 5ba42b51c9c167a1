//! The objective: cross entropy of a softmax.

use engine_core::context::{Forward, Inputs};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar, Shape, math,
    register,
};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;

/// The objective: how surprised the scores are by the targets, as cross entropy of a softmax.
///
/// ```text
/// p = exp(scores) / (sum over classes of exp(scores))
/// loss = (sum over counted positions of -log p[target]) / N
/// ```
///
/// N is the number of sequences or of counted positions, see `per`. With scores `[Batch, Classes]` this is the loss of a
/// plain classifier.
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
    /// The target whose positions do not count, such as `Some(0)` where 0 fills up short sequences; `None` counts all.
    pub ignore: Option<u32>,
    /// What the sum is divided by.
    pub per: Per,
}

/// What a sum over positions is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Per {
    /// The number of sequences in the batch: long captions weigh more.
    #[default]
    Sequence,
    /// The number of counted positions: each word weighs the same in any batch.
    Token,
}

impl Default for SoftmaxLoss {
    /// Vocabularies begin with the word that fills up short captions.
    fn default() -> Self {
        SoftmaxLoss { ignore: Some(0), per: Per::default() }
    }
}

const SCORES: usize = 0;
const TARGETS: usize = 1;
const MASK: usize = 2;

/// Saved: p, where it counts.
const PROBABILITIES: usize = 0;
/// Scratch: the loss of each position.
const LOSSES: usize = 0;

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

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        Ok(LayerPlan::output(Shape::scalar())
            .saved(inputs.shape(SCORES).clone())
            .scratch(inputs.shape(TARGETS).clone()))
    }
}

impl<T: Scalar> Kernel<T> for SoftmaxLoss {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let scores = &cx.inputs[SCORES];
        let classes = scores.rows().ncols();
        let positions = self.positions(&cx.inputs);
        let rows = (
            scores.as_slice().par_chunks_exact(classes),
            cx.saved[PROBABILITIES].as_mut_slice().par_chunks_exact_mut(classes),
            cx.scratch[LOSSES].as_mut_slice().par_iter_mut(),
            positions.targets.par_iter(),
        );
        rows.into_par_iter().enumerate().with_min_len(rows_a_piece(classes)).for_each(
            |(at, (scores, p, loss, &target))| {
                *loss = match positions.counts(at) {
                    true => T::of(cross_entropy(scores, target as usize, p)),
                    false => T::zero(),
                };
            },
        );
        let sum: f64 = cx.scratch[LOSSES].as_slice().iter().map(|loss| loss.f64()).sum();
        cx.outputs[0].fill(within_range(sum / self.divisor(&positions, scores.dim(0))));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let Some(gradient) = cx.input_gradients.get(SCORES) else { return };
        let p = &cx.saved[PROBABILITIES];
        let classes = p.rows().ncols();
        let positions = self.positions(&cx.inputs);
        let weight = cx.output_gradients[0].as_slice()[0]
            / T::of(self.divisor(&positions, cx.inputs[SCORES].dim(0)));
        let rows = (
            gradient.as_mut_slice().par_chunks_exact_mut(classes),
            p.as_slice().par_chunks_exact(classes),
            positions.targets.par_iter(),
        );
        rows.into_par_iter().enumerate().with_min_len(rows_a_piece(classes)).for_each(
            |(at, (gradient, p, &target))| {
                if positions.counts(at) {
                    gradient.iter_mut().zip(p).for_each(|(gradient, &p)| *gradient += weight * p);
                    gradient[target as usize] -= weight;
                }
            },
        );
    }
}

/// The targets, and which of them count.
struct Positions<'a, T> {
    targets: &'a [u32],
    mask: Option<&'a [T]>,
    ignore: Option<u32>,
}

impl<T: Scalar> Positions<'_, T> {
    fn counts(&self, at: usize) -> bool {
        match self.mask {
            Some(mask) => mask[at] != T::zero(),
            None => Some(self.targets[at]) != self.ignore,
        }
    }
}

impl SoftmaxLoss {
    fn positions<'a, T: Scalar>(&self, inputs: &Inputs<'a, T>) -> Positions<'a, T> {
        Positions {
            targets: inputs.tokens(TARGETS).as_slice(),
            mask: inputs.get(MASK).map(|mask| mask.as_slice()),
            ignore: self.ignore,
        }
    }

    /// N; 1 where nothing counts, for the sum is 0 then.
    fn divisor<T: Scalar>(&self, positions: &Positions<'_, T>, sequences: usize) -> f64 {
        match self.per {
            Per::Sequence => sequences as f64,
            Per::Token => {
                let counted = (0..positions.targets.len()).filter(|at| positions.counts(*at));
                counted.count().max(1) as f64
            }
        }
    }
}

/// p = softmax(scores). Returns -log p\[target\], from the scores rather than from p, which may be too small to have one.
fn cross_entropy<T: Scalar>(scores: &[T], target: usize, p: &mut [T]) -> f64 {
    let largest = largest(scores);
    p.iter_mut().zip(scores).for_each(|(p, &score)| *p = score - largest);
    math::exp(p);
    let sum = sum(p);
    let scale = T::of(1.0 / sum);
    p.iter_mut().for_each(|p| *p *= scale);
    sum.ln() + (largest.f64() - scores[target].f64())
}

/// How many elements are worked on side by side, always the same number, so that sums have the same bits on any machine.
const LANES: usize = 16;

/// The largest element.
fn largest<T: Scalar>(xs: &[T]) -> T {
    let mut lanes = [T::neg_infinity(); LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    let max = |a: T, b: T| if a > b { a } else { b };
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &x)| *lane = max(*lane, x));
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(T::neg_infinity(), max)
}

/// The sum in double precision.
fn sum<T: Scalar>(xs: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += x.f64());
    }
    lanes.into_iter().chain(rest.iter().map(|x| x.f64())).sum()
}

/// The nearest number that the precision has. Not a number stays so.
fn within_range<T: Scalar>(value: f64) -> T {
    let bound = T::max_value();
    if value > bound.f64() { bound } else { T::of(value) }
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
