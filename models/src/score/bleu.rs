//! BLEU, for n-grams of up to 1, 2, 3 and 4 words.

use super::ngrams::LONGEST;
use super::{Corpus, Metric, Scored};
use crate::register_metric;

/// BLEU: the share of a caption's n-grams that references have, with a penalty for short captions.
///
/// ```text
/// p[k] = (sum of min(count, most in one reference) + 1e-15) / (number of k-grams + 1e-9)
/// BLEU_n = (p[1] .. p[n])^(1/n) * min(1, exp(1 - 1 / ratio))
/// ratio = (words of the caption + 1e-15) / (words of the reference nearest in length + 1e-9)
/// ```
///
/// Of two references equally near in length the shorter counts. The corpus score takes all sums over the whole set.
///
/// Papineni et al., *BLEU: a method for automatic evaluation of machine translation*, ACL 2002; the constants and the
/// scores of single captions as the public coco-caption tool has them.
#[derive(Debug)]
pub struct Bleu;

register_metric!(Bleu);

impl Metric for Bleu {
    fn names(&self) -> &'static [&'static str] {
        &["BLEU_1", "BLEU_2", "BLEU_3", "BLEU_4"]
    }

    fn score(&self, corpus: &Corpus<'_>) -> Vec<Scored> {
        let counts = corpus.each(|image| Counts::of(corpus, image));
        let total = counts.iter().fold(Counts::default(), Counts::plus).bleu();
        let each: Vec<[f64; LONGEST]> = counts.iter().map(Counts::bleu).collect();
        let scored = |n: usize| Scored {
            corpus: total[n],
            per_image: each.iter().map(|scores| scores[n]).collect(),
        };
        (0..LONGEST).map(scored).collect()
    }
}

/// What BLEU counts.
#[derive(Debug, Clone, Default)]
struct Counts {
    /// Words of candidates.
    words: usize,
    /// Words of the references nearest in length.
    nearest: usize,
    /// k-grams of candidates.
    grams: [usize; LONGEST],
    /// Those of them that a reference has.
    correct: [usize; LONGEST],
}

impl Counts {
    fn of(corpus: &Corpus<'_>, image: usize) -> Self {
        let words = corpus.candidates()[image].len();
        let lengths = corpus.references()[image].iter().map(Vec::len);
        let nearest = lengths.min_by_key(|length| (length.abs_diff(words), *length)).unwrap_or(0);
        let all = corpus.reference_grams();
        let references = &all.images[image];
        let mut correct = [0; LONGEST];
        for (gram, count) in &corpus.grams()[image].0.counted {
            let most = references.iter().map(|grams| grams.count(*gram)).max().unwrap_or(0);
            correct[all.index.order(*gram)] += most.min(*count) as usize;
        }
        let grams = std::array::from_fn(|k| words.saturating_sub(k));
        Counts { words, nearest, grams, correct }
    }

    fn plus(self, other: &Counts) -> Self {
        Counts {
            words: self.words + other.words,
            nearest: self.nearest + other.nearest,
            grams: std::array::from_fn(|k| self.grams[k] + other.grams[k]),
            correct: std::array::from_fn(|k| self.correct[k] + other.correct[k]),
        }
    }

    fn bleu(&self) -> [f64; LONGEST] {
        const TINY: f64 = 1e-15;
        const SMALL: f64 = 1e-9;
        if self.words == 0 {
            return [0.0; LONGEST];
        }
        let ratio = (self.words as f64 + TINY) / (self.nearest as f64 + SMALL);
        let penalty = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|k| {
            product *= (self.correct[k] as f64 + TINY) / (self.grams[k] as f64 + SMALL);
            product.powf(1.0 / (k + 1) as f64) * penalty
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::References;
    use super::*;

    #[test]
    fn a_caption_that_is_a_reference_has_all_of_it() {
        let words = |s: &str| s.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let references =
            References::new(&[vec![words("a dog runs fast"), words("a cat")]]).unwrap();
        let same = Corpus::new(&references, &[words("a dog runs fast")]).unwrap();
        for scored in Bleu.score(&same) {
            assert!((scored.corpus - 1.0).abs() < 1e-8, "{scored:?}");
        }
        // Two of three words are right, the second `a` is one too many; no penalty beside `a cat`.
        let other = Corpus::new(&references, &[words("a dog a")]).unwrap();
        let scores = Bleu.score(&other);
        assert!((scores[0].corpus - 2.0 / 3.0).abs() < 1e-8, "{scores:?}");
        assert!((scores[1].corpus - (2.0_f64 / 3.0 * 0.5).sqrt()).abs() < 1e-8, "{scores:?}");
    }

    #[test]
    fn a_caption_without_words_scores_nothing() {
        let references = References::new(&[vec![vec!["a"]]]).unwrap();
        let corpus = Corpus::new::<&str>(&references, &[vec![]]).unwrap();
        assert!(Bleu.score(&corpus).iter().all(|scored| scored.corpus == 0.0));
    }
}
