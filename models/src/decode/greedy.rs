//! The likeliest word at every step.

use engine_core::engine::StepError;
use engine_core::field::Count;
use engine_core::registry::DECODER;
use engine_core::{Batch, Scalar, register};
use ndarray::ArrayView1;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Decode, Decoder, WordModel};

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
        let end = model.end;
        let mut sentences = greedy(model, context, rows, self.max_length.as_usize(), Some(end))?;
        for sentence in &mut sentences {
            if let Some(at) = sentence.iter().position(|word| *word == end) {
                sentence.truncate(at + 1);
            }
        }
        Ok(sentences)
    }
}

/// The likeliest words, `length - 1` a row: with `<START>` before them, `length` tokens. With `end` given, stops once
/// every row has shown it; rows that are done run on until then.
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
    let mut sentences = vec![Vec::new(); rows];
    let mut words = vec![model.start; rows];
    let mut ended = vec![false; rows];
    for _ in 1..length {
        let scores = model.next(&words)?;
        for (row, scores) in scores.outer_iter().enumerate() {
            words[row] = likeliest(scores);
            sentences[row].push(words[row]);
            ended[row] |= Some(words[row]) == end;
        }
        if end.is_some() && ended.iter().all(|ended| *ended) {
            break;
        }
    }
    Ok(sentences)
}

/// The index of the largest score, the first of equals.
fn likeliest<T: Scalar>(scores: ArrayView1<'_, T>) -> u32 {
    let mut best = 0;
    for (word, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = word;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use ndarray::arr1;

    use super::*;

    #[test]
    fn of_equals_the_first_wins() {
        assert_eq!(likeliest(arr1(&[0.5, 2.0, 2.0, -1.0]).view()), 1);
        assert_eq!(likeliest(arr1(&[f32::NAN, 1.0]).view()), 0);
    }
}
