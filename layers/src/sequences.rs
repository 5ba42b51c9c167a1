//! Where the positions of each sequence lie in arrays with time.

use engine_core::{Scalar, Steps, Tensor};

/// The sequences of arrays over `[Batch, Time, ..]`, full or arranged step by step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sequences<'a> {
    steps: Option<&'a Steps>,
    /// How many there are and how many positions each has, in full arrays.
    full: [usize; 2],
}

impl<'a> Sequences<'a> {
    /// Those of an array with time, which `steps` arranges.
    pub(crate) fn of<T: Scalar>(array: &Tensor<T>, steps: Option<&'a Steps>) -> Self {
        Sequences { steps, full: [array.dim(0), array.dim(1)] }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.steps.map_or(self.full[0], Steps::sequences)
    }

    /// The rows of a sequence, from its first position to its last. The sequence is counted in the order of arrays over
    /// `[Batch, ..]`.
    pub(crate) fn rows(self, sequence: usize) -> impl DoubleEndedIterator<Item = usize> {
        let length = self.steps.map_or(self.full[1], |steps| steps.length(sequence));
        (0..length).map(move |t| match self.steps {
            Some(steps) => steps.at(t).start + sequence,
            None => sequence * length + t,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_go_from_first_to_last() {
        let array = Tensor::<f32>::zeros(&[2, 3, 5]);
        let full = Sequences::of(&array, None);
        assert_eq!(full.count(), 2);
        assert_eq!(full.rows(1).collect::<Vec<_>>(), [3, 4, 5]);

        let mut steps = Steps::default();
        steps.arrange(&[3, 1, 2], 4);
        let array = Tensor::<f32>::zeros(&[6, 5]);
        let arranged = Sequences::of(&array, Some(&steps));
        assert_eq!(arranged.count(), 3);
        let rows = [0, 1, 2].map(|sequence| arranged.rows(sequence).collect::<Vec<_>>());
        assert_eq!(rows, [vec![0, 3, 5], vec![1, 4], vec![2]]);
    }
}
