//! y = x w + b over the rows of x, and its gradients: what every layer with weights does to its input.

use engine_core::{Scalar, Tensor};
use engine_kernels::gemm::{add_product, product};
use engine_kernels::team;
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::elementwise::rows_a_piece;

/// y = x w + b.
pub(crate) fn forward<T: Scalar>(
    x: ArrayView2<'_, T>,
    w: &Tensor<T>,
    b: Option<&Tensor<T>>,
    y: &mut Tensor<T>,
) {
    forward_by(x, w.rows(), b, y);
}

/// As [`forward`], by a matrix that may be a transposed one.
pub(crate) fn forward_by<T: Scalar>(
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    b: Option<&Tensor<T>>,
    y: &mut Tensor<T>,
) {
    match b {
        // A product of one row that adds to something takes its sums in another order than those of many rows, and a row
        // is to have the same bits whatever others are with it.
        Some(b) if y.rows().nrows() == 1 => {
            product(x, w, y.rows_mut());
            y.as_mut_slice().iter_mut().zip(b.as_slice()).for_each(|(y, b)| *y += *b);
        }
        Some(b) => {
            let b = b.as_slice();
            team::for_each_chunk_mut(
                y.as_mut_slice(),
                rows_a_piece(b.len()) * b.len(),
                |_, rows| {
                    rows.chunks_exact_mut(b.len()).for_each(|row| row.copy_from_slice(b));
                },
            );
            add_product(x, w, y.rows_mut());
        }
        None => product(x, w, y.rows_mut()),
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
