//! Where the positions of sequences lie in an array of rows, and copies from there to arrays by heads and back.

use engine_core::{Scalar, Steps, Tensor};
use engine_kernels::team;

use super::heads::Heads;
use crate::elementwise::rows_a_piece;

/// The order of an array's rows: one sequence after the other, or arranged by steps.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    steps: Option<&'a Steps>,
    /// How many positions a sequence has, padding included.
    longest: usize,
    pub(super) sequences: usize,
}

impl<'a> Rows<'a> {
    /// The order of `array`, whose numbers also lie, by heads and in full, in `by_heads`: `[1, Batch, .., positions]`.
    pub(super) fn of<T: Scalar>(
        array: &Tensor<T>,
        steps: Option<&'a Steps>,
        by_heads: &Tensor<T>,
    ) -> Self {
        let arranged = array.shape().len() == 2;
        Rows {
            steps: steps.filter(|_| arranged),
            longest: by_heads.dim(3),
            sequences: by_heads.dim(1),
        }
    }

    /// How many positions sequence `n` has.
    pub(super) fn length(self, n: usize) -> usize {
        match self.steps {
            None => self.longest,
            Some(steps) => (0..steps.len()).take_while(|t| steps.at(*t).len() > n).count(),
        }
    }

    /// The row of position `t` of sequence `n`.
    pub(super) fn row(self, n: usize, t: usize) -> usize {
        match self.steps {
            None => n * self.longest + t,
            Some(steps) => steps.at(t).start + n,
        }
    }

    /// The sequence and the position of a row.
    fn position(self, row: usize) -> (usize, usize) {
        match self.steps {
            None => (row / self.longest, row % self.longest),
            Some(steps) => {
                let t = steps.places()[row] % self.longest;
                (row - steps.at(t).start, t)
            }
        }
    }
}

/// Copies rows to part `part` of each sequence's block of an array by heads, times a factor.
pub(super) fn gather<T: Scalar>(
    rows: &Tensor<T>,
    order: Rows<'_>,
    heads: Heads,
    to: &mut Tensor<T>,
    part: usize,
    factor: T,
) {
    let (rows, width, longest) = (rows.as_slice(), heads.count * heads.width, order.longest);
    let block = to.as_slice().len() / order.sequences;
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
    order: Rows<'_>,
    heads: Heads,
    rows: &mut Tensor<T>,
    factor: T,
) {
    let (width, longest) = (heads.count * heads.width, order.longest);
    let block = from.as_slice().len() / order.sequences;
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
