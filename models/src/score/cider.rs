//! CIDEr.

use super::corpus::{CandidateGrams, ReferenceGrams};
use super::ngrams::{Grams, LONGEST};
use super::{Corpus, Metric, Scored};
use crate::register_metric;

/// CIDEr: how near a caption's n-grams are to those of references, where rare ones weigh more.
///
/// ```text
/// g(s)[w] = count of w in s * log(N / max(1, images whose references have w))
/// sim[n] = sum over w of min(g(c)[w], g(r)[w]) g(r)[w] / (|g(c)| |g(r)|) * exp(-(l(c) - l(r))^2 / (2 * 6^2))
/// CIDEr = 10 * mean over n = 1 .. 4 and references of sim[n]
/// ```
///
/// N is the number of images, l the number of bigrams of a sentence; norms are those of the n-grams of one n. The corpus
/// score is the mean over images. A set of one image scores 0, since every n-gram is in all of it.
///
/// What the public coco-caption tool prints as CIDEr clips counts and looks at lengths, so it is the CIDEr-D of Vedantam et
/// al., *CIDEr: consensus-based image description evaluation*, CVPR 2015, with document frequencies of the set that is
/// scored: both names give one number.
#[derive(Debug)]
pub struct Cider;

register_metric!(Cider);

/// The standard deviation of the penalty on differences of length, in words.
const SIGMA: f64 = 6.0;

impl Metric for Cider {
    fn names(&self) -> &'static [&'static str] {
        &["CIDEr", "CIDEr_D"]
    }

    fn score(&self, corpus: &Corpus<'_>) -> Vec<Scored> {
        let weights = Weights::new(corpus.reference_grams(), corpus.candidates().len());
        let scored = Scored::mean(corpus.each(|image| weights.cider(corpus, image)));
        vec![scored.clone(), scored]
    }
}

/// What n-grams weigh in a set of references.
struct Weights<'a> {
    references: &'a ReferenceGrams,
    /// log N.
    unknown: f64,
    /// By the n-gram's number: log N - log max(1, document frequency).
    known: Vec<f64>,
}

impl<'a> Weights<'a> {
    fn new(references: &'a ReferenceGrams, images: usize) -> Self {
        let unknown = (images as f64).ln();
        let frequencies = references.document_frequency.iter();
        let known = frequencies.map(|count| unknown - f64::from((*count).max(1)).ln()).collect();
        Weights { references, unknown, known }
    }

    fn cider(&self, corpus: &Corpus<'_>, image: usize) -> f64 {
        let candidate = &corpus.grams()[image];
        let (norms, words) = (self.candidate_norms(candidate), corpus.candidates()[image].len());
        let references = self.references.images[image].iter().zip(&corpus.references()[image]);
        let similarities = references.map(|(grams, reference)| {
            let difference = bigrams(words) - bigrams(reference.len());
            let penalty = (-difference * difference / (2.0 * SIGMA * SIGMA)).exp();
            penalty * self.similarity(&candidate.0, grams, &norms)
        });
        10.0 * similarities.sum::<f64>() / corpus.references()[image].len().max(1) as f64
    }

    /// The mean over n of the cosines with clipped counts.
    fn similarity(&self, candidate: &Grams, reference: &Grams, norms: &[f64; LONGEST]) -> f64 {
        let mut products = [0.0; LONGEST];
        for (gram, count) in &candidate.counted {
            let there = reference.count(*gram);
            if there > 0 {
                let weight = self.known[*gram as usize];
                products[self.references.index.order(*gram)] +=
                    weight * weight * f64::from(there.min(*count)) * f64::from(there);
            }
        }
        let reference_norms = self.norms(reference).map(f64::sqrt);
        let cosine = |n: usize| match norms[n] * reference_norms[n] {
            0.0 => products[n],
            norm => products[n] / norm,
        };
        (0..LONGEST).map(cosine).sum::<f64>() / LONGEST as f64
    }

    /// The squares of the norms for each n.
    fn norms(&self, grams: &Grams) -> [f64; LONGEST] {
        let mut squares = [0.0; LONGEST];
        for (gram, count) in &grams.counted {
            let value = self.known[*gram as usize] * f64::from(*count);
            squares[self.references.index.order(*gram)] += value * value;
        }
        squares
    }

    fn candidate_norms(&self, (known, unknown): &CandidateGrams) -> [f64; LONGEST] {
        let mut squares = self.norms(known);
        for (order, count) in unknown {
            squares[*order] += (self.unknown * f64::from(*count)).powi(2);
        }
        squares.map(f64::sqrt)
    }
}

fn bigrams(words: usize) -> f64 {
    words.saturating_sub(1) as f64
}

#[cfg(test)]
mod tests {
    use super::super::References;
    use super::*;

    #[test]
    fn a_caption_that_is_the_only_reference_has_ten() {
        let references = [["a", "b", "c", "d"], ["e", "f", "g", "h"]].map(|r| vec![r.to_vec()]);
        let references = References::new(&references).unwrap();
        let corpus = Corpus::new(&references, &[vec!["a", "b", "c", "d"], vec!["x"]]).unwrap();
        let scored = Cider.score(&corpus).swap_remove(0);
        assert!((scored.per_image[0] - 10.0).abs() < 1e-12, "{scored:?}");
        assert_eq!(scored.per_image[1], 0.0);
        assert!((scored.corpus - 5.0).abs() < 1e-12, "{scored:?}");
    }

    #[test]
    fn one_image_has_no_rare_words() {
        let references = References::new(&[vec![vec!["a", "b"]]]).unwrap();
        let corpus = Corpus::new(&references, &[vec!["a", "b"]]).unwrap();
        assert_eq!(Cider.score(&corpus)[0].corpus, 0.0);
    }
}
