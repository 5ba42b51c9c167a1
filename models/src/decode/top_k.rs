//! The best of many scores, in order.

use engine_core::Scalar;
use engine_kernels::lanes::{self, Simd, WithSimd};

use super::argmax::{BLOCK, largest_of};

/// Blocks whose largest scores are found together.
const BLOCKS: usize = 64;

/// A word and its score.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scored<T> {
    pub(super) word: u32,
    pub(super) score: T,
}

/// Writes the best of the words that are allowed to `best`, the best first, of equals the first in the vocabulary.
/// Returns how many there are: fewer than there is room for where not as many are allowed. A score of minus infinity, or
/// one that is not a number, is never among them.
pub(super) fn top_k<T: Scalar>(
    scores: &[T],
    allowed: impl Fn(u32) -> bool,
    best: &mut [Scored<T>],
) -> usize {
    let mut count = 0;
    let mut largest = [T::zero(); BLOCKS];
    for (at, part) in scores.chunks(BLOCK * BLOCKS).enumerate() {
        lanes::widest(LargestOfBlocks(part, &mut largest));
        for (block, (scores, largest)) in part.chunks(BLOCK).zip(&largest).enumerate() {
            // Most blocks have nothing that is better than what has been found.
            if !beats(*largest, &best[..count], best.len()) {
                continue;
            }
            let first = (at * BLOCKS + block) * BLOCK;
            for (word, score) in (first as u32..).zip(scores) {
                if beats(*score, &best[..count], best.len()) && allowed(word) {
                    count = insert(Scored { word, score: *score }, best, count);
                }
            }
        }
    }
    count
}

/// Whether a score is one of the best, given those so far and for how many there is room.
#[inline]
fn beats<T: Scalar>(score: T, found: &[Scored<T>], room: usize) -> bool {
    match found.last() {
        Some(last) if found.len() == room => score > last.score,
        _ => score > T::neg_infinity() && room > 0,
    }
}

/// Puts a word after those that are at least as good; where there is no room, the last one goes. Returns how many there
/// are.
fn insert<T: Scalar>(new: Scored<T>, best: &mut [Scored<T>], count: usize) -> usize {
    let count = (count + 1).min(best.len());
    let mut at = count - 1;
    while at > 0 && new.score > best[at - 1].score {
        best[at] = best[at - 1];
        at -= 1;
    }
    best[at] = new;
    count
}

/// The largest score of each block.
struct LargestOfBlocks<'a, T>(&'a [T], &'a mut [T; BLOCKS]);

impl<T: Scalar> WithSimd for LargestOfBlocks<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (block, largest) in self.0.chunks(BLOCK).zip(self.1) {
            *largest = largest_of(simd, block);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// All that are allowed, sorted.
    fn naive(scores: &[f64], allowed: impl Fn(u32) -> bool, count: usize) -> Vec<u32> {
        let finite = |word: &u32| scores[*word as usize] > f64::NEG_INFINITY;
        let mut words: Vec<u32> =
            (0..scores.len() as u32).filter(finite).filter(|word| allowed(*word)).collect();
        words.sort_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));
        words.truncate(count);
        words
    }

    #[test]
    fn the_best_are_those_of_a_sorted_list() {
        let seed = 5;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for width in [1, 2, 7, 64, 65, 1004, 4096, 9000] {
            for (count, different) in [(1, 3), (3, 50), (5, 100_000), (20, 9), (width, 30)] {
                let mut draw = |_| match rng.random_range(0..9) {
                    0 => f64::NEG_INFINITY,
                    1 => f64::NAN,
                    _ => f64::from(rng.random_range(-different..different)),
                };
                let scores: Vec<f64> = (0..width).map(&mut draw).collect();
                let single: Vec<f32> = scores.iter().map(|x| *x as f32).collect();
                for divisor in [1, 3, 10_000] {
                    let allowed = |word: u32| divisor == 1 || !word.is_multiple_of(divisor);
                    let right = naive(&scores, allowed, count);
                    let mut found = vec![Scored::default(); count];
                    let many = top_k(&scores, allowed, &mut found);
                    let words = found[..many].iter().map(|scored| scored.word);
                    assert_eq!(words.collect::<Vec<_>>(), right, "{width}, {count}, {divisor}");
                    let mut found = vec![Scored::default(); count];
                    let many = top_k(&single, allowed, &mut found);
                    let words = found[..many].iter().map(|scored| scored.word);
                    assert_eq!(words.collect::<Vec<_>>(), right, "{width}, {count}, {divisor}");
                }
            }
        }
    }
}
