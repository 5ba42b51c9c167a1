//! The likeliest word at every step.

use engine_core::field::Count;
use engine_core::registry::DECODER;
use engine_core::{Batch, Scalar, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::probability::log_probability;
use super::{Decode, DecodeError, Decoder, Hypothesis, WordModel, likeliest};

/// Takes the likeliest word at every step; of equally likely ones the first in the vocabulary.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Greedy {
    /// The most tokens a sentence has, `<START>` and `<END>` counted. Default: 30.
    pub max_length: Count,
}

impl Default for Greedy {
    fn default() -> Self {
        Greedy { max_length: Count::constant(30) }
    }
}

register!(Greedy in DECODER, example: "Greedy(max_length: 30)");

#[typetag::serde]
impl Decoder for Greedy {}

impl<T: Scalar> Decode<T> for Greedy {
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Batch,
        rows: usize,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let end = Some(model.end);
        let sentences = greedy(model, context, rows, self.max_length.as_usize(), end)?;
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
    for _ in 1..length {
        let scores = model.next(&words)?;
        likeliest(scores, &mut words);
        for ((sentence, word), scores) in open.iter().zip(&words).zip(scores.rows()) {
            let scores = scores.to_slice().expect("scores in row-major order");
            sentences[*sentence].push(*word, log_probability(scores, *word as usize));
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
