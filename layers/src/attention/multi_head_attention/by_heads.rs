//! Copies between arrays of rows and arrays by heads.

use engine_core::{PackedSequence, Scalar, Sequences, Tensor};
use engine_kernels::team;

use super::heads::Heads;
use crate::elementwise::rows_a_piece;

/// Where the positions of sequences are in an array of rows, and how many each has room for in one by heads.
#[derive(Clone, Copy)]
pub(super) struct Positions<'a> {
    pub(super) rows: Sequences<'a>,
    longest: usize,
}

impl<'a> Positions<'a> {
    /// Those of `array`, whose numbers also lie, by heads and in full, in `by_heads`: `[1, Batch, .., positions]`. Its time is
    /// packed if there is no dimension of its own for it.
    pub(super) fn of<T: Scalar>(
        array: &Tensor<T>,
        packed: Option<&'a PackedSequence>,
        by_heads: &Tensor<T>,
    ) -> Self {
        let rows = Sequences::of(array, packed.filter(|_| array.shape().len() == 2));
        Positions { rows, longest: by_heads.dim(3) }
    }
}

/// Copies rows to part `part` of each sequence's block of an array by heads, times a factor.
pub(super) fn gather<T: Scalar>(
    rows: &Tensor<T>,
    order: Positions<'_>,
    heads: Heads,
    to: &mut Tensor<T>,
    part: usize,
    factor: T,
) {
    let (rows, width) = (rows.as_slice(), heads.count * heads.width);
    let (block, longest) = (to.as_slice().len() / order.rows.count(), order.longest);
    team::for_each_chunk_mut(to.as_mut_slice(), block, |n, to| {
        let to = &mut to[part * width * longest..][..width * longest];
        for t in 0..order.rows.length(n) {
            let row = rows[order.rows.row(n, t) * width..][..width].chunks_exact(heads.width);
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
    order: Positions<'_>,
    heads: Heads,
    rows: &mut Tensor<T>,
    factor: T,
) {
    let (width, longest) = (heads.count * heads.width, order.longest);
    let block = from.as_slice().len() / order.rows.count();
    let (from, piece) = (from.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(rows.as_mut_slice(), piece * width, |at, rows| {
        for (row, to) in (at * piece..).zip(rows.chunks_exact_mut(width)) {
            let (n, t) = order.rows.position(row);
            let from = &from[n * block + part * width * longest..][..width * longest];
            for (head, to) in to.chunks_exact_mut(heads.width).enumerate() {
                let from = &from[(head * longest + t) * heads.width..][..heads.width];
                to.iter_mut().zip(from).for_each(|(to, &x)| *to = factor * x);
            }
        }
    });
}
