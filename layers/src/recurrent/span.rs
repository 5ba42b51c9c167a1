//! Sums over numbers that lie side by side, in double precision.
//!
//! Terms are dealt out to as many partial sums whatever vectors the processor has, so that the bits are always the same.

use engine_core::Scalar;

const PARTS: usize = 16;

/// The sum of `term(a, b)` over both arrays side by side.
#[inline(always)]
pub(crate) fn sum<T: Scalar>(a: &[T], b: &[T], term: impl Fn(T, T) -> f64) -> f64 {
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

    #[test]
    fn every_term_is_counted_once() {
        for count in [0, 1, 15, 16, 17, 100] {
            let numbers: Vec<f64> = (0..count).map(f64::from).collect();
            let expected: f64 = numbers.iter().map(|x| 3.0 * x).sum();
            assert_eq!(sum(&numbers, &numbers, |a, b| a + 2.0 * b), expected);
        }
    }
}
