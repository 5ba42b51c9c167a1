//! ROUGE-L.

use super::{Corpus, Metric, Scored};
use crate::register_metric;

/// ROUGE-L: how much of a caption stands in a reference in the same order.
///
/// ```text
/// P = most over references of LCS(caption, reference) / words of the caption
/// R = most over references of LCS(caption, reference) / words of the reference
/// ROUGE_L = (1 + beta^2) P R / (R + beta^2 P)      beta = 1.2
/// ```
///
/// LCS is the length of the longest common subsequence. P and R may be of different references. The corpus score is the
/// mean over images. Lin, *ROUGE: a package for automatic evaluation of summaries*, 2004; beta and the maxima as the
/// public coco-caption tool has them.
#[derive(Debug)]
pub struct RougeL;

register_metric!(RougeL);

const BETA: f64 = 1.2;

impl Metric for RougeL {
    fn names(&self) -> &'static [&'static str] {
        &["ROUGE_L"]
    }

    fn score(&self, corpus: &Corpus<'_>) -> Vec<Scored> {
        let score = |image: usize| rouge(&corpus.candidates()[image], &corpus.references()[image]);
        vec![Scored::mean(corpus.each(score))]
    }
}

fn rouge(candidate: &[u32], references: &[Vec<u32>]) -> f64 {
    let (mut precision, mut recall) = (0.0_f64, 0.0_f64);
    for reference in references {
        let common = longest_common_subsequence(candidate, reference) as f64;
        precision = precision.max(common / candidate.len().max(1) as f64);
        recall = recall.max(common / reference.len().max(1) as f64);
    }
    if precision == 0.0 || recall == 0.0 {
        return 0.0;
    }
    let beta = BETA * BETA;
    (1.0 + beta) * precision * recall / (recall + beta * precision)
}

/// The length of the longest sequence of words that both have in this order.
fn longest_common_subsequence(a: &[u32], b: &[u32]) -> usize {
    // lengths[j]: of the words of `a` so far and the first j of `b`.
    let mut lengths = vec![0; b.len() + 1];
    for word in a {
        let mut before = 0;
        for (j, other) in b.iter().enumerate() {
            let above = lengths[j + 1];
            lengths[j + 1] = if word == other { before + 1 } else { above.max(lengths[j]) };
            before = above;
        }
    }
    lengths[b.len()]
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// By its definition: of all subsequences of `a` the longest that `b` has.
    fn by_definition(a: &[u32], b: &[u32]) -> usize {
        let in_b = |chosen: u32| {
            let mut rest = b.iter();
            let mut words = a.iter().enumerate().filter(|(at, _)| chosen >> at & 1 == 1);
            words.all(|(_, word)| rest.any(|other| other == word))
        };
        let chosen = (0..1_u32 << a.len()).filter(|chosen| in_b(*chosen));
        chosen.map(u32::count_ones).max().unwrap_or(0) as usize
    }

    #[test]
    fn the_longest_common_subsequence_is_that_of_the_definition() {
        for seed in 0..200 {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let mut draw = |most: usize| -> Vec<u32> {
                let length = rng.random_range(0..=most);
                (0..length).map(|_| rng.random_range(0..4)).collect()
            };
            let (a, b) = (draw(8), draw(10));
            assert_eq!(longest_common_subsequence(&a, &b), by_definition(&a, &b), "seed {seed}");
        }
    }

    #[test]
    fn precision_and_recall_may_be_of_different_references() {
        // P = 1 of the first, R = 1 of the second.
        assert_eq!(rouge(&[1, 2], &[vec![1, 2, 3, 4], vec![2]]), 1.0);
        assert_eq!(rouge(&[], &[vec![1]]), 0.0);
        assert_eq!(rouge(&[5], &[vec![1]]), 0.0);
    }
}
