//! How words are chosen, step by step: one way a file.

mod argmax;
mod attention;
mod beam;
mod diverse_beam;
mod error;
mod greedy;
mod group;
mod probability;
mod rules;
mod sample;
mod search;
mod top_k;
mod tree;

use std::fmt::Debug;

use engine_core::engine::{Engine, StepError, Stepper};
use engine_core::graph::Plan;
use engine_core::{Batch, Scalar, Symbol};
use engine_datasets::Vocabulary;
use ndarray::ArrayView2;

use self::attention::{ATTENTION, AttentionRecord, attends};

pub use argmax::argmax;
pub use beam::Beam;
pub use diverse_beam::DiverseBeam;
pub use error::DecodeError;
pub use greedy::{Greedy, greedy};
pub(crate) use probability::log_probabilities;
pub use rules::Rules;
pub use sample::Sample;

/// A way to choose words, as the section `sample` of a graph file names it.
#[typetag::serde]
pub trait Decoder: Decode<f32> + Decode<f64> + Debug + Send + Sync {
    /// Whether it can write with these words.
    ///
    /// # Errors
    /// What it asks for that they do not have.
    fn check(&self, _vocabulary: &Vocabulary) -> Result<(), DecodeError> {
        Ok(())
    }
}

engine_core::tagged!(Decoder);

/// A sentence that a decoder has written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Hypothesis {
    /// Its words without `<START>`, the last one `<END>` if the sentence ended.
    pub tokens: Vec<u32>,
    /// The natural logarithm of each token's probability, given those before it, as the network has it.
    pub log_probabilities: Vec<f64>,
    /// What the decoder ranks sentences of one image by: more is better.
    pub score: f64,
    /// For each token the weights over regions that the network chose it with, of a model that
    /// [records](WordModel::recording) them; empty otherwise.
    pub attention: Vec<Vec<f32>>,
}

impl Hypothesis {
    /// Goes on with a word, whose logarithm adds to the score.
    fn push(&mut self, word: u32, log_probability: f64) {
        self.tokens.push(word);
        self.log_probabilities.push(log_probability);
        self.score += log_probability;
    }

    /// The natural logarithm of the whole sentence's probability.
    pub fn log_probability(&self) -> f64 {
        self.log_probabilities.iter().sum()
    }
}

/// What sentences are written about.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What the network reads once, such as features of images: a row of each array an image.
    pub batch: &'a Batch,
    /// For each row the place of its image among all there are. What is drawn for an image depends on it, and not on
    /// what else is in the batch.
    pub places: &'a [usize],
}

/// A decoder's work in the number type `T`.
pub trait Decode<T> {
    /// Writes sentences for each row of the context, the best first: at least one, also where none has ended.
    ///
    /// # Errors
    /// When the context does not fit the network, or as [`Decoder::check`].
    fn decode(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError>;
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
    vocabulary: &'a Vocabulary,
    /// Words before the first one.
    before: Vec<u32>,
    attention: Option<AttentionRecord>,
    /// The first word that goes in: `<START>`, or the last one of a [prompt](Self::after).
    pub start: u32,
    /// `<END>`.
    pub end: u32,
}

/// The role, or else the node, whose values score the next word.
pub const SCORES: &str = "scores";

/// The value that words are written from: the one called [`SCORES`], if it has a time dimension. That of a classifier has
/// none.
pub fn word_scores(plan: &Plan) -> Option<usize> {
    let scores = plan.output(SCORES).or_else(|| plan.value(SCORES))?;
    plan.values[scores].shape.has(Symbol::TIME).then_some(scores)
}

impl<'a, T: Scalar> WordModel<'a, T> {
    /// The writer inside a network: the value `scores`, stepped by the one input with a time dimension that it reads.
    ///
    /// # Errors
    /// When the network has no such value or cannot run step by step.
    pub fn new(engine: &'a Engine<T>, vocabulary: &'a Vocabulary) -> Result<Self, StepError> {
        Ok(Self::of(engine, vocabulary, Stepper::new(engine, SCORES)?))
    }

    /// The same, which records what the network attends to, where it has weights over regions at each step.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn recording(engine: &'a Engine<T>, vocabulary: &'a Vocabulary) -> Result<Self, StepError> {
        match Stepper::with(engine, SCORES, &[ATTENTION]) {
            Ok(stepper) if attends(engine.plan()) => {
                let attention = Some(AttentionRecord::default());
                Ok(WordModel { attention, ..Self::of(engine, vocabulary, stepper) })
            }
            _ => Self::new(engine, vocabulary),
        }
    }

    fn of(engine: &'a Engine<T>, vocabulary: &'a Vocabulary, stepper: Stepper<T>) -> Self {
        let words_input = stepper.step_inputs().next().unwrap_or_default().to_owned();
        let (start, end) = (vocabulary.start(), vocabulary.end());
        let (words, before, attention) = (Batch::new(), Vec::new(), None);
        WordModel { engine, stepper, words_input, words, vocabulary, before, attention, start, end }
    }

    /// Whether hypotheses have what the network attends to.
    pub fn is_recording(&self) -> bool {
        self.attention.is_some()
    }

    /// What the network attended to in a row of a step, both from 0, since the sentences began.
    fn attention(&self, step: usize, row: usize) -> Option<Vec<f32>> {
        self.attention.as_ref().map(|record| record.of(step, row).to_vec())
    }

    /// From now on every sentence goes on with these words, the last of which is in the place of `<START>`. None are as
    /// `<START>` alone.
    pub fn after(&mut self, prompt: &[u32]) {
        let (last, before) = prompt.split_last().unwrap_or((&self.start, &[]));
        (self.start, self.before) = (*last, before.to_vec());
    }

    /// Begins `rows` sentences.
    ///
    /// # Errors
    /// When the context does not fit the network, or a word of the prompt is out of its range.
    pub fn begin(&mut self, context: &Batch, rows: usize) -> Result<(), StepError> {
        self.stepper.start(self.engine, context, rows)?;
        self.attention.iter_mut().for_each(AttentionRecord::clear);
        for at in 0..self.before.len() {
            let word = self.before[at];
            self.words.tokens_mut(&self.words_input, &[rows, 1]).fill(word);
            self.stepper.step(self.engine, &self.words)?;
        }
        Ok(())
    }

    /// The inputs that each sentence is written about, such as `features`: those that the network reads once.
    pub fn subjects(&self) -> impl Iterator<Item = &str> {
        self.stepper.start_inputs()
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
        self.stepper.step(self.engine, &self.words)?;
        if let Some(record) = &mut self.attention {
            record.push(self.stepper.latest(1));
        }
        Ok(self.stepper.latest(0).rows())
    }
}
