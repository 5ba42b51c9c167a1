//! From scores to probabilities.

use engine_core::Scalar;
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::math::exp_v;
use engine_kernels::team;
use ndarray::ArrayView2;

use super::argmax::largest;

/// Rows that one thread goes through at a time.
pub(super) const ROWS: usize = 16;

/// What takes a row of scores to the logarithms of its softmax.
#[derive(Debug, Clone, Copy)]
pub(super) struct Normalizer {
    /// The largest score.
    most: f64,
    /// ln of the sum of e^(score - most), which is not below 0.
    log_sum: f64,
}

impl Normalizer {
    /// That of a row.
    pub(super) fn of<T: Scalar>(scores: &[T]) -> Self {
        let most = scores.get(largest(scores)).copied().unwrap_or(T::zero());
        let sum = lanes::widest(SumOfExponentials { scores, most });
        Normalizer { most: most.f64(), log_sum: sum.f64().ln() }
    }

    /// The natural logarithm of the probability of a word with this score. It is not above 0, also not by rounding.
    pub(super) fn log_probability<T: Scalar>(self, score: T) -> f64 {
        (score.f64() - self.most) - self.log_sum
    }
}

/// Writes the natural logarithm of the softmax of each row of scores at that row's word.
///
/// # Panics
/// When the scores are not in row-major order, there is not a word and a place for each row, or there is no such word.
pub(crate) fn log_probabilities<T: Scalar>(
    scores: ArrayView2<'_, T>,
    words: &[u32],
    logarithms: &mut [f64],
) {
    let width = scores.ncols();
    let scores = scores.to_slice().expect("scores in row-major order");
    assert_eq!(words.len(), logarithms.len(), "a word for each row");
    team::for_each_chunk_mut(logarithms, ROWS, |at, logarithms| {
        let (scores, words) = (&scores[at * ROWS * width..], &words[at * ROWS..]);
        for ((row, word), logarithm) in scores.chunks_exact(width).zip(words).zip(logarithms) {
            *logarithm = Normalizer::of(row).log_probability(row[*word as usize]);
        }
    });
}

/// The sum of e^(score - most), in an order that follows from the number of lanes.
struct SumOfExponentials<'a, T> {
    scores: &'a [T],
    most: T,
}

impl<T: Scalar> WithSimd for SumOfExponentials<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        let (lanes, most) = (T::lanes(simd), T::splat(simd, self.most));
        let mut sums = T::splat(simd, T::zero());
        let mut rest = self.scores;
        while rest.len() >= lanes {
            let x = <T as Lanes>::sub(simd, T::load_part(simd, rest), most);
            sums = <T as Lanes>::add(simd, sums, exp_v::<T, S>(simd, x));
            rest = &rest[lanes..];
        }
        let mut last = [T::zero(); 64];
        let x = <T as Lanes>::sub(simd, T::load_part(simd, rest), most);
        T::store_part(simd, &mut last, exp_v::<T, S>(simd, x));
        let mut sum = T::reduce_add(simd, sums);
        for x in &last[..rest.len()] {
            sum += *x;
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn logarithms_are_those_of_the_softmax() {
        let seed = 7;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (rows, width) in [(1, 1), (3, 4), (17, 16), (40, 65), (5, 1004)] {
            let scores = Array2::from_shape_fn((rows, width), |_| rng.random_range(-30.0..30.0f64));
            let words: Vec<u32> = (0..rows).map(|_| rng.random_range(0..width as u32)).collect();
            let right = scores.outer_iter().zip(&words).map(|(row, word)| {
                let sum: f64 = row.iter().map(|x| x.exp()).sum();
                row[*word as usize] - sum.ln()
            });
            let right: Vec<f64> = right.collect();
            let (mut found, mut single) = (vec![1.0; rows], vec![1.0; rows]);
            log_probabilities(scores.view(), &words, &mut found);
            log_probabilities(scores.mapv(|x| x as f32).view(), &words, &mut single);
            for ((right, found), single) in right.iter().zip(found).zip(single) {
                assert!((right - found).abs() < 1e-12 && found <= 0.0, "{found} for {right}");
                assert!((right - single).abs() < 1e-5 && single <= 0.0, "{single} for {right}");
            }
        }
    }

    #[test]
    fn a_word_that_is_certain_has_logarithm_0() {
        let of = |scores: &[f32]| Normalizer::of(scores).log_probability(scores[0]);
        assert_eq!(of(&[3.0]), 0.0);
        assert_eq!(of(&[300.0, -300.0]), 0.0);
        assert_eq!(of(&[5.0, f32::NEG_INFINITY]), 0.0);
        assert_eq!(of(&[f32::NEG_INFINITY, 5.0]), f64::NEG_INFINITY);
    }
}
