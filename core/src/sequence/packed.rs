//! The order in which the sequences of a batch lie in memory once their padding is left out.

use std::ops::Range;

/// Sequences of unequal length as rows: all sequences' first positions, then all second ones, and so on, the sequences
/// that last longest first.
///
/// The sequences that are alive at a step are therefore the first so many of those alive at the step before, and a step
/// is a matrix of neighbouring rows:
///
/// ```text
/// lengths 3, 1, 2      rows 0 1 2 | 3 4 | 5      sequences 0 2 1 | 0 2 | 0
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackedSequence {
    /// The first row of each step, and the number of rows.
    starts: Vec<usize>,
    /// The sequence of the batch that is at each place of a step.
    order: Vec<usize>,
    /// For each row its place among the rows of all sequences with padding, one sequence after the other.
    places: Vec<usize>,
}

impl PackedSequence {
    /// Takes on the order for sequences of these lengths, `time` with padding; of equally long ones the first comes
    /// first. A sequence of length 0 counts as one of length 1, so that none is without rows. Memory is kept.
    pub fn arrange(&mut self, lengths: &[usize], time: usize) {
        self.order.clear();
        self.order.extend(0..lengths.len());
        // Unstable sorting takes no memory; the index makes every key another.
        self.order.sort_unstable_by_key(|&n| (std::cmp::Reverse(lengths[n].max(1)), n));
        self.starts.clear();
        self.starts.push(0);
        let (mut alive, mut rows) = (lengths.len(), 0);
        for t in 0.. {
            while alive > 0 && lengths[self.order[alive - 1]].max(1) <= t {
                alive -= 1;
            }
            if alive == 0 {
                break;
            }
            rows += alive;
            self.starts.push(rows);
        }
        self.places.clear();
        self.places.reserve(lengths.len() * time);
        for t in 0..self.len() {
            let alive = &self.order[..self.starts[t + 1] - self.starts[t]];
            self.places.extend(alive.iter().map(|n| n * time + t));
        }
    }

    /// How many sequences there are.
    pub fn sequences(&self) -> usize {
        self.order.len()
    }

    /// How many steps the longest sequence has.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// Whether there is no sequence.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many positions all sequences have together.
    pub fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// How many positions the sequence at this place has: those at the first places have most.
    pub fn length(&self, place: usize) -> usize {
        let (mut alive, mut over) = (0, self.len());
        while alive < over {
            let middle = (alive + over) / 2;
            if self.at(middle).len() > place { alive = middle + 1 } else { over = middle }
        }
        alive
    }

    /// The step that a row is of.
    pub fn step_of(&self, row: usize) -> usize {
        self.starts.partition_point(|start| *start <= row) - 1
    }

    /// The rows of step `t`.
    pub fn at(&self, t: usize) -> Range<usize> {
        self.starts[t]..self.starts[t + 1]
    }

    /// The rows that the sequences alive at step `t` > 0 have at the step before.
    pub fn before(&self, t: usize) -> Range<usize> {
        let first = self.starts[t - 1];
        first..first + self.at(t).len()
    }

    /// The batch's sequence at each place of a step.
    pub fn order(&self) -> &[usize] {
        &self.order
    }

    /// For each row its place among the rows of all sequences with padding, one sequence after the other: `n T + t` for
    /// step t of sequence n.
    pub fn places(&self) -> &[usize] {
        &self.places
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(lengths: &[usize]) -> PackedSequence {
        let mut steps = PackedSequence::default();
        steps.arrange(lengths, 3);
        steps
    }

    #[test]
    fn rows_go_step_by_step_and_the_longest_come_first() {
        let steps = steps(&[3, 1, 2]);
        assert_eq!((steps.sequences(), steps.len(), steps.rows()), (3, 3, 6));
        assert_eq!(steps.order(), [0, 2, 1]);
        assert_eq!((steps.at(0), steps.at(1), steps.at(2)), (0..3, 3..5, 5..6));
        assert_eq!((steps.before(1), steps.before(2)), (0..2, 3..4));
        assert_eq!(steps.places(), [0, 6, 3, 1, 7, 2]);
        assert_eq!([0, 1, 2, 3].map(|place| steps.length(place)), [3, 2, 1, 0]);
    }

    #[test]
    fn no_sequence_is_without_rows() {
        let steps = steps(&[0, 2, 0]);
        assert_eq!(steps.order(), [1, 0, 2]);
        assert_eq!((steps.at(0), steps.at(1)), (0..3, 3..4));
        assert!(super::PackedSequence::default().is_empty());
    }

    #[test]
    fn equal_lengths_keep_their_order_and_memory_is_used_again() {
        let mut steps = steps(&[1; 50]);
        steps.arrange(&[2, 2], 3);
        assert_eq!(steps, self::steps(&[2, 2]));
        assert_eq!(steps.order(), [0, 1]);
    }
}
