//! Sums over one dimension of an array, and their gradients: what `Sum` and `Mean` share.

use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Lowered, Memory, PlanError, Port, Scalar, Shape,
    Signature, Symbol, Tensor,
};
use engine_kernels::team;

use crate::elementwise::rows_a_piece;

/// The names of the dimensions before the one that is summed.
const BEFORE: [&str; 6] = ["Axis1", "Axis2", "Axis3", "Axis4", "Axis5", "Axis6"];

/// The port of a layer that sums over dimension `axis`: an array that has it.
pub(crate) fn port(axis: usize) -> Port {
    let before = BEFORE.iter().take(axis).map(|name| Axis::Each(name));
    Port::real("x", [vec![Axis::BATCH], before.collect(), vec![Axis::Rest]].concat())
}

/// The signature of such a layer.
///
/// # Errors
/// When `axis` is 0, the batch, or too large.
pub(crate) fn signature(x: &Shape, axis: usize) -> Result<Signature, PlanError> {
    let dims = x.dims();
    if axis == 0 || axis > BEFORE.len() || axis >= dims.len() {
        let last = dims.len().saturating_sub(1).min(BEFORE.len());
        let message = format!(
            "expected a dimension from 1 to {last} of {x}, found {axis}; examples stay apart, so 0 is none"
        );
        return Err(PlanError::field("axis", message));
    }
    let kept = dims.iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, dim)| *dim);
    let over_time = dims[axis].is(Symbol::TIME);
    let dependence = if over_time { Dependence::Whole } else { Dependence::Item };
    Ok(Signature::output(Shape::new(kept), dependence))
}

/// The sum over dimension `axis` times a factor.
pub(crate) fn lower(memory: &mut Memory<'_>, axis: usize, factor: fn(usize) -> f64) -> Lowered {
    let after = memory.input(0).rank() - axis - 1;
    Lowered::new(SumOver { after, factor })
}

/// y = factor(number of places) * the sum over a dimension with `after` dimensions after it, one place after the other.
#[derive(Debug)]
struct SumOver {
    after: usize,
    factor: fn(usize) -> f64,
}

/// How many places the summed dimension has, and how many numbers lie within each.
struct Extent {
    places: usize,
    within: usize,
}

impl SumOver {
    /// Dimensions are counted from the last: packed arrays have fewer before.
    fn extent<T: Scalar>(&self, x: &Tensor<T>) -> Extent {
        let (before, within) = x.shape().split_at(x.shape().len() - self.after);
        let places = before.last().copied().unwrap_or(1);
        Extent { places, within: within.iter().product() }
    }
}

impl<T: Scalar> Kernel<T> for SumOver {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[0], &mut cx.outputs[0]);
        let Extent { places, within } = self.extent(x);
        let factor = T::of((self.factor)(places));
        let piece = rows_a_piece(places * within);
        team::for_each_chunk_mut(y.as_mut_slice(), piece * within, |at, y| {
            let x = x.as_slice()[at * piece * places * within..].chunks_exact(places * within);
            for (y, x) in y.chunks_exact_mut(within).zip(x) {
                y.fill(T::zero());
                for x in x.chunks_exact(within) {
                    y.iter_mut().zip(x).for_each(|(y, &x)| *y += x);
                }
                y.iter_mut().for_each(|y| *y *= factor);
            }
        });
    }

    /// Every place's gradient is `factor` times that of the sum.
    fn backward(&self, cx: &mut Backward<'_, T>) {
        let Extent { places, within } = self.extent(&cx.inputs[0]);
        let dy = &cx.output_gradients[0];
        let Some(dx) = cx.input_gradients.get(0) else { return };
        let factor = T::of((self.factor)(places));
        let piece = rows_a_piece(places * within);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * places * within, |at, dx| {
            let dy = dy.as_slice()[at * piece * within..].chunks_exact(within);
            for (dx, dy) in dx.chunks_exact_mut(places * within).zip(dy) {
                for dx in dx.chunks_exact_mut(within) {
                    dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += factor * dy);
                }
            }
        });
    }
}
