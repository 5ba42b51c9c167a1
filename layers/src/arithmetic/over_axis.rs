//! Sums over one dimension of an array, and their gradients: what `Sum` and `Mean` share.

use engine_core::context::Forward;
use engine_core::{
    Axis, Backward, LayerPlan, PlanError, Port, Reach, Scalar, Shape, Symbol, Tensor, team,
};

use crate::elementwise::rows_a_piece;

/// The names of the dimensions before the one that is summed.
const BEFORE: [&str; 6] = ["Axis1", "Axis2", "Axis3", "Axis4", "Axis5", "Axis6"];

/// Scratch: as large as what lies within one place of the dimension. Its size is all that is made of it: arrays without
/// padding have fewer dimensions than their shapes say, and those after the summed one are the same in both.
const WITHIN: usize = 0;

/// The port of a layer that sums over dimension `axis`: an array that has it.
pub(crate) fn port(axis: usize) -> Port {
    let before = BEFORE.iter().take(axis).map(|name| Axis::Each(name));
    Port::real("x", [vec![Axis::BATCH], before.collect(), vec![Axis::Rest]].concat())
}

/// The plan of such a layer.
///
/// # Errors
/// When `axis` is 0, the batch, or too large.
pub(crate) fn plan(x: &Shape, axis: usize) -> Result<LayerPlan, PlanError> {
    let dims = x.dims();
    if axis == 0 || axis > BEFORE.len() || axis >= dims.len() {
        let last = dims.len().saturating_sub(1).min(BEFORE.len());
        let message = format!(
            "expected a dimension from 1 to {last} of {x}, found {axis}; examples stay apart, so 0 is none"
        );
        return Err(PlanError::field("axis", message));
    }
    let kept = dims.iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, dim)| *dim);
    let reach = if dims[axis].is(Symbol::TIME) { Reach::Whole } else { Reach::Row };
    let within = Shape::new(dims[axis + 1..].iter().copied());
    Ok(LayerPlan::output(Shape::new(kept)).scratch(within).reach(reach))
}

/// How many places the summed dimension has, and how many numbers lie within each.
struct Extent {
    places: usize,
    within: usize,
}

impl Extent {
    fn of<T: Scalar>(x: &Tensor<T>, y: &Tensor<T>, within: &Tensor<T>) -> Self {
        let places = x.as_slice().len() / y.as_slice().len().max(1);
        Extent { places, within: within.as_slice().len() }
    }
}

/// y = factor(number of places) * the sum over the dimension, one place after the other.
pub(crate) fn forward<T: Scalar>(cx: &mut Forward<'_, T>, factor: impl Fn(usize) -> f64) {
    let (x, y) = (&cx.inputs[0], &mut cx.outputs[0]);
    let Extent { places, within } = Extent::of(x, y, &cx.scratch[WITHIN]);
    let factor = T::of(factor(places));
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
pub(crate) fn backward<T: Scalar>(cx: &mut Backward<'_, T>, factor: impl Fn(usize) -> f64) {
    let (x, dy) = (&cx.inputs[0], &cx.output_gradients[0]);
    let Extent { places, within } = Extent::of(x, dy, &cx.scratch[WITHIN]);
    let Some(dx) = cx.input_gradients.get(0) else { return };
    let factor = T::of(factor(places));
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
