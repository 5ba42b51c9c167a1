//! Which step of its sequence a row of an array with time is.

use engine_core::{Scalar, Steps, Tensor};
use engine_kernels::team;

use crate::elementwise::rows_a_piece;

/// Calls `f` with every row of y, its number, and its step.
pub(crate) fn for_each_row<T: Scalar>(
    y: &mut Tensor<T>,
    steps: Option<&Steps>,
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let (width, time) = (y.rows().ncols(), y.dim(1));
    let piece = rows_a_piece(width);
    let on = |first: usize, y: &mut [T], step: &(dyn Fn(usize) -> usize + Sync)| {
        team::for_each_chunk_mut(y, piece * width, |at, y| {
            for (row, y) in (first + at * piece..).zip(y.chunks_exact_mut(width)) {
                f(row, step(row), y);
            }
        });
    };
    match steps {
        Some(steps) => {
            for t in 0..steps.len() {
                let rows = steps.at(t);
                on(rows.start, &mut y.as_mut_slice()[rows.start * width..rows.end * width], &|_| t);
            }
        }
        None => on(0, y.as_mut_slice(), &|row| row % time),
    }
}
