//! Where in a sequence a step is.

pub mod learned_positions;
pub mod positional_encoding;

pub use learned_positions::LearnedPositions;
pub use positional_encoding::PositionalEncoding;

use engine_core::{PackedSequence, Scalar, Sequences, Tensor};
use engine_kernels::team;

use crate::elementwise::rows_a_piece;

/// Calls `f` with every row of an array with time, its number, and its step.
fn for_each_row<T: Scalar>(
    y: &mut Tensor<T>,
    packed: Option<&PackedSequence>,
    f: impl Fn(usize, usize, &mut [T]) + Sync,
) {
    let (width, sequences) = (y.rows().ncols(), Sequences::of(y, packed));
    let piece = rows_a_piece(width);
    team::for_each_chunk_mut(y.as_mut_slice(), piece * width, |at, y| {
        for (row, y) in (at * piece..).zip(y.chunks_exact_mut(width)) {
            f(row, sequences.position(row).1, y);
        }
    });
}
