//! The largest of many scores.

use engine_core::Scalar;
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::team;
use ndarray::ArrayView2;

/// Rows that one thread goes through at a time.
const ROWS: usize = 16;
/// Scores that are compared together before anyone asks where the largest is.
pub(super) const BLOCK: usize = 64;

/// Writes for each row of scores the index of the largest, the first of equals, to `words`. Scores that are not numbers
/// are passed over, but for the first: where it is none, it counts as the largest.
///
/// # Panics
/// When the scores are not in row-major order, or `words` does not have an element for each row.
pub fn argmax<T: Scalar>(scores: ArrayView2<'_, T>, words: &mut [u32]) {
    let width = scores.ncols();
    let scores = scores.to_slice().expect("scores in row-major order");
    assert_eq!(scores.len(), words.len() * width, "a word for each row");
    team::for_each_chunk_mut(words, ROWS, |at, words| {
        let scores = &scores[at * ROWS * width..][..words.len() * width];
        for (row, word) in scores.chunks_exact(width).zip(words) {
            *word = largest(row) as u32;
        }
    });
}

/// The index of the largest of some scores, as [`argmax`] counts; 0 where there is none.
pub(super) fn largest<T: Scalar>(scores: &[T]) -> usize {
    lanes::widest(Largest(scores))
}

/// The index of the largest number.
struct Largest<'a, T>(&'a [T]);

impl<T: Scalar> WithSimd for Largest<'_, T> {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let row = self.0;
        if row.first().is_none_or(|first| first.is_nan()) {
            return 0;
        }
        let (mut largest, mut place) = (T::neg_infinity(), 0);
        for (at, block) in row.chunks(BLOCK).enumerate() {
            let of_block = largest_of(simd, block);
            if of_block > largest {
                (largest, place) = (of_block, at * BLOCK);
            }
        }
        let block = &row[place..row.len().min(place + BLOCK)];
        place + block.iter().position(|x| *x == largest).unwrap_or(0)
    }
}

/// The largest number of some, -inf if there is none.
#[inline(always)]
pub(super) fn largest_of<T: Scalar, S: Simd>(simd: S, numbers: &[T]) -> T {
    let chunks = numbers.chunks_exact(T::lanes(simd));
    let rest = chunks.remainder().iter().fold(T::neg_infinity(), |most, x| greater(*x, most));
    let mut most = T::splat(simd, T::neg_infinity());
    for chunk in chunks {
        // What is not a number is not greater.
        most = <T as Lanes>::max(simd, T::load_part(simd, chunk), most);
    }
    greater(T::reduce_max(simd, most), rest)
}

/// The first number if it is greater, else the second.
fn greater<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// One after the other.
    fn naive(scores: &[f64]) -> u32 {
        let mut best = 0;
        for (at, score) in scores.iter().enumerate() {
            if *score > scores[best] {
                best = at;
            }
        }
        best as u32
    }

    #[test]
    fn of_equals_the_first_wins() {
        let seed = 4;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let odd = [f64::NAN, f64::NEG_INFINITY, f64::INFINITY, -0.0, 0.0];
        for (rows, width) in [(1, 1), (1, 3), (5, 8), (17, 64), (40, 65), (3, 1004), (33, 130)] {
            for different in [2, 5, 50] {
                let draw = |rng: &mut ChaCha8Rng| match rng.random_range(0..20usize) {
                    at if at < odd.len() && different == 5 => odd[at],
                    _ => f64::from(rng.random_range(-different..different)),
                };
                let scores = Array2::from_shape_fn((rows, width), |_| draw(&mut rng));
                let single = scores.mapv(|x| x as f32);
                let (mut words, mut single_words) = (vec![9; rows], vec![9; rows]);
                argmax(scores.view(), &mut words);
                argmax(single.view(), &mut single_words);
                let right = scores.outer_iter().map(|row| naive(&row.to_vec()));
                let right: Vec<u32> = right.collect();
                assert_eq!(words, right, "{scores}");
                assert_eq!(single_words, right, "{scores}");
            }
        }
    }

    #[test]
    fn of_nothing_else_the_first_wins() {
        for row in [[f64::NAN, 1.0], [f64::NEG_INFINITY; 2], [f64::NEG_INFINITY, f64::NAN]] {
            let mut word = [9];
            argmax(Array2::from_shape_fn((1, 2), |(_, at)| row[at]).view(), &mut word);
            assert_eq!(word, [0], "{row:?}");
        }
    }
}
