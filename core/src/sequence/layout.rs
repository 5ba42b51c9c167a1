//! Where the row of a sequence and a step is.

use std::ops::Range;

use super::PackedSequence;
use crate::array::tensor::Tensor;

/// How the positions of sequences lie in an array over `[Batch, Time, ..]`: the row of every sequence and step.
///
/// Sequences are counted in the order of arrays over `[Batch, ..]`.
#[derive(Debug, Clone, Copy)]
pub enum Sequences<'a> {
    /// One sequence after the other, all equally long.
    Padded {
        /// How many sequences there are.
        count: usize,
        /// How many steps each has.
        steps: usize,
    },
    /// One step after the other, all sequences at each.
    TimeMajor {
        /// How many sequences there are.
        count: usize,
        /// How many steps each has.
        steps: usize,
    },
    /// One step after the other, without padding, the sequences that last longest first.
    Packed(&'a PackedSequence),
}

/// The rows of one step, one for each sequence that has it: `first`, `first + stride`, and so on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepRows {
    /// The row of the first sequence.
    pub first: usize,
    /// How far apart the rows of two sequences are.
    pub stride: usize,
    /// How many sequences have the step.
    pub count: usize,
}

impl StepRows {
    /// The rows, where they lie side by side.
    ///
    /// # Panics
    /// When they do not.
    pub fn range(self) -> Range<usize> {
        assert!(self.stride == 1 || self.count <= 1, "the rows of a step lie side by side");
        self.first..self.first + self.count
    }

    /// The row of each sequence.
    pub fn iter(self) -> impl ExactSizeIterator<Item = usize> {
        (0..self.count).map(move |n| self.first + n * self.stride)
    }
}

impl<'a> Sequences<'a> {
    /// Those of an array with time: packed as `packed` says, or else full.
    pub fn of<T: Copy + Default>(array: &Tensor<T>, packed: Option<&'a PackedSequence>) -> Self {
        match packed {
            Some(packed) => Sequences::Packed(packed),
            None => Sequences::Padded { count: array.dim(0), steps: array.dim(1) },
        }
    }

    /// How many sequences there are.
    pub fn count(self) -> usize {
        match self {
            Sequences::Padded { count, .. } | Sequences::TimeMajor { count, .. } => count,
            Sequences::Packed(packed) => packed.sequences(),
        }
    }

    /// How many steps the longest sequence has.
    pub fn steps(self) -> usize {
        match self {
            Sequences::Padded { steps, .. } | Sequences::TimeMajor { steps, .. } => steps,
            Sequences::Packed(packed) => packed.len(),
        }
    }

    /// How many rows all sequences have together.
    pub fn rows(self) -> usize {
        match self {
            Sequences::Padded { count, steps } | Sequences::TimeMajor { count, steps } => {
                count * steps
            }
            Sequences::Packed(packed) => packed.rows(),
        }
    }

    /// How many steps a sequence has.
    pub fn length(self, sequence: usize) -> usize {
        match self {
            Sequences::Padded { steps, .. } | Sequences::TimeMajor { steps, .. } => steps,
            Sequences::Packed(packed) => packed.length(sequence),
        }
    }

    /// The row of a sequence at a step that it has.
    pub fn row(self, sequence: usize, step: usize) -> usize {
        match self {
            Sequences::Padded { steps, .. } => sequence * steps + step,
            Sequences::TimeMajor { count, .. } => step * count + sequence,
            Sequences::Packed(packed) => packed.at(step).start + sequence,
        }
    }

    /// The sequence and the step of a row.
    pub fn position(self, row: usize) -> (usize, usize) {
        match self {
            Sequences::Padded { steps, .. } => (row / steps, row % steps),
            Sequences::TimeMajor { count, .. } => (row % count, row / count),
            Sequences::Packed(packed) => {
                let step = packed.step_of(row);
                (row - packed.at(step).start, step)
            }
        }
    }

    /// The rows of a sequence, from its first step to its last.
    pub fn rows_of(self, sequence: usize) -> impl DoubleEndedIterator<Item = usize> {
        (0..self.length(sequence)).map(move |step| self.row(sequence, step))
    }

    /// The rows of a step.
    pub fn at(self, step: usize) -> StepRows {
        match self {
            Sequences::Padded { count, steps } => StepRows { first: step, stride: steps, count },
            Sequences::TimeMajor { count, .. } => {
                StepRows { first: step * count, stride: 1, count }
            }
            Sequences::Packed(packed) => {
                let rows = packed.at(step);
                StepRows { first: rows.start, stride: 1, count: rows.len() }
            }
        }
    }

    /// How many sequences have a step: the first ones.
    pub fn alive(self, step: usize) -> usize {
        if step < self.steps() { self.at(step).count } else { 0 }
    }

    /// The rows that the sequences with step `step` > 0 have at the step before.
    pub fn before(self, step: usize) -> StepRows {
        StepRows { count: self.at(step).count, ..self.at(step - 1) }
    }

    /// The rows of step `step` > 0 of those sequences that have a step after it.
    pub fn continuing(self, step: usize) -> StepRows {
        StepRows { count: self.alive(step + 1), ..self.at(step) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed() -> PackedSequence {
        let mut packed = PackedSequence::default();
        packed.arrange(&[3, 1, 2], 4);
        packed
    }

    #[test]
    fn every_row_is_one_position() {
        let packed = packed();
        let all = [
            Sequences::Padded { count: 3, steps: 2 },
            Sequences::TimeMajor { count: 3, steps: 2 },
            Sequences::Packed(&packed),
        ];
        for sequences in all {
            let by_sequence = (0..sequences.count()).flat_map(|n| sequences.rows_of(n));
            let mut by_sequence: Vec<usize> = by_sequence.collect();
            by_sequence.sort_unstable();
            for (n, t) in (0..sequences.rows()).map(|row| sequences.position(row)) {
                assert_eq!(sequences.position(sequences.row(n, t)), (n, t));
            }
            let by_step = (0..sequences.steps()).flat_map(|t| sequences.at(t).iter());
            let mut by_step: Vec<usize> = by_step.collect();
            by_step.sort_unstable();
            assert_eq!(by_sequence, (0..sequences.rows()).collect::<Vec<_>>());
            assert_eq!(by_step, by_sequence);
        }
    }

    #[test]
    fn rows_of_steps_and_of_sequences_agree() {
        let packed = packed();
        let full = Sequences::Padded { count: 2, steps: 3 };
        assert_eq!(full.rows_of(1).collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(full.at(1), StepRows { first: 1, stride: 3, count: 2 });
        let sequences = Sequences::Packed(&packed);
        let rows = [0, 1, 2].map(|n| sequences.rows_of(n).collect::<Vec<_>>());
        assert_eq!(rows, [vec![0, 3, 5], vec![1, 4], vec![2]]);
        assert_eq!(sequences.before(1).range(), 0..2);
        assert_eq!(sequences.continuing(0).range(), 0..2);
        assert_eq!([0, 1, 2, 3].map(|t| sequences.alive(t)), [3, 2, 1, 0]);
    }
}
