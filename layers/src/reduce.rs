//! Sums, maxima and softmaxes of rows, in an order that is the same on any machine.

use engine_core::Scalar;
use engine_kernels::math;

/// How many elements are worked on side by side, always the same number, so that sums have the same bits on any machine.
const LANES: usize = 16;

/// The largest element.
pub(crate) fn largest<T: Scalar>(xs: &[T]) -> T {
    let mut lanes = [T::neg_infinity(); LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    let max = |a: T, b: T| if a > b { a } else { b };
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, &x)| *lane = max(*lane, x));
    }
    lanes.into_iter().chain(rest.iter().copied()).fold(T::neg_infinity(), max)
}

/// The sum in double precision.
pub(crate) fn sum<T: Scalar>(xs: &[T]) -> f64 {
    sum_of(xs, |x| x)
}

/// The sum of a function of each element, in double precision.
pub(crate) fn sum_of<T: Scalar>(xs: &[T], f: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    for block in blocks {
        lanes.iter_mut().zip(block).for_each(|(lane, x)| *lane += f(x.f64()));
    }
    lanes.into_iter().chain(rest.iter().map(|x| f(x.f64()))).sum()
}

/// The sum of the products of elements, in double precision.
pub(crate) fn dot<T: Scalar>(xs: &[T], ys: &[T]) -> f64 {
    let mut lanes = [0.0; LANES];
    let (blocks, rest) = xs.as_chunks::<LANES>();
    let (others, other_rest) = ys.as_chunks::<LANES>();
    for (block, other) in blocks.iter().zip(others) {
        let products = block.iter().zip(other).map(|(x, y)| x.f64() * y.f64());
        lanes.iter_mut().zip(products).for_each(|(lane, product)| *lane += product);
    }
    let rest = rest.iter().zip(other_rest).map(|(x, y)| x.f64() * y.f64());
    lanes.into_iter().chain(rest).sum()
}

/// The sum of x y (z - origin) in double precision.
pub(crate) fn dot_off<T: Scalar>(xs: &[T], ys: &[T], zs: &[T], origin: f64) -> f64 {
    let term = |((x, y), z): ((&T, &T), &T)| x.f64() * y.f64() * (z.f64() - origin);
    let mut lanes = [0.0; LANES];
    let [(x, x_rest), (y, y_rest), (z, z_rest)] = [xs, ys, zs].map(|row| row.as_chunks::<LANES>());
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        let terms = x.iter().zip(y).zip(z).map(term);
        lanes.iter_mut().zip(terms).for_each(|(lane, term)| *lane += term);
    }
    lanes.into_iter().chain(x_rest.iter().zip(y_rest).zip(z_rest).map(term)).sum()
}

/// A row of scores becomes their softmax. Returns the largest score, and the sum of the exponentials of scores less that
/// one. Where every score is minus infinity, all of the row is 0.
pub(crate) fn softmax<T: Scalar>(row: &mut [T]) -> (T, f64) {
    let largest = largest(row);
    if largest == T::neg_infinity() && row.iter().all(|x| *x == largest) {
        row.fill(T::zero());
        return (largest, 0.0);
    }
    row.iter_mut().for_each(|x| *x -= largest);
    math::exp(row);
    let sum = sum(row);
    let scale = T::of(1.0 / sum);
    row.iter_mut().for_each(|x| *x *= scale);
    (largest, sum)
}

const PARTS: usize = 16;

/// The sum of `term(a, b)` over two arrays side by side, in double precision; partial sums are added as a tree, which
/// compiles to vectors where it is inlined.
#[inline(always)]
pub(crate) fn sum_pairs<T: Scalar>(a: &[T], b: &[T], term: impl Fn(T, T) -> f64) -> f64 {
    let mut parts = [0.0; PARTS];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<PARTS>(), b.as_chunks::<PARTS>());
    for (a, b) in a.iter().zip(b) {
        for i in 0..PARTS {
            parts[i] += term(a[i], b[i]);
        }
    }
    for (i, (&a, &b)) in a_rest.iter().zip(b_rest).enumerate() {
        parts[i] += term(a, b);
    }
    let mut width = PARTS / 2;
    while width > 0 {
        for i in 0..width {
            parts[i] += parts[i + width];
        }
        width /= 2;
    }
    parts[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::random;

    #[test]
    fn rows_of_any_length_have_their_sums() {
        for length in [1, 2, LANES - 1, LANES, LANES + 1, 5 * LANES + 3] {
            let (x, y) = (random::<f64>(&[length], 1), random::<f64>(&[length], 2));
            let (x, y) = (x.as_slice(), y.as_slice());
            let near = |found: f64, exact: f64| assert!((found - exact).abs() < 1e-12);
            near(sum(x), x.iter().sum());
            near(sum_of(x, |x| x * x), x.iter().map(|x| x * x).sum());
            near(dot(x, y), x.iter().zip(y).map(|(x, y)| x * y).sum());
            let off: Vec<f64> = x.iter().map(|x| x - 0.5).collect();
            near(
                dot_off(x, y, x, 0.5),
                dot(y, x.iter().zip(&off).map(|(x, o)| x * o).collect::<Vec<_>>().as_slice()),
            );
            assert_eq!(largest(x), x.iter().copied().fold(f64::MIN, f64::max));
        }
        assert_eq!(largest::<f32>(&[]), f32::NEG_INFINITY);
    }

    #[test]
    fn every_term_is_counted_once() {
        for count in [0, 1, 15, 16, 17, 100] {
            let numbers: Vec<f64> = (0..count).map(f64::from).collect();
            let expected: f64 = numbers.iter().map(|x| 3.0 * x).sum();
            assert_eq!(sum_pairs(&numbers, &numbers, |a, b| a + 2.0 * b), expected);
        }
    }
}
