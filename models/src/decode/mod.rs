//! How words are chosen, step by step: one way a file.

mod greedy;
mod likeliest;

use std::fmt::Debug;

use engine_core::engine::{Engine, StepError, Stepper};
use engine_core::{Batch, Scalar};
use engine_datasets::Vocabulary;
use ndarray::ArrayView2;

pub use greedy::{Greedy, greedy};
pub use likeliest::likeliest;

/// A way to choose words, as the section `sample` of a graph file names it.
#[typetag::serde]
pub trait Decoder: Decode<f32> + Decode<f64> + Debug + Send + Sync {}

engine_core::tagged!(Decoder);

/// A decoder's work in the number type `T`.
pub trait Decode<T> {
    /// Writes one sentence a row: tokens without `<START>`, ended by `<END>` if the sentence ended.
    ///
    /// `context` holds what the network reads once, such as the features of `rows` images.
    ///
    /// # Errors
    /// When the context does not fit the network.
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Batch,
        rows: usize,
    ) -> Result<Vec<Vec<u32>>, StepError>;
}

/// A number type that decoders work in.
pub trait DecodeScalar: Scalar {
    /// The decoder's work in this type.
    fn decoder(decoder: &dyn Decoder) -> &dyn Decode<Self>;
}

impl DecodeScalar for f32 {
    fn decoder(decoder: &dyn Decoder) -> &dyn Decode<Self> {
        decoder
    }
}

impl DecodeScalar for f64 {
    fn decoder(decoder: &dyn Decoder) -> &dyn Decode<Self> {
        decoder
    }
}

/// A network seen as a writer: given the words so far, scores for the next.
#[derive(Debug)]
pub struct WordModel<'a, T> {
    engine: &'a Engine<T>,
    stepper: Stepper<T>,
    words_input: String,
    words: Batch,
    /// `<START>`.
    pub start: u32,
    /// `<END>`.
    pub end: u32,
}

/// The role, or else the node, whose values score the next word.
pub const SCORES: &str = "scores";

impl<'a, T: Scalar> WordModel<'a, T> {
    /// The writer inside a network: the value `scores`, stepped by the one input with a time dimension that it reads.
    ///
    /// # Errors
    /// When the network has no such value or cannot run step by step.
    pub fn new(engine: &'a Engine<T>, vocabulary: &Vocabulary) -> Result<Self, StepError> {
        let stepper = Stepper::new(engine, SCORES)?;
        let words_input = stepper.step_inputs().next().unwrap_or_default().to_owned();
        let (start, end) = (vocabulary.start(), vocabulary.end());
        Ok(WordModel { engine, stepper, words_input, words: Batch::new(), start, end })
    }

    /// Begins `rows` sentences.
    ///
    /// # Errors
    /// When the context does not fit the network.
    pub fn begin(&mut self, context: &Batch, rows: usize) -> Result<(), StepError> {
        self.stepper.start(self.engine, context, rows)
    }

    /// Goes on with the sentences `rows` alone, in this order; one that is named more than once goes on as often.
    ///
    /// # Panics
    /// When there is no such sentence, or none at all.
    pub fn select(&mut self, rows: &[usize]) {
        self.stepper.select(rows);
    }

    /// Scores `[rows, Vocabulary]` for the words after these, one a row.
    ///
    /// # Errors
    /// When a word is out of the network's range.
    pub fn next(&mut self, words: &[u32]) -> Result<ArrayView2<'_, T>, StepError> {
        self.words.tokens_mut(&self.words_input, &[words.len(), 1]).copy_from_slice(words);
        Ok(self.stepper.step(self.engine, &self.words)?.rows())
    }
}
