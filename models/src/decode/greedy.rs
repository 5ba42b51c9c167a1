//! The likeliest word at every step.

use engine_core::field::Count;
use engine_core::registry::DECODER;
use engine_core::{Batch, Scalar, register};
use engine_datasets::Vocabulary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probability::log_probabilities;
use super::{Beam, Context, Decode, DecodeError, Decoder, Hypothesis, Rules, WordModel, argmax};

/// Takes the likeliest word at every step; of equally likely ones the first in the vocabulary.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Greedy {
    /// The most tokens a sentence has, `<START>` and `<END>` counted. Default: 30.
    pub max_length: Count,
    /// What must not be written. If there is such, `<NULL>` and `<START>` are not either, as with `Beam(width: 1)`.
    pub rules: Rules,
}

impl Default for Greedy {
    fn default() -> Self {
        Greedy { max_length: Count::constant(30), rules: Rules::default() }
    }
}

register!(
    Greedy in DECODER,
    example: "Greedy(max_length: 30)",
    checks: ["Greedy(rules: (ban: [\"<UNK>\"], block_ngrams: 2))"],
);

impl Greedy {
    /// The beam of one sentence that does the same under its rules.
    fn ruled(&self) -> Option<Beam> {
        let width = Count::constant(1);
        let Greedy { max_length, rules } = self.clone();
        let beam = Beam { width, max_length, rules, ..Beam::default() };
        (!self.rules.is_empty()).then_some(beam)
    }
}

#[typetag::serde]
impl Decoder for Greedy {
    fn check(&self, vocabulary: &Vocabulary) -> Result<(), DecodeError> {
        self.ruled().map_or(Ok(()), |beam| beam.check(vocabulary))
    }
}

impl<T: Scalar> Decode<T> for Greedy {
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        if let Some(beam) = self.ruled() {
            return beam.decode(model, context);
        }
        let (rows, end) = (context.places.len(), Some(model.end));
        let sentences = greedy(model, context.batch, rows, self.max_length.as_usize(), end)?;
        Ok(sentences.into_iter().map(|sentence| vec![sentence]).collect())
    }
}

/// The likeliest words, at most `length - 1` a row: with `<START>` before them, `length` tokens. With `end` given, a row
/// ends with it, and leaves the batch.
///
/// # Errors
/// When the context does not fit the network.
pub fn greedy<T: Scalar>(
    model: &mut WordModel<'_, T>,
    context: &Batch,
    rows: usize,
    length: usize,
    end: Option<u32>,
) -> Result<Vec<Hypothesis>, DecodeError> {
    model.begin(context, rows)?;
    let mut sentences = vec![Hypothesis::default(); rows];
    // For each row of the batch its sentence, and the word that goes in next.
    let mut open: Vec<usize> = (0..rows).collect();
    let mut words = vec![model.start; rows];
    let mut logarithms = Vec::new();
    for step in 0..length.saturating_sub(1) {
        let scores = model.next(&words)?;
        argmax(scores, &mut words);
        logarithms.resize(words.len(), 0.0);
        log_probabilities(scores, &words, &mut logarithms);
        for (row, ((at, word), logarithm)) in open.iter().zip(&words).zip(&logarithms).enumerate() {
            sentences[*at].push(*word, *logarithm);
            sentences[*at].attention.extend(model.attention(step, row));
        }
        let going_on = |row: &usize| Some(words[*row]) != end;
        let rows: Vec<usize> = (0..words.len()).filter(going_on).collect();
        if rows.is_empty() {
            break;
        }
        if rows.len() < words.len() {
            model.select(&rows);
            (open, words) = rows.iter().map(|row| (open[*row], words[*row])).unzip();
        }
    }
    Ok(sentences)
}
