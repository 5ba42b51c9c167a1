//! Copies between arrays of rows and arrays by heads.

use engine_core::{PackedSequence, Scalar, Sequences, Tensor};
use engine_kernels::team;

use super::heads::Heads;
use crate::elementwise::rows_a_piece;

/// How the sequences of an array lie, whose time is packed if there is no dimension of its own for it.
pub(super) fn sequences<'a, T: Scalar>(
    array: &Tensor<T>,
    packed: Option<&'a PackedSequence>,
) -> Sequences<'a> {
    Sequences::of(array, packed.filter(|_| array.shape().len() == 2))
}

/// Copies rows to part `part` of each sequence's block of an array by heads, times a factor.
pub(super) fn gather<T: Scalar>(
    rows: &Tensor<T>,
    order: Sequences<'_>,
    heads: Heads,
    to: &mut Tensor<T>,
    part: usize,
    factor: T,
) {
    let (rows, width) = (rows.as_slice(), heads.count * heads.width);
    let (block, longest) = (to.as_slice().len() / to.dim(1), to.dim(3));
    team::for_each_chunk_mut(to.as_mut_slice(), block, |n, to| {
        let to = &mut to[part * width * longest..][..width * longest];
        for t in 0..order.length(n) {
            let row = rows[order.row(n, t) * width..][..width].chunks_exact(heads.width);
            for (head, from) in row.enumerate() {
                let to = &mut to[(head * longest + t) * heads.width..][..heads.width];
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = factor * x);
            }
        }
    });
}

/// The other way round: fills all rows.
pub(super) fn scatter<T: Scalar>(
    from: &Tensor<T>,
    part: usize,
    order: Sequences<'_>,
    heads: Heads,
    rows: &mut Tensor<T>,
    factor: T,
) {
    let (width, longest) = (heads.count * heads.width, from.dim(3));
    let block = from.as_slice().len() / from.dim(1);
    let (from, piece) = (from.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(rows.as_mut_slice(), piece * width, |at, rows| {
        for (row, to) in (at * piece..).zip(rows.chunks_exact_mut(width)) {
            let (n, t) = order.position(row);
            let from = &from[n * block + part * width * longest..][..width * longest];
            for (head, to) in to.chunks_exact_mut(heads.width).enumerate() {
                let from = &from[(head * longest + t) * heads.width..][..heads.width];
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = factor * x);
            }
        }
    });
}
