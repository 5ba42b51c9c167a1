//! The rows of a step in arrays over time.

use engine_core::sequence::StepRows;
use engine_core::{Scalar, Sequences, Tensor};
use engine_kernels::matrix::{MatrixMut, MatrixRef};

/// The rows of a step in an array over time with so many numbers a row.
pub(super) fn at_step<T>(array: &[T], width: usize, rows: StepRows) -> MatrixRef<'_, T> {
    let StepRows { first, stride, count } = rows;
    match stride {
        1 => MatrixRef::new(array, width).block(first..first + count, 0..width),
        _ => {
            let columns = first * width..(first + 1) * width;
            MatrixRef::new(array, stride * width).block(0..count, columns)
        }
    }
}

/// As [`at_step`], to be changed.
pub(super) fn at_step_mut<T>(array: &mut [T], width: usize, rows: StepRows) -> MatrixMut<'_, T> {
    let StepRows { first, stride, count } = rows;
    match stride {
        1 => MatrixMut::new(array, width).into_rows(first..first + count),
        _ => MatrixMut::new(array, stride * width).into_columns(first * width..(first + 1) * width),
    }
}

/// The rows of a step, to be changed, and those that its sequences have at the step before, if there is one.
pub(super) fn split_at_step<'a, T>(
    array: &'a mut [T],
    width: usize,
    sequences: Sequences<'_>,
    step: usize,
) -> (Option<MatrixRef<'a, T>>, MatrixMut<'a, T>) {
    let StepRows { first, stride, count } = sequences.at(step);
    let (past, now) = match stride {
        1 => {
            let (past, rest) = MatrixMut::new(array, width).split_at_row(first);
            (past, rest.into_rows(0..count))
        }
        _ => {
            let (past, rest) = MatrixMut::new(array, stride * width).split_at_column(first * width);
            (past, rest.into_columns(0..width))
        }
    };
    let before = (step > 0).then(|| {
        let StepRows { first, stride, count } = sequences.before(step);
        let past = past.into_ref();
        match stride {
            1 => past.block(first..first + count, 0..width),
            _ => past.block(0..count, first * width..(first + 1) * width),
        }
    });
    (before, now)
}

/// The first rows of where a state starts.
pub(super) fn start_rows<T: Scalar>(start: &Tensor<T>, count: usize) -> MatrixRef<'_, T> {
    let width = start.rows().ncols();
    MatrixRef::new(start.as_slice(), width).block(0..count, 0..width)
}

/// The state before step `step` of an array over time: at the step before, or where it starts.
pub(super) fn before<'a, T: Scalar>(
    array: &'a [T],
    sequences: Sequences<'_>,
    step: usize,
    start: Option<&'a Tensor<T>>,
    width: usize,
) -> Option<MatrixRef<'a, T>> {
    match step {
        0 => start.map(|start| start_rows(start, sequences.at(0).count)),
        _ => Some(at_step(array, width, sequences.before(step))),
    }
}

#[cfg(test)]
mod tests {
    use engine_core::PackedSequence;

    use super::*;

    #[test]
    fn steps_are_found_and_split_off() {
        let mut packed = PackedSequence::default();
        packed.arrange(&[3, 1, 2], 4);
        for sequences in [
            Sequences::Padded { count: 3, steps: 2 },
            Sequences::Packed(&packed),
            Sequences::Padded { count: 3, steps: 1 },
        ] {
            let mut array: Vec<usize> = (0..2 * sequences.rows()).collect();
            for step in 0..sequences.steps() {
                let rows: Vec<usize> = sequences.at(step).iter().collect();
                let found = at_step(&array, 2, sequences.at(step));
                let expected = rows.iter().map(|row| [2 * row, 2 * row + 1]);
                assert!((0..found.rows()).map(|row| found.row(row)).eq(expected));
                let mut whole = array.clone();
                let found = at_step_mut(&mut whole, 2, sequences.at(step));
                assert_eq!((found.rows(), found.row(0)[0]), (rows.len(), 2 * rows[0]));
                let (before, now) = split_at_step(&mut array, 2, sequences, step);
                assert_eq!((now.rows(), now.row(0)[1]), (rows.len(), 2 * rows[0] + 1));
                assert_eq!(before.is_some(), step > 0);
                for (row, sequence) in
                    before.iter().flat_map(|x| (0..x.rows()).map(|at| (x.row(at), at)))
                {
                    assert_eq!(row[0], 2 * sequences.row(sequence, step - 1));
                }
            }
        }
    }
}
