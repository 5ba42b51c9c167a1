//! Captions of the validation images, scored while a network trains.

use std::collections::BTreeMap;

use engine_core::engine::Engine;
use engine_datasets::{Source, Split};

use super::error::TrainError;
use super::report::Scores;
use super::stop::Stop;
use crate::caption::{Captioner, NoImages, ROWS};
use crate::decode::{DecodeScalar, Decoder};
use crate::score::{Corpus, References, Score, ScoreName, evaluate, named, spaced};

/// Scores the captions that a network writes for all validation images against the data set's own captions of them.
pub struct CaptionScores<'a> {
    source: &'a dyn Source,
    decoder: &'a dyn Decoder,
    scores: Vec<Score>,
    images: Vec<usize>,
    references: Option<References>,
}

impl<'a> CaptionScores<'a> {
    /// These scores of what `decoder` writes. Images that nobody has described are left out.
    ///
    /// # Errors
    /// When there are scores, but no described image.
    pub fn new(
        source: &'a dyn Source,
        decoder: &'a dyn Decoder,
        names: &[ScoreName],
    ) -> Result<Self, TrainError> {
        let scores = names.iter().map(|name| named(name.0)).collect::<Result<Vec<_>, _>>()?;
        let mut described =
            CaptionScores { source, decoder, scores, images: Vec::new(), references: None };
        if described.scores.is_empty() {
            return Ok(described);
        }
        if source.images(Split::Val) == 0 {
            return Err(NoImages { what: "a score in `train.scores` or `train.best_by`" }.into());
        }
        let words = |tokens| spaced(&source.vocabulary().decode(tokens));
        let mut references = Vec::new();
        for image in 0..source.images(Split::Val) {
            let sentences = source.references(Split::Val, image).map(words);
            let sentences: Vec<_> = sentences.filter(|words| !words.is_empty()).collect();
            if !sentences.is_empty() {
                described.images.push(image);
                references.push(sentences);
            }
        }
        described.references = Some(References::new(&references)?);
        Ok(described)
    }
}

impl<T: DecodeScalar> Scores<T> for CaptionScores<'_> {
    fn scores(
        &mut self,
        engine: &Engine<T>,
        stop: &Stop,
    ) -> Result<Option<BTreeMap<String, f64>>, TrainError> {
        let Some(references) = &self.references else { return Ok(Some(BTreeMap::new())) };
        let mut captioner = Captioner::new(engine, self.source, self.decoder)?;
        let mut captions = Vec::with_capacity(self.images.len());
        for images in self.images.chunks(ROWS) {
            if stop.asked().is_some() {
                return Ok(None);
            }
            let sentences = captioner.caption(self.source, Split::Val, images)?;
            captions.extend(sentences.iter().map(|sentence| spaced(sentence)));
        }
        let corpus = Corpus::new(references, &captions)?;
        let scored = evaluate(&self.scores, &corpus).into_iter();
        Ok(Some(scored.map(|(name, scored)| (name.to_owned(), scored.corpus)).collect()))
    }
}
