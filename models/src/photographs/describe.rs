//! From pictures to sentences.

use engine_core::Batch;
use engine_core::engine::Engine;
use engine_datasets::Vocabulary;
use engine_datasets::picture::Picture;

use super::Describe;
use super::captioned::{Alternative, Attention, Captioned, shown};
use super::error::PhotographsError;
use super::image_input::{self, ImageInput};
use crate::decode::{Context, DecodeError, DecodeScalar, Decoder, Hypothesis, WordModel};
use crate::encoder::{FEATURES, Features, GRID, IMAGES};

/// Pictures that are captioned at once: enough that weights are worth their way from memory, few enough that what is
/// kept of each picture does not add up.
const ROWS: usize = 32;

/// A network that writes, and what it reads.
pub(super) struct Describing<'a, T> {
    vocabulary: &'a Vocabulary,
    input: ImageInput,
    model: WordModel<'a, T>,
    /// What is read of each picture, and how many numbers of it: none where any number will do.
    reads: Vec<(&'static str, Option<usize>)>,
    batch: Batch,
}

impl<'a, T: DecodeScalar> Describing<'a, T> {
    pub(super) fn new(
        engine: &'a Engine<T>,
        vocabulary: &'a Vocabulary,
        input: ImageInput,
    ) -> Result<Self, PhotographsError> {
        let model = WordModel::recording(engine, vocabulary).map_err(DecodeError::from)?;
        let mut reads = Vec::new();
        let known: &[&str] =
            if matches!(input, ImageInput::Pixels(_)) { &[IMAGES] } else { &[FEATURES, GRID] };
        for read in model.subjects() {
            let name = known.iter().find(|name| **name == read).copied();
            let name = name.ok_or_else(|| PhotographsError::Unfed { input: read.to_owned() })?;
            reads.push((name, numbers(engine, name)));
        }
        if reads.is_empty() {
            return Err(PhotographsError::NoSubject);
        }
        Ok(Describing { vocabulary, input, model, reads, batch: Batch::new() })
    }

    /// Captions as many pictures as are captioned at once.
    fn caption_few(
        &mut self,
        pictures: &[Picture],
        decoder: &dyn Decoder,
    ) -> Result<Vec<Captioned>, PhotographsError> {
        match &mut self.input {
            ImageInput::Pixels(preprocess) => {
                image_input::write(preprocess, pictures, &mut self.batch)
            }
            ImageInput::Encoder(encoder) => {
                let features = encoder.encode(pictures)?;
                self.fill(pictures.len(), &features)?;
            }
        }
        // What is drawn at random is the same for every picture, so that it does not depend on the others.
        let context = Context { batch: &self.batch, places: &vec![0; pictures.len()] };
        let found = T::decoder(decoder).decode(&mut self.model, &context)?;
        let captioned = found.into_iter().map(|hypotheses| {
            let all = hypotheses.iter().map(|way| Alternative::new(way, self.vocabulary));
            let alternatives: Vec<Alternative> = all.collect();
            let sentence = alternatives.first().map_or(String::new(), |a| a.sentence.clone());
            let best = hypotheses.into_iter().next().filter(|_| self.model.is_recording());
            let attention = best.and_then(|best| self.attention(best));
            Captioned { sentence, alternatives, attention }
        });
        Ok(captioned.collect())
    }

    /// Puts what the network reads of pictures into the batch.
    fn fill(&mut self, pictures: usize, features: &Features) -> Result<(), PhotographsError> {
        for &(input, expected) in &self.reads {
            let (numbers, shape) = match (input, &features.grid) {
                (GRID, Some(grid)) => (&grid.features, vec![pictures, grid.regions, grid.channels]),
                (GRID, None) => return Err(PhotographsError::NotGiven { input }),
                _ => (&features.features, vec![pictures, features.width]),
            };
            let found = shape[1..].iter().product();
            match expected {
                Some(expected) if expected != found => {
                    return Err(PhotographsError::OtherWidth { input, expected, found });
                }
                _ => self.batch.f32_mut(input, &shape).copy_from_slice(numbers),
            }
        }
        Ok(())
    }

    /// Where the network looked for each word of a sentence.
    fn attention(&self, Hypothesis { tokens, mut attention, .. }: Hypothesis) -> Option<Attention> {
        let regions = attention.first().map_or(0, Vec::len);
        let words = shown(&tokens, self.vocabulary);
        let weights = words.filter_map(|at| attention.get_mut(at).map(std::mem::take)).collect();
        Attention::over(self.input.rows_and_columns(regions), weights)
    }
}

impl<T: DecodeScalar> Describe for Describing<'_, T> {
    fn caption(
        &mut self,
        pictures: &[Picture],
        decoder: &dyn Decoder,
    ) -> Result<Vec<Captioned>, PhotographsError> {
        decoder.check(self.vocabulary)?;
        let mut captioned = Vec::with_capacity(pictures.len());
        let preprocess = self.input.preprocess().clone();
        // Where pictures keep their proportions, those of one batch have the same.
        let alike = |a: &Picture, b: &Picture| preprocess.size(a) == preprocess.size(b);
        for few in pictures.chunk_by(alike).flat_map(|alike| alike.chunks(ROWS)) {
            captioned.extend(self.caption_few(few, decoder)?);
        }
        Ok(captioned)
    }
}

/// How many numbers of each picture an input takes, where that is known.
fn numbers<T: DecodeScalar>(engine: &Engine<T>, input: &str) -> Option<usize> {
    let input = engine.plan().inputs.iter().find(|known| known.name == input)?;
    let dims = &input.shape.dims()[1..];
    dims.iter().map(|dim| engine.sizes().resolve(*dim).ok()).product()
}
