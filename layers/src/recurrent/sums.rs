//! The sums that a cell's gates squash, of one step: a = x wx + h wh + b. A cell's first ports are x and h, its first
//! parameters wx, wh and, unless left out, b; its first saved array is a, in whose place gradients find da.

use engine_kernels::gemm::add_product;
use engine_core::{Asked, Backward, Scalar, context::Forward};

use crate::affine;
use crate::recurrent::{A, B, WH, WX, X};

/// The port of the state before the step.
pub(crate) const H: usize = 1;

/// a = x wx + h wh + b.
pub(crate) fn forward<T: Scalar>(cx: &mut Forward<'_, T>, bias: bool) {
    forward_input(cx, bias);
    add_product(cx.inputs[H].rows(), cx.parameters[WH].rows(), cx.saved[A].rows_mut());
}

/// a = x wx + b.
pub(crate) fn forward_input<T: Scalar>(cx: &mut Forward<'_, T>, bias: bool) {
    let b = bias.then(|| &cx.parameters[B]);
    affine::forward(cx.inputs[X].rows(), &cx.parameters[WX], b, &mut cx.saved[A]);
}

/// The gradients of [`forward`], given da.
pub(crate) fn backward<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let da = &cx.saved[A];
    for (port, w) in [(X, WX), (H, WH)] {
        if let Some(gradient) = cx.input_gradients.get(port) {
            affine::add_input_gradient(da, &cx.parameters[w], gradient.rows_mut());
        }
    }
    add_parameter_gradients(cx, bias);
}

/// dwx, dwh and db, where they are asked for.
pub(crate) fn add_parameter_gradients<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    if cx.asked != Asked::Inputs {
        let da = &cx.saved[A];
        affine::add_weight_gradient(cx.inputs[H].rows(), da, &mut cx.parameter_gradients[WH]);
        add_input_parameter_gradients(cx, bias);
    }
}

/// The gradients of [`forward_input`], given da.
pub(crate) fn backward_input<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let da = &cx.saved[A];
    if let Some(dx) = cx.input_gradients.get(X) {
        affine::add_input_gradient(da, &cx.parameters[WX], dx.rows_mut());
    }
    add_input_parameter_gradients(cx, bias);
}

/// dwx = dwx + x^T da, and db.
fn add_input_parameter_gradients<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let (da, gradients) = (&cx.saved[A], &mut cx.parameter_gradients);
    affine::add_weight_gradient(cx.inputs[X].rows(), da, &mut gradients[WX]);
    if bias {
        affine::add_bias_gradient(da, &mut gradients[B]);
    }
}
