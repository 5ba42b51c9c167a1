//! Limits on gradients, so that one bad batch cannot throw the weights far off.

use crate::Scalar;
use crate::config::field::Positive;
use engine_kernels::team;

/// Elements of one task's sum or change.
const CHUNK: usize = 1 << 14;

/// Sums that are kept until all are known, for them to be added in order.
const SUMS: usize = 64;

/// Sums kept side by side, so that additions neither wait for each other nor keep from vector instructions.
const LANES: usize = 16;

/// The Euclidean norm of all elements of all arrays together.
///
/// Squares are added in double precision, in an order that depends only on the lengths of the arrays: its bits are the
/// same for any number of threads.
pub fn global_norm<'a, T: Scalar>(arrays: impl Iterator<Item = &'a [T]>) -> f64 {
    arrays.map(sum_of_squares).sum::<f64>().sqrt()
}

/// Scales all arrays by one factor such that their [`global_norm`] is at most `limit`, and returns the norm they had.
///
/// Arrays whose norm is not finite are left as they are: no factor mends them.
///
/// Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013.
pub fn clip_norm<T: Scalar>(arrays: &mut [impl AsRef<[T]> + AsMut<[T]>], limit: Positive) -> f64 {
    clip_norm_of(arrays, |_| true, limit)
}

/// As [`clip_norm`], of those arrays alone whose place among them is `chosen`.
pub fn clip_norm_of<T: Scalar>(
    arrays: &mut [impl AsRef<[T]> + AsMut<[T]>],
    chosen: impl Fn(usize) -> bool,
    limit: Positive,
) -> f64 {
    let counted = arrays.iter().enumerate().filter(|(at, _)| chosen(*at));
    let norm = global_norm(counted.map(|(_, array)| array.as_ref()));
    if norm > limit.get() && norm.is_finite() {
        let factor = T::of(limit.get() / norm);
        let scaled = arrays.iter_mut().enumerate().filter(|(at, _)| chosen(*at));
        scaled.for_each(|(_, array)| change_each(array.as_mut(), |x| factor * x));
    }
    norm
}

/// Takes each element to the nearest number between minus and plus `limit`. What is not a number stays so, to be found
/// by whoever looks for it.
pub fn clip_value<'a, T: Scalar>(arrays: impl Iterator<Item = &'a mut [T]>, limit: Positive) {
    let limit = T::of(limit.get());
    arrays.for_each(|array| change_each(array, |x| x.clamp(-limit, limit)));
}

fn change_each<T: Scalar>(array: &mut [T], change: impl Fn(T) -> T + Sync) {
    team::for_each_chunk_mut(array, CHUNK, |_, chunk| {
        chunk.iter_mut().for_each(|x| *x = change(*x))
    });
}

/// The sum of squares: each chunk's is taken by some thread, and they are added in order.
fn sum_of_squares<T: Scalar>(array: &[T]) -> f64 {
    array.chunks(SUMS * CHUNK).map(sum_of_chunks).sum()
}

/// The sum of the squares of at most [`SUMS`] chunks.
fn sum_of_chunks<T: Scalar>(array: &[T]) -> f64 {
    let mut sums = [0.0; SUMS];
    let sums = &mut sums[..array.len().div_ceil(CHUNK)];
    team::for_each_chunk_mut(sums, 1, |at, sum| {
        let chunk = &array[at * CHUNK..];
        sum[0] = sum_of_few_squares(&chunk[..chunk.len().min(CHUNK)]);
    });
    sums.iter().sum()
}

fn sum_of_few_squares<T: Scalar>(array: &[T]) -> f64 {
    let square = |x: T| x.f64() * x.f64();
    let (rows, rest) = array.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += square(*x));
    }
    sums.iter().sum::<f64>() + rest.iter().map(|x| square(*x)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(value: f64) -> Positive {
        Positive::new(value).unwrap()
    }

    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| ((i as f64 * 1.7).sin() * 3.0) as f32).collect()
    }

    fn norm(arrays: &[Vec<f64>]) -> f64 {
        global_norm(arrays.iter().map(Vec::as_slice))
    }

    #[test]
    fn the_norm_is_that_of_all_arrays_together() {
        assert_eq!(norm(&[vec![3.0], vec![], vec![0.0, -4.0]]), 5.0);
        assert_eq!(norm(&[]), 0.0);
        assert_eq!(global_norm([[1e30f32; 4].as_slice()].into_iter()), 2.0 * f64::from(1e30f32));
    }

    #[test]
    fn long_norms_are_the_plain_sums() {
        for count in
            [1, LANES - 1, LANES + 1, CHUNK, CHUNK + 1, 7 * CHUNK + 5, (SUMS + 1) * CHUNK + 5]
        {
            let array = numbers(count);
            let plain = array.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
            let found = global_norm([array.as_slice()].into_iter());
            assert!((found - plain).abs() <= 1e-12 * plain, "{count}: {found}, expected {plain}");
        }
    }

    #[test]
    fn threads_do_not_show() {
        let clipped = |threads: usize| {
            let mut arrays = [numbers(9 * CHUNK + 3), numbers(100), numbers(CHUNK + 1)];
            let norm = team::with_threads(threads, || clip_norm(&mut arrays, limit(1.5)));
            (norm.to_bits(), arrays)
        };
        let one = clipped(1);
        assert!([2, 3, 7].into_iter().all(|threads| clipped(threads) == one));
    }

    #[test]
    fn norms_over_the_limit_come_down_to_it() {
        let mut arrays = [vec![3.0], vec![0.0, -4.0]];
        assert_eq!(clip_norm(&mut arrays, limit(2.5)), 5.0);
        assert_eq!(arrays, [vec![1.5], vec![0.0, -2.0]]);
    }

    #[test]
    fn arrays_that_are_not_chosen_have_no_part() {
        let mut arrays = [vec![3.0], vec![100.0], vec![-4.0]];
        assert_eq!(clip_norm_of(&mut arrays, |at| at != 1, limit(2.5)), 5.0);
        assert_eq!(arrays, [vec![1.5], vec![100.0], vec![-2.0]]);
    }

    #[test]
    fn norms_within_the_limit_stay() {
        let mut arrays = [vec![3.0], vec![0.0, -4.0]];
        let before = arrays.clone();
        assert_eq!(clip_norm(&mut arrays, limit(5.0)), 5.0);
        assert_eq!(arrays, before);
    }

    #[test]
    fn slices_are_arrays_too() {
        let (mut a, mut b) = ([3.0f32], [4.0f32]);
        clip_norm(&mut [a.as_mut_slice(), b.as_mut_slice()], limit(1.0));
        assert!((a[0] - 0.6).abs() < 1e-6 && (b[0] - 0.8).abs() < 1e-6);
    }

    #[test]
    fn norms_that_are_not_finite_are_left_for_the_caller() {
        let mut arrays = [vec![f64::INFINITY, 1.0]];
        assert_eq!(clip_norm(&mut arrays, limit(1.0)), f64::INFINITY);
        assert_eq!(arrays, [[f64::INFINITY, 1.0]]);
        assert!(clip_norm(&mut [vec![f64::NAN, 1.0]], limit(1.0)).is_nan());
    }

    #[test]
    fn values_are_clamped_one_by_one() {
        let mut array = [0.5, -0.5, 1.5, -1e300, f64::INFINITY];
        clip_value([array.as_mut_slice()].into_iter(), limit(1.0));
        assert_eq!(array, [0.5, -0.5, 1.0, -1.0, 1.0]);
        let mut array = [f32::NAN];
        clip_value([array.as_mut_slice()].into_iter(), limit(1.0));
        assert!(array[0].is_nan());
        let mut long = numbers(3 * CHUNK + 5);
        let expected: Vec<f32> = long.iter().map(|x| x.clamp(-1.0, 1.0)).collect();
        clip_value([long.as_mut_slice()].into_iter(), limit(1.0));
        assert_eq!(long, expected);
    }
}
