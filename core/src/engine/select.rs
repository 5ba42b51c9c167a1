//! Some sequences of a batch in place of all.

use crate::array::dim::Symbol;
use crate::array::shape::Shape;
use crate::array::tensor::Tensor;
use engine_kernels::team;

/// Sequences that one thread copies at a time.
const ROWS: usize = 16;

/// Keeps the sequences `rows` of an array with the symbolic shape `shape`, in this order, along every dimension that is
/// the batch. `spare` is memory for that.
///
/// # Panics
/// When the batch has no such row.
pub(super) fn select<T: Copy + Default + Send + Sync>(
    array: &mut Tensor<T>,
    shape: &Shape,
    rows: &[usize],
    spare: &mut Tensor<T>,
) {
    let batch = shape.dims().iter().enumerate().filter(|(_, dim)| dim.is(Symbol::BATCH));
    for (axis, _) in batch {
        let (lead, rest) = array.shape().split_at(axis);
        let (batch, rest) = (rest[0], &rest[1..]);
        let length: usize = rest.iter().product();
        spare.reshape_rows(&[lead, &[rows.len()]].concat(), rest);
        if length > 0 {
            let to = spare.as_mut_slice().chunks_exact_mut(rows.len() * length);
            for (to, from) in to.zip(array.as_slice().chunks_exact(batch * length)) {
                team::for_each_chunk_mut(to, ROWS * length, |at, to| {
                    for (to, row) in to.chunks_exact_mut(length).zip(&rows[at * ROWS..]) {
                        to.copy_from_slice(&from[row * length..][..length]);
                    }
                });
            }
        }
        std::mem::swap(array, spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::dim::Dim;

    fn selected(shape: &Shape, sizes: &[usize], rows: &[usize]) -> (Vec<usize>, Vec<usize>) {
        let numbers = (0..sizes.iter().product()).collect();
        let mut array = Tensor::from_vec(sizes, numbers).unwrap();
        select(&mut array, shape, rows, &mut Tensor::default());
        (array.shape().to_vec(), array.as_slice().to_vec())
    }

    #[test]
    fn rows_are_taken_wherever_the_batch_is() {
        let [batch, two] = [Dim::BATCH, Dim::Fixed(2)];
        let lead = Shape::new([batch, two]);
        assert_eq!(selected(&lead, &[3, 2], &[2, 0]), (vec![2, 2], vec![4, 5, 0, 1]));
        assert_eq!(selected(&lead, &[1, 2], &[0, 0]), (vec![2, 2], vec![0, 1, 0, 1]));
        let last = Shape::new([two, batch]);
        assert_eq!(selected(&last, &[2, 3], &[1, 1]), (vec![2, 2], vec![1, 1, 4, 4]));
        let both = Shape::new([batch, batch]);
        assert_eq!(selected(&both, &[2, 2], &[1]), (vec![1, 1], vec![3]));
        assert_eq!(selected(&Shape::new([two]), &[2], &[1]), (vec![2], vec![0, 1]));
    }
}
