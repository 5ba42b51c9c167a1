//! From pictures to sentences.

use std::path::Path;
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Passes, Plan};
use engine_core::{Batch, Sizes};
use engine_datasets::Vocabulary;
use engine_datasets::picture::Picture;

use super::Describe;
use super::attention::Looking;
use super::captioned::{Alternative, Attention, Captioned, shown};
use super::error::PhotographsError;
use super::sight::{self, Sight};
use crate::decode::{Context, DecodeScalar, Decoder, Hypothesis, WordModel};
use crate::encoder::{FEATURES, Features, GRID, IMAGES};

/// Pictures that are captioned at once: enough that weights are worth their way from memory, few enough that what is
/// kept of each picture does not add up.
const ROWS: usize = 32;

/// The network with the parameters in these bytes.
pub(super) fn engine<T: DecodeScalar>(
    plan: &Arc<Plan>,
    sizes: &Sizes,
    seed: u64,
    passes: &Passes,
    (bytes, file): (&[u8], &Path),
) -> Result<Engine<T>, PhotographsError> {
    let mut engine = Engine::new(plan.clone(), sizes.clone(), seed)?.rewritten(passes);
    checkpoint::set_parameters(&mut engine, bytes, file)?;
    Ok(engine)
}

/// A network that writes, and what it sees with.
pub(super) struct Describing<'a, T> {
    engine: &'a Engine<T>,
    vocabulary: &'a Vocabulary,
    sight: Sight,
    model: WordModel<'a, T>,
    looking: Option<Looking<T>>,
    /// What is read of each picture, and how many numbers of it: none where any number will do.
    reads: Vec<(&'static str, Option<usize>)>,
    batch: Batch,
}

impl<'a, T: DecodeScalar> Describing<'a, T> {
    pub(super) fn new(
        engine: &'a Engine<T>,
        vocabulary: &'a Vocabulary,
        sight: Sight,
    ) -> Result<Self, PhotographsError> {
        let model = WordModel::new(engine, vocabulary).map_err(crate::decode::DecodeError::from)?;
        let mut reads = Vec::new();
        for input in model.subjects() {
            let known: &[&str] =
                if matches!(sight, Sight::Pixels(_)) { &[IMAGES] } else { &[FEATURES, GRID] };
            let name = known.iter().find(|name| **name == input).copied();
            let name = name.ok_or_else(|| PhotographsError::Unfed { input: input.to_owned() })?;
            reads.push((name, numbers(engine, name)));
        }
        if reads.is_empty() {
            return Err(PhotographsError::NoSubject.into());
        }
        let (looking, batch) = (Looking::new(engine), Batch::new());
        Ok(Describing { engine, vocabulary, sight, model, looking, reads, batch })
    }

    /// Captions as many pictures as are captioned at once.
    fn caption_few(
        &mut self,
        pictures: &[Picture],
        decoder: &dyn Decoder,
    ) -> Result<Vec<Captioned>, PhotographsError> {
        match &mut self.sight {
            Sight::Pixels(preprocess) => sight::write(preprocess, pictures, &mut self.batch),
            Sight::Encoder(encoder) => {
                let features = encoder.encode(pictures)?;
                self.fill(pictures.len(), &features)?;
            }
        }
        // What is drawn at random is the same for every picture, so that it does not depend on the others.
        let context = Context { batch: &self.batch, places: &vec![0; pictures.len()] };
        let found = T::decoder(decoder).decode(&mut self.model, &context)?;
        let attention = self.look(&found)?;
        let captioned = found.iter().zip(attention).map(|(hypotheses, attention)| {
            let all = hypotheses.iter().map(|way| Alternative::new(way, self.vocabulary));
            let alternatives: Vec<Alternative> = all.collect();
            let sentence = alternatives.first().map_or(String::new(), |a| a.sentence.clone());
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

    /// Where the network looked for each word of the best sentences.
    fn look(
        &mut self,
        found: &[Vec<Hypothesis>],
    ) -> Result<Vec<Option<Attention>>, PhotographsError> {
        let Some(looking) = &mut self.looking else { return Ok(vec![None; found.len()]) };
        let best: Vec<&[u32]> = found
            .iter()
            .map(|hypotheses| hypotheses.first().map_or(&[][..], |best| &best.tokens))
            .collect();
        let start = self.vocabulary.start();
        let weights = looking
            .weights(self.engine, &self.batch, &best, start)
            .map_err(crate::decode::DecodeError::from)?;
        let of = |(tokens, mut weights): (&&[u32], Vec<Vec<f32>>)| {
            let regions = weights.first().map_or(0, Vec::len);
            let words = shown(tokens, self.vocabulary);
            let words = words.filter_map(|at| weights.get_mut(at).map(std::mem::take)).collect();
            Attention::over(self.sight.rows_and_columns(regions), words)
        };
        Ok(best.iter().zip(weights).map(of).collect())
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
        let preprocess = self.sight.preprocess().clone();
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
