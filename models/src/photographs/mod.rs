//! A run that captions pictures: without its data set, from its own files and the encoder that it keeps.
//!
//! | file of the run | gives |
//! |---|---|
//! | `graph.ron`, `checkpoints/` | the network, with what it has learned best |
//! | `vocabulary.json` | the words that it writes |
//! | `encoder/` | what makes features of pictures, as they were made of those that it was trained on; not for networks that read pixels |

mod captioned;
mod describe;
mod error;
mod image_input;
pub mod reading;
mod sizes;
mod visible;

use std::path::Path;
use std::sync::Arc;

use engine_core::engine::Engine;
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Sizes};
use engine_datasets::Vocabulary;
use engine_datasets::picture::{Picture, Preprocess};

use crate::decode::{DecodeScalar, Decoder, SCORES, word_scores};
use crate::experiment::{Experiment, Override};
use crate::trained::{self, Parameters, TrainedError};
use describe::Describing;
use image_input::ImageInput;

pub use captioned::{Alternative, Attention, Captioned, Word};
pub use error::PhotographsError;
pub use visible::{VisibleRegion, reduced, visible_region};

/// A run opened to caption pictures.
#[derive(Debug)]
pub struct Photographs {
    name: String,
    /// Its graph file.
    experiment: Experiment,
    vocabulary: Vocabulary,
    input: ImageInput,
    plan: Arc<Plan>,
    sizes: Sizes,
    parameters: Parameters,
}

/// Captions pictures, whatever number type the network computes in.
pub trait Describe {
    /// What the network says of each picture, chosen by the decoder. No caption depends on the other pictures.
    ///
    /// # Errors
    /// When the decoder asks for words that there are not, or the encoder's features are not those that the network
    /// reads.
    fn caption(
        &mut self,
        pictures: &[Picture],
        decoder: &dyn Decoder,
    ) -> Result<Vec<Captioned>, PhotographsError>;
}

impl Photographs {
    /// Opens a run folder, or the latest run of a graph file, with `overrides` in place of what its graph file says.
    ///
    /// # Errors
    /// When there is no such run, it has no encoder, or what it consists of does not fit together.
    pub fn open(path: &Path, overrides: &[Override]) -> Result<Self, PhotographsError> {
        let (run, experiment) = trained::open(path, overrides)?;
        let mut input = ImageInput::open(&run, &experiment)?;
        let vocabulary = Vocabulary::read(&run.vocabulary()).map_err(TrainedError::from)?;
        let parameters = Parameters::best_alone(&run, experiment.train.best_by);
        let parameters = parameters.map_err(TrainedError::from)?;
        let about = run.about().map_err(TrainedError::from)?;
        let known = sizes::of_data(&about.sizes, &vocabulary);
        let (plan, sizes) = sizes::laid_out(&experiment, known, &mut input, &parameters)?;
        if word_scores(&plan).is_none() {
            return Err(PhotographsError::NoWords { scores: SCORES });
        }
        experiment.decoder.check(&vocabulary)?;
        let name = run.name();
        Ok(Photographs { name, experiment, vocabulary, input, plan, sizes, parameters })
    }

    /// What the run is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The way that its graph file chooses words.
    pub fn decoder(&self) -> Arc<dyn Decoder> {
        self.experiment.decoder.0.clone()
    }

    /// The words that it writes.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// What is done to pictures before they are read.
    pub fn preprocess(&self) -> &Preprocess {
        self.input.preprocess()
    }

    /// Lays the network out and hands `work` what captions pictures.
    ///
    /// # Errors
    /// When the parameters are not the network's, or it does not write of pictures.
    pub fn describe<R>(
        self,
        passes: &Passes,
        work: impl FnOnce(&mut dyn Describe) -> R,
    ) -> Result<R, PhotographsError> {
        match self.plan.precision {
            Precision::F32 => self.describe_in::<f32, R>(passes, work),
            Precision::F64 => self.describe_in::<f64, R>(passes, work),
        }
    }

    fn describe_in<T: DecodeScalar, R>(
        self,
        passes: &Passes,
        work: impl FnOnce(&mut dyn Describe) -> R,
    ) -> Result<R, PhotographsError> {
        let engine = Engine::<T>::new(self.plan, self.sizes, self.experiment.train.seed);
        let mut engine = engine.map_err(TrainedError::from)?.rewritten(passes);
        self.parameters.set(&mut engine).map_err(TrainedError::from)?;
        let mut describing = Describing::new(&engine, &self.vocabulary, self.input)?;
        Ok(work(&mut describing))
    }
}
