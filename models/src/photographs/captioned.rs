//! What a network says of a picture.

use engine_datasets::Vocabulary;
use serde::Serialize;

use crate::decode::Hypothesis;

/// What a network says of a picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Captioned {
    /// The sentence that the decoder finds best.
    pub sentence: String,
    /// All sentences that the decoder offers, that one first.
    pub alternatives: Vec<Alternative>,
    /// Where the network looked for each word of the best sentence, for a network that attends to regions.
    pub attention: Option<Attention>,
}

/// A sentence that a decoder offers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alternative {
    /// Its words.
    pub sentence: String,
    /// The natural logarithm of its probability, as the network has it, its end included.
    pub log_probability: f64,
    /// What the decoder ranks by: more is better.
    pub score: f64,
    /// Its words, one by one.
    pub words: Vec<Word>,
    /// The probability that it ends where it does; none for a sentence that was cut off.
    pub end: Option<f64>,
}

/// A word and how likely the network took it to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Word {
    /// The word.
    pub text: String,
    /// Its probability, given those before it: from 0 to 1.
    pub probability: f64,
}

/// Where a network looked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attention {
    /// Rows of regions, from the top.
    pub rows: usize,
    /// Regions a row, from the left.
    pub columns: usize,
    /// For each word the weights of all regions, row after row.
    pub weights: Vec<Vec<f32>>,
}

impl Attention {
    /// Weights over regions in so many rows and columns; `None` where these are not known.
    pub(super) fn over(places: Option<(usize, usize)>, weights: Vec<Vec<f32>>) -> Option<Self> {
        places.map(|(rows, columns)| Attention { rows, columns, weights })
    }
}

impl Alternative {
    pub(super) fn new(hypothesis: &Hypothesis, vocabulary: &Vocabulary) -> Self {
        let logarithms = &hypothesis.log_probabilities;
        let word = |at: usize| Word {
            text: vocabulary.word(hypothesis.tokens[at]).unwrap_or("<UNK>").to_owned(),
            probability: logarithms.get(at).map_or(f64::NAN, |ln| ln.exp()),
        };
        let ended = hypothesis.tokens.iter().position(|token| *token == vocabulary.end());
        Alternative {
            sentence: vocabulary.decode(&hypothesis.tokens),
            log_probability: hypothesis.log_probability(),
            score: hypothesis.score,
            words: shown(&hypothesis.tokens, vocabulary).map(word).collect(),
            end: ended.and_then(|at| logarithms.get(at)).map(|ln| ln.exp()),
        }
    }
}

/// The places of the tokens that [`Vocabulary::visible`] shows.
pub(super) fn shown<'a>(
    tokens: &'a [u32],
    vocabulary: &Vocabulary,
) -> impl Iterator<Item = usize> + 'a {
    let (start, end, null) = (vocabulary.start(), vocabulary.end(), vocabulary.null());
    let skipped = usize::from(tokens.first() == Some(&start));
    let tokens = tokens.iter().enumerate().skip(skipped);
    tokens.take_while(move |(_, t)| **t != end).filter(move |(_, t)| **t != null).map(|(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let words = Vocabulary::SPECIAL.iter().chain(&["a", "dog"]).map(|w| (*w).to_owned());
        Vocabulary::new(words.collect()).unwrap()
    }

    #[test]
    fn words_are_those_that_a_reader_sees() {
        let v = vocabulary();
        for tokens in [&[4, 5, 2][..], &[1, 4, 2, 5], &[4, 0, 5], &[1, 1, 4], &[2], &[], &[0, 2, 2]]
        {
            let places: Vec<u32> = shown(tokens, &v).map(|at| tokens[at]).collect();
            assert_eq!(places, v.visible(tokens).collect::<Vec<_>>(), "{tokens:?}");
        }
    }

    #[test]
    fn a_sentence_has_its_words_and_its_end() {
        let ln: Vec<f64> = [0.5, 0.25, 0.8].iter().map(|p: &f64| p.ln()).collect();
        let mut hypothesis = Hypothesis {
            tokens: vec![4, 5, 2],
            log_probabilities: ln,
            score: -1.5,
            ..Hypothesis::default()
        };
        let whole = Alternative::new(&hypothesis, &vocabulary());
        assert_eq!(whole.sentence, "a dog");
        assert_eq!(whole.words[1].text, "dog");
        assert!((whole.words[1].probability - 0.25).abs() < 1e-12);
        assert!((whole.end.unwrap() - 0.8).abs() < 1e-12);
        assert!((whole.log_probability.exp() - 0.1).abs() < 1e-12);
        hypothesis.tokens.pop();
        hypothesis.log_probabilities.pop();
        assert_eq!(Alternative::new(&hypothesis, &vocabulary()).end, None);
    }
}
