//! Which rows of an array belong to which step.

use std::ops::Range;

use crate::scalar::Scalar;
use crate::sequence::PackedSequence;
use engine_kernels::team;

/// The rows of every step, in a body's arrays and in those of the plan around it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rows<'a> {
    /// Step by step within and without, the sequences that last longest first.
    Arranged(&'a PackedSequence),
    /// Step by step within, one sequence after the other without.
    Even { sequences: usize, steps: usize },
}

/// The fewest numbers that are worth a thread's while.
const PIECE: usize = 1 << 13;

impl Rows<'_> {
    /// How many steps there are.
    pub(super) fn steps(&self) -> usize {
        match self {
            Rows::Arranged(steps) => steps.len(),
            Rows::Even { steps, .. } => *steps,
        }
    }

    /// How many rows all steps have.
    pub(super) fn all(&self) -> usize {
        match self {
            Rows::Arranged(steps) => steps.rows(),
            Rows::Even { sequences, steps } => sequences * steps,
        }
    }

    /// The rows of step `t` in a body's arrays.
    pub(super) fn at(&self, t: usize) -> Range<usize> {
        match self {
            Rows::Arranged(steps) => steps.at(t),
            Rows::Even { sequences, .. } => t * sequences..(t + 1) * sequences,
        }
    }

    /// How many sequences have a step `t`: the first ones.
    pub(super) fn alive(&self, t: usize) -> usize {
        match t < self.steps() {
            true => self.at(t).len(),
            false => 0,
        }
    }

    /// Copies an array of the plan into one of the body.
    pub(super) fn bring_in<T: Scalar>(&self, from: &[T], to: &mut [T]) {
        self.reorder(from, to, |(sequence, t), (sequences, steps)| {
            (sequence * steps + t, t * sequences + sequence)
        });
    }

    /// Copies rows of an array of the plan into one of the body: for each position the row that the index says.
    pub(super) fn bring_in_indexed<T: Scalar>(&self, from: &[T], index: &[u32], to: &mut [T]) {
        let length = to.len() / self.all().max(1);
        if length == 0 {
            return;
        }
        let rows = PIECE.div_ceil(length);
        team::for_each_chunk_mut(to, rows * length, |at, to| {
            for (to, row) in to.chunks_exact_mut(length).zip(at * rows..) {
                let row = index[self.position(row)] as usize;
                to.copy_from_slice(&from[row * length..][..length]);
            }
        });
    }

    /// The position in the plan's arrays that a row of the body's is.
    fn position(&self, row: usize) -> usize {
        match *self {
            Rows::Arranged(_) => row,
            Rows::Even { sequences, steps } => row % sequences * steps + row / sequences,
        }
    }

    /// Copies an array of the body into one of the plan.
    pub(super) fn take_out<T: Scalar>(&self, from: &[T], to: &mut [T]) {
        self.reorder(from, to, |(sequence, t), (sequences, steps)| {
            (t * sequences + sequence, sequence * steps + t)
        });
    }

    fn reorder<T: Scalar>(
        &self,
        from: &[T],
        to: &mut [T],
        rows: impl Fn((usize, usize), (usize, usize)) -> (usize, usize),
    ) {
        match *self {
            Rows::Arranged(_) => team::for_each_chunk_mut(to, PIECE, |at, to| {
                to.copy_from_slice(&from[at * PIECE..][..to.len()]);
            }),
            Rows::Even { sequences, steps } => {
                let length = to.len() / (sequences * steps).max(1);
                for sequence in 0..sequences {
                    for t in 0..steps {
                        let (source, target) = rows((sequence, t), (sequences, steps));
                        to[target * length..][..length]
                            .copy_from_slice(&from[source * length..][..length]);
                    }
                }
            }
        }
    }

    /// Calls `f` with the elements that the rows of step `t` have in an array of the plan, and in one of the step alone,
    /// when rows have so many.
    pub(super) fn for_each_run(
        &self,
        t: usize,
        length: usize,
        mut f: impl FnMut(Range<usize>, Range<usize>),
    ) {
        match *self {
            Rows::Arranged(steps) => {
                let rows = steps.at(t);
                f(rows.start * length..rows.end * length, 0..rows.len() * length);
            }
            Rows::Even { sequences, steps } => {
                for n in 0..sequences {
                    let first = (n * steps + t) * length;
                    f(first..first + length, n * length..(n + 1) * length);
                }
            }
        }
    }
}
