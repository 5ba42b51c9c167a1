//! The likeliest word at every step.

use engine_core::engine::StepError;
use engine_core::field::Count;
use engine_core::registry::DECODER;
use engine_core::{Batch, Scalar, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decode, Decoder, WordModel, likeliest};

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
    ) -> Result<Vec<Vec<u32>>, StepError> {
        let end = Some(model.end);
        greedy(model, context, rows, self.max_length.as_usize(), end)
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
) -> Result<Vec<Vec<u32>>, StepError> {
    model.begin(context, rows)?;
    let mut sentences = vec![Vec::with_capacity(length); rows];
    // For each row of the batch its sentence, and the word that goes in next.
    let mut open: Vec<usize> = (0..rows).collect();
    let mut words = vec![model.start; rows];
    for _ in 1..length {
        likeliest(model.next(&words)?, &mut words);
        open.iter().zip(&words).for_each(|(sentence, word)| sentences[*sentence].push(*word));
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
