//! From images to sentences, and how many of those are true.

use engine_core::Batch;
use engine_core::engine::Engine;
use engine_datasets::{Source, Split};

use crate::decode::{Context, DecodeError, DecodeScalar, Decoder, Hypothesis, WordModel};

/// Images captioned at once: enough that weights, which are read once a step, are worth their way from memory, also when
/// most captions have ended; a whole number of blocks of matrix products.
pub const ROWS: usize = 288;

/// Data without images, where captions of images are to be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
#[error("{what} writes captions of images, and the data has none")]
#[diagnostic(help("a text is gone on with by: engine sample RUN --text TEXT"))]
pub struct NoImages {
    /// What would write them.
    pub what: &'static str,
}

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
    /// When the network cannot write step by step, or the decoder asks for words that there are not.
    pub fn new(
        engine: &'a Engine<T>,
        source: &'a dyn Source,
        decoder: &'a dyn Decoder,
    ) -> Result<Self, DecodeError> {
        decoder.check(source.vocabulary())?;
        Ok(Captioner { model: WordModel::new(engine, source.vocabulary())?, decoder })
    }

    /// A sentence for each image, the best that the decoder finds.
    ///
    /// # Errors
    /// When the data does not fit the network.
    pub fn caption(
        &mut self,
        source: &dyn Source,
        split: Split,
        images: &[usize],
    ) -> Result<Vec<String>, DecodeError> {
        let hypotheses = self.hypotheses(source, split, images)?;
        let decode = |all: Vec<Hypothesis>| source.vocabulary().decode(&all[0].tokens);
        Ok(hypotheses.into_iter().map(decode).collect())
    }

    /// All sentences that the decoder offers for each image, the best first.
    ///
    /// # Errors
    /// When the data does not fit the network.
    pub fn hypotheses(
        &mut self,
        source: &dyn Source,
        split: Split,
        images: &[usize],
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let mut hypotheses = Vec::with_capacity(images.len());
        let mut batch = Batch::new();
        for images in images.chunks(ROWS) {
            source.fill_images(split, images, &mut batch);
            let context = Context { batch: &batch, places: images };
            let decoder = T::decoder(self.decoder);
            hypotheses.extend(decoder.decode(&mut self.model, &context)?);
        }
        Ok(hypotheses)
    }

    /// Captions every image of a split and has them judged; `None` where the data set has no judge.
    ///
    /// # Errors
    /// When the data does not fit the network.
    pub fn truth(
        &mut self,
        source: &dyn Source,
        split: Split,
    ) -> Result<Option<Truth>, DecodeError> {
        let Some(judge) = source.judge() else { return Ok(None) };
        let images: Vec<usize> = (0..source.images(split)).collect();
        let sentences = self.caption(source, split, &images)?;
        let is_true =
            |(image, sentence): &(usize, String)| judge.judge(split, *image, sentence).is_true();
        let right = sentences.into_iter().enumerate().filter(is_true).count();
        Ok(Some(Truth { right, all: images.len() }))
    }
}
