//! Several beams that are kept from writing the same.

use engine_core::field::{Count, NonNegative};
use engine_core::registry::DECODER;
use engine_core::{Scalar, register};
use engine_datasets::Vocabulary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::group::Terms;
use super::rules::{Rules, Writable};
use super::search::Search;
use super::{Beam, Context, Decode, DecodeError, Decoder, Hypothesis, WordModel};

/// Groups of sentences, each a beam, that lose by choosing words that other groups have chosen at the same step.
///
/// The groups of an image go one after the other. What a sentence y is chosen by in group g is
///
/// ```text
/// rank(y) = ln p(y) - penalty * sum over t of (how often groups before g chose the word y[t] at step t)
/// ```
///
/// This is diverse beam search with Hamming diversity (Vijayakumar et al. 2016). In the end the sentences of all groups
/// are ranked as `Beam` ranks its own; what two groups have both written comes once.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DiverseBeam {
    /// Sentences that are gone on with, those of all groups together. Default: 3.
    pub width: Count,
    /// Groups that share the width evenly. Default: 3. With 1, this is `Beam`.
    pub groups: Count,
    /// What a word loses for each time that a group before has chosen it at the same step, in units of ln p. Default:
    /// 0.5.
    pub penalty: NonNegative,
    /// Makes longer sentences rank higher: 0 ranks by probability alone; 0.6 to 1 are usual. Default: 0.
    pub length_penalty: NonNegative,
    /// Sentences that are given for each image, at most `width`. Default: 3.
    pub best: Count,
    /// The fewest tokens a sentence has, `<START>` and `<END>` counted. Default: 1.
    pub min_length: Count,
    /// The most tokens a sentence has, `<START>` and `<END>` counted. Default: 30.
    pub max_length: Count,
    /// What must not be written. `<NULL>` and `<START>` never are.
    pub rules: Rules,
}

impl Default for DiverseBeam {
    fn default() -> Self {
        let Beam { width, length_penalty, min_length, max_length, rules, .. } = Beam::default();
        DiverseBeam {
            width,
            groups: Count::constant(3),
            // Vijayakumar et al. found little difference between 0.2 and 0.8.
            penalty: NonNegative::constant(0.5),
            length_penalty,
            best: Count::constant(3),
            min_length,
            max_length,
            rules,
        }
    }
}

register!(
    DiverseBeam in DECODER,
    example: "DiverseBeam(width: 6, groups: 3)",
    checks: [
        "DiverseBeam(width: 4, groups: 2, penalty: 0.8, length_penalty: 0.7, best: 4)",
        "DiverseBeam(min_length: 5, max_length: 20, rules: (block_ngrams: 2))",
    ],
);

impl DiverseBeam {
    /// The beam of the same width.
    fn undivided(&self) -> Beam {
        let DiverseBeam { width, length_penalty, best, min_length, max_length, rules, .. } =
            self.clone();
        Beam { width, length_penalty, best, min_length, max_length, rules }
    }

    /// Whether sizes fit each other and the vocabulary. Returns the rules in its numbers.
    fn fit(&self, vocabulary: &Vocabulary) -> Result<Writable, DecodeError> {
        let writable = self.undivided().fit(vocabulary)?;
        let (width, groups) = (self.width.as_usize(), self.groups.as_usize());
        match width.is_multiple_of(groups) {
            true => Ok(writable),
            false => Err(DecodeError::Groups { groups, width }),
        }
    }
}

#[typetag::serde]
impl Decoder for DiverseBeam {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), DecodeError> {
        self.fit(vocabulary).map(|_| ())
    }
}

impl<T: Scalar> Decode<T> for DiverseBeam {
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let writable = self.fit(model.vocabulary)?;
        let (beam, groups) = (self.undivided(), self.groups.as_usize());
        let search = beam.search(&writable);
        let places = beam.width.as_usize() / groups;
        // What a group drops would be missing from what later groups are kept from.
        let terms = Terms { places, prunes: groups == 1, ..search.terms };
        let diversity = self.penalty.get();
        Search { terms, groups, diversity, ..search }.run(model, context)
    }
}
