//! From images to sentences, and how many of those are true.

use engine_core::Batch;
use engine_core::engine::{Engine, StepError};
use engine_datasets::{Source, Split};

use crate::decode::{DecodeScalar, Decoder, WordModel};

/// Images captioned at once: enough that weights, which are read once a step, are worth their way from memory, also when
/// most captions have ended; a whole number of blocks of matrix products.
pub(crate) const ROWS: usize = 288;

/// A trained network that writes captions for a data set's images.
#[derive(Debug)]
pub struct Captioner<'a, T> {
    model: WordModel<'a, T>,
    decoder: &'a dyn Decoder,
}

/// How many captions are true of their picture, as the generator of the pictures judges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truth {
    /// Captions that are true.
    pub right: usize,
    /// All captions.
    pub all: usize,
}

impl Truth {
    /// The share of true captions, from 0 to 1.
    pub fn share(&self) -> f64 {
        self.right as f64 / self.all.max(1) as f64
    }
}

impl<'a, T: DecodeScalar> Captioner<'a, T> {
    /// A captioner of these parameters.
    ///
    /// # Errors
    /// When the network cannot write step by step.
    pub fn new(
        engine: &'a Engine<T>,
        source: &dyn Source,
        decoder: &'a dyn Decoder,
    ) -> Result<Self, StepError> {
        Ok(Captioner { model: WordModel::new(engine, source.vocabulary())?, decoder })
    }

    /// A sentence for each image.
    ///
    /// # Errors
    /// When the data does not fit the network.
    pub fn caption(
        &mut self,
        source: &dyn Source,
        split: Split,
        images: &[usize],
    ) -> Result<Vec<String>, StepError> {
        let mut sentences = Vec::with_capacity(images.len());
        let mut context = Batch::new();
        for images in images.chunks(ROWS) {
            source.fill_images(split, images, &mut context);
            let tokens =
                T::decoder(self.decoder).decode(&mut self.model, &context, images.len())?;
            sentences.extend(tokens.iter().map(|tokens| source.vocabulary().decode(tokens)));
        }
        Ok(sentences)
    }

    /// Captions every image of a split and has them judged; `None` where the data set has no judge.
    ///
    /// # Errors
    /// When the data does not fit the network.
    pub fn truth(&mut self, source: &dyn Source, split: Split) -> Result<Option<Truth>, StepError> {
        let Some(judge) = source.judge() else { return Ok(None) };
        let images: Vec<usize> = (0..source.images(split)).collect();
        let sentences = self.caption(source, split, &images)?;
        let is_true =
            |(image, sentence): &(usize, String)| judge.judge(split, *image, sentence).is_true();
        let right = sentences.into_iter().enumerate().filter(is_true).count();
        Ok(Some(Truth { right, all: images.len() }))
    }
}
