//! METEOR with its first two stages.

use super::align::{Alignment, align};
use super::{Corpus, Metric, Scored};
use crate::register_metric;

/// METEOR by equal words and equal stems alone.
///
/// ```text
/// P = pairs / words of the caption, R = pairs / words of the reference
/// F = 10 P R / (R + 9 P)
/// METEOR_exact_stem = F * (1 - 0.5 * (chunks / pairs)^3)
/// ```
///
/// Words are paired if they are equal, then if their stems are, in the fewest chunks: runs of pairs that are neighbours in
/// both sentences. Of an image's references the best counts; the corpus score is that of the sums over images.
///
/// Banerjee and Lavie, *METEOR: an automatic metric for MT evaluation with improved correlation with human judgments*, 2005,
/// without its stage of synonyms. It is not METEOR 1.5, which also knows synonyms and paraphrases and has other weights.
#[derive(Debug)]
pub struct MeteorExactStem;

register_metric!(MeteorExactStem);

impl Metric for MeteorExactStem {
    fn names(&self) -> &'static [&'static str] {
        &["METEOR_exact_stem"]
    }

    fn score(&self, corpus: &Corpus<'_>) -> Vec<Scored> {
        let counts = corpus.each(|image| Counts::best(corpus, image));
        let total = counts.iter().fold(Counts::default(), Counts::plus).meteor();
        vec![Scored { corpus: total, per_image: counts.iter().map(Counts::meteor).collect() }]
    }
}

/// What METEOR counts.
#[derive(Debug, Clone, Default)]
struct Counts {
    aligned: Alignment,
    words: usize,
    reference_words: usize,
}

impl Counts {
    /// Those of the reference that scores best, of equally good ones the first.
    fn best(corpus: &Corpus<'_>, image: usize) -> Self {
        let (candidate, stems) = (&corpus.candidates()[image], corpus.stems());
        let counts = corpus.references()[image].iter().map(|reference| Counts {
            aligned: align(candidate, reference, stems),
            words: candidate.len(),
            reference_words: reference.len(),
        });
        let better = |a: Counts, b: Counts| if b.meteor() > a.meteor() { b } else { a };
        counts.reduce(better).unwrap_or_default()
    }

    fn plus(self, other: &Counts) -> Self {
        Counts {
            aligned: Alignment {
                matches: self.aligned.matches + other.aligned.matches,
                chunks: self.aligned.chunks + other.aligned.chunks,
            },
            words: self.words + other.words,
            reference_words: self.reference_words + other.reference_words,
        }
    }

    fn meteor(&self) -> f64 {
        if self.aligned.matches == 0 {
            return 0.0;
        }
        let pairs = self.aligned.matches as f64;
        let (precision, recall) = (pairs / self.words as f64, pairs / self.reference_words as f64);
        let mean = 10.0 * precision * recall / (recall + 9.0 * precision);
        mean * (1.0 - 0.5 * (self.aligned.chunks as f64 / pairs).powi(3))
    }
}

#[cfg(test)]
mod tests {
    use super::super::References;
    use super::*;

    fn meteor(candidate: &str, references: &[&str]) -> f64 {
        let words = |s: &str| s.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let references = References::new(&[references.iter().map(|r| words(r)).collect()]).unwrap();
        let corpus = Corpus::new(&references, &[words(candidate)]).unwrap();
        MeteorExactStem.score(&corpus)[0].corpus
    }

    #[test]
    fn scores_by_hand() {
        // Four pairs in one chunk.
        let whole = 1.0 - 0.5 / 64.0;
        assert!((meteor("a man rides bikes", &["a man rides bikes"]) - whole).abs() < 1e-12);
        assert!((meteor("a man riding bikes", &["x", "a man rides bike"]) - whole).abs() < 1e-12);
        // Two pairs in two chunks, of two and of four words.
        let f = 10.0 * 0.5 / (0.5 + 9.0);
        assert!((meteor("man a", &["a man rides bikes"]) - f * 0.5).abs() < 1e-12);
        assert_eq!(meteor("", &["a"]), 0.0);
        assert_eq!(meteor("b", &["a"]), 0.0);
    }
}
