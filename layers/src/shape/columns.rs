//! Some columns of the rows of an array.

use std::ops::Range;

use engine_core::{Dim, PlanError, Scalar, Shape, Symbol, Tensor, team};

use crate::elementwise::rows_a_piece;

/// The last dimension of what a layer goes along.
///
/// # Errors
/// Where it is `Batch` or `Time`: these change from batch to batch, and a layer that goes along one of them could not run
/// step by step.
pub(crate) fn width(x: &Shape) -> Result<Dim, PlanError> {
    let last = x.last();
    match last.is(Symbol::BATCH) || last.is(Symbol::TIME) || x.rank() == 0 {
        true => Err(PlanError::new(format!(
            "expected an input whose last dimension has a fixed size, found {x}"
        ))),
        false => Ok(last),
    }
}

/// y = x\[.., columns\].
pub(crate) fn take<T: Scalar>(x: &Tensor<T>, columns: Range<usize>, y: &mut Tensor<T>) {
    let (whole, width) = (x.rows().ncols(), columns.len());
    let (x, piece) = (x.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(y.as_mut_slice(), piece * width, |at, y| {
        let x = x[at * piece * whole..].chunks_exact(whole);
        for (y, x) in y.chunks_exact_mut(width).zip(x) {
            y.copy_from_slice(&x[columns.clone()]);
        }
    });
}

/// dx\[.., columns\] = dx\[.., columns\] + dy.
pub(crate) fn add_back<T: Scalar>(dx: &mut Tensor<T>, columns: Range<usize>, dy: &Tensor<T>) {
    let (whole, width) = (dx.rows().ncols(), columns.len());
    let (dy, piece) = (dy.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(dx.as_mut_slice(), piece * whole, |at, dx| {
        let dy = dy[at * piece * width..].chunks_exact(width);
        for (dx, dy) in dx.chunks_exact_mut(whole).zip(dy) {
            dx[columns.clone()].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        }
    });
}
