//! The gradients of an affine map's parameters, and the rows that it takes.

use engine_core::{Backward, GradientRequest, Scalar, Tensor, Weight};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::map;

/// The gradients of w and b, where they are requested.
pub(super) fn add_parameter_gradients<T: Scalar>(
    cx: &mut Backward<'_, T>,
    w: Weight,
    b: Option<Weight>,
) {
    if cx.requested == GradientRequest::Inputs {
        return;
    }
    let (dy, x) = (&cx.output_gradients[0], rows(&cx.inputs[0], &cx.parameters[w]));
    map::add_weight_gradient(x, dy, &mut cx.parameter_gradients[w]);
    if let Some(b) = b {
        map::add_bias_gradient(dy, &mut cx.parameter_gradients[b]);
    }
}

/// The rows of x that w takes: those of its last dimension, or one for each example.
pub(super) fn rows<'a, T: Scalar>(x: &'a Tensor<T>, w: &Tensor<T>) -> ArrayView2<'a, T> {
    if in_rows(x, w) { x.rows() } else { x.flat() }
}

/// As [`rows`], to be changed.
pub(super) fn rows_mut<'a, T: Scalar>(x: &'a mut Tensor<T>, w: &Tensor<T>) -> ArrayViewMut2<'a, T> {
    if in_rows(x, w) { x.rows_mut() } else { x.flat_mut() }
}

fn in_rows<T: Scalar>(x: &Tensor<T>, w: &Tensor<T>) -> bool {
    x.rows().ncols() == w.dim(0)
}
