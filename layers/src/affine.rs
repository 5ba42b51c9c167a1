//! y = x w + b over the rows of x, and its gradients: what every layer with weights does to its input.

use engine_core::gemm::{add_product, product};
use engine_core::{Asked, Backward, Scalar, Tensor, team};
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::elementwise::rows_a_piece;

/// The default of the field `bias`.
pub(crate) fn with_bias() -> bool {
    true
}

/// y = x w + b.
pub(crate) fn forward<T: Scalar>(
    x: ArrayView2<'_, T>,
    w: &Tensor<T>,
    b: Option<&Tensor<T>>,
    y: &mut Tensor<T>,
) {
    match b {
        Some(b) => {
            let b = b.as_slice();
            team::for_each_chunk_mut(
                y.as_mut_slice(),
                rows_a_piece(b.len()) * b.len(),
                |_, rows| {
                    rows.chunks_exact_mut(b.len()).for_each(|row| row.copy_from_slice(b));
                },
            );
            add_product(x, w.rows(), y.rows_mut());
        }
        None => product(x, w.rows(), y.rows_mut()),
    }
}

/// The whole backward pass of a layer that is nothing but this map: its only port is x, its parameters are w and, with
/// `bias`, b.
pub(crate) fn backward<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let dy = &cx.output_gradients[0];
    if let Some(dx) = cx.input_gradients.get(0) {
        add_input_gradient(dy, &cx.parameters[0], dx.rows_mut());
    }
    add_parameter_gradients(cx, bias);
}

/// The gradients of w and b, where they are asked for.
pub(crate) fn add_parameter_gradients<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    if cx.asked == Asked::Inputs {
        return;
    }
    let (dy, x) = (&cx.output_gradients[0], &cx.inputs[0]);
    add_weight_gradient(x.rows(), dy, &mut cx.parameter_gradients[0]);
    if bias {
        add_bias_gradient(dy, &mut cx.parameter_gradients[1]);
    }
}

/// dx = dx + dy w^T.
pub(crate) fn add_input_gradient<T: Scalar>(
    dy: &Tensor<T>,
    w: &Tensor<T>,
    dx: ArrayViewMut2<'_, T>,
) {
    add_product(dy.rows(), w.rows().reversed_axes(), dx);
}

/// dw = dw + x^T dy.
pub(crate) fn add_weight_gradient<T: Scalar>(
    x: ArrayView2<'_, T>,
    dy: &Tensor<T>,
    dw: &mut Tensor<T>,
) {
    add_product(x.reversed_axes(), dy.rows(), dw.rows_mut());
}

/// db = db + the sum of dy's rows, one row after the other, so that the bits do not depend on the number of threads.
pub(crate) fn add_bias_gradient<T: Scalar>(dy: &Tensor<T>, db: &mut Tensor<T>) {
    const COLUMNS: usize = 128;
    let width = db.as_slice().len();
    team::for_each_chunk_mut(db.as_mut_slice(), COLUMNS, |block, db| {
        for row in dy.as_slice().chunks_exact(width) {
            let row = &row[block * COLUMNS..][..db.len()];
            db.iter_mut().zip(row).for_each(|(db, &dy)| *db += dy);
        }
    });
}
