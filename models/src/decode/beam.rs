//! The likeliest sentences that a beam of some width finds.

use engine_core::field::{Count, NonNegative};
use engine_core::registry::DECODER;
use engine_core::{Scalar, register};
use engine_datasets::Vocabulary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::group::Terms;
use super::rules::{Rules, Writable};
use super::search::Search;
use super::{Context, Decode, DecodeError, Decoder, Hypothesis, WordModel};

/// Keeps the likeliest beginnings of sentences at every step, and of those that end the best.
///
/// A sentence that has ended keeps its place in the beam as long as it is among the likeliest. Sentences are ranked by
///
/// ```text
/// score = ln p / lp,   lp = ((5 + length) / 6)^length_penalty
/// ```
///
/// where `length` counts words and `<END>` (Wu et al. 2016, equation 14). Where fewer sentences than asked for have
/// ended, the best of those that were cut off at `max_length` follow.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Beam {
    /// Sentences that are gone on with, at most the words of the vocabulary. Default: 3. With 1, this is `Greedy`.
    pub width: Count,
    /// Makes longer sentences rank higher: 0 ranks by probability alone; 0.6 to 1 are usual. Default: 0.
    pub length_penalty: NonNegative,
    /// Sentences that are given for each image, at most `width`. Default: 1.
    pub best: Count,
    /// The fewest tokens a sentence has, `<START>` and `<END>` counted. Default: 1.
    pub min_length: Count,
    /// The most tokens a sentence has, `<START>` and `<END>` counted. Default: 30.
    pub max_length: Count,
    /// What must not be written. `<NULL>` and `<START>` never are.
    pub rules: Rules,
}

impl Default for Beam {
    fn default() -> Self {
        Beam {
            width: Count::constant(3),
            length_penalty: NonNegative::constant(0.0),
            best: Count::constant(1),
            min_length: Count::constant(1),
            max_length: Count::constant(30),
            rules: Rules::default(),
        }
    }
}

register!(
    Beam in DECODER,
    example: "Beam(width: 3)",
    checks: [
        "Beam(width: 5, length_penalty: 0.7, best: 3, min_length: 6, max_length: 20)",
        "Beam(rules: (ban: [\"<UNK>\"], block_ngrams: 3))",
    ],
);

impl Beam {
    /// The search that it is.
    pub(super) fn search<'a>(&self, writable: &'a Writable) -> Search<'a> {
        let best = self.best.as_usize();
        Search {
            terms: Terms {
                places: self.width.as_usize(),
                best,
                longest: self.max_length.as_usize() - 1,
                length_penalty: self.length_penalty.get(),
                prunes: true,
            },
            groups: 1,
            best,
            shortest: self.min_length.as_usize() - 1,
            diversity: 0.0,
            writable,
        }
    }

    /// Whether sizes fit each other and the vocabulary. Returns the rules in its numbers.
    pub(super) fn fit(&self, vocabulary: &Vocabulary) -> Result<Writable, DecodeError> {
        let (width, best) = (self.width.as_usize(), self.best.as_usize());
        let (least, most) = (self.min_length.as_usize(), self.max_length.as_usize());
        if width > vocabulary.len() {
            return Err(DecodeError::TooWide { width, words: vocabulary.len() });
        }
        if best > width {
            return Err(DecodeError::TooManyBest { best, width });
        }
        if least > most {
            return Err(DecodeError::Lengths { least, most });
        }
        self.rules.of(vocabulary)
    }
}

#[typetag::serde]
impl Decoder for Beam {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), DecodeError> {
        self.fit(vocabulary).map(|_| ())
    }
}

impl<T: Scalar> Decode<T> for Beam {
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let writable = self.fit(model.vocabulary)?;
        self.search(&writable).run(model, context)
    }
}
