//! How pictures reach a network: as the features of an encoder, or as pixels.

use engine_core::Batch;
use engine_core::graph::Input;
use engine_datasets::picture::{Picture, Preprocess};

use super::error::PhotographsError;
use crate::encoder::{Encoder, IMAGES, folder};
use crate::experiment::Experiment;
use crate::run::RunFolder;

/// What a network reads of pictures.
#[derive(Debug)]
pub(super) enum ImageInput {
    /// Features of the encoder that the run keeps.
    Encoder(Box<Encoder>),
    /// Arrays that pictures are made into so.
    Pixels(Preprocess),
}

impl ImageInput {
    /// What the network of a run reads: its input `images`, or else features of the run's encoder.
    ///
    /// # Errors
    /// When the run has no encoder, it cannot be read, or nothing says how large pictures are.
    pub(super) fn open(run: &RunFolder, experiment: &Experiment) -> Result<Self, PhotographsError> {
        let images = experiment.graph.inputs.iter().find(|input| input.name == IMAGES);
        if let Some(images) = images {
            let size = sides(images).ok_or(PhotographsError::NoSize)?;
            let pixels = experiment.data.pixels(size);
            let unfed = || PhotographsError::Unfed { input: IMAGES.into() };
            return Ok(ImageInput::Pixels(pixels.ok_or_else(unfed)?));
        }
        let folder = run.path().join(folder::ENCODER);
        if !folder.is_dir() {
            return Err(PhotographsError::NoEncoder { path: folder });
        }
        let encoder = Encoder::open(&folder)?;
        let reads_components = experiment.data.reads_components();
        Ok(ImageInput::Encoder(Box::new(if reads_components { encoder } else { encoder.full() })))
    }

    /// What is done to pictures before they are read.
    pub(super) fn preprocess(&self) -> &Preprocess {
        match self {
            ImageInput::Encoder(encoder) => encoder.preprocess(),
            ImageInput::Pixels(preprocess) => preprocess,
        }
    }

    /// Rows and columns that so many regions lie in, where that is known.
    pub(super) fn rows_and_columns(&self, regions: usize) -> Option<(usize, usize)> {
        let side = regions.isqrt();
        match self {
            ImageInput::Encoder(encoder) => encoder.rows_and_columns(regions),
            ImageInput::Pixels(_) => (side * side == regions).then_some((side, side)),
        }
    }
}

/// Height and width of what an input `[Batch, 3, height, width]` takes, where they are numbers.
fn sides(images: &Input) -> Option<(usize, usize)> {
    match images.shape.as_ref()?.dims() {
        [_, _, height, width] => Some((height.size()?, width.size()?)),
        _ => None,
    }
}

/// Puts pictures into the batch as they are, under the name [`IMAGES`].
pub(super) fn write(preprocess: &Preprocess, pictures: &[Picture], batch: &mut Batch) {
    let (height, width) = pictures.first().map_or((0, 0), |first| preprocess.size(first));
    let array = batch.f32_mut(IMAGES, &[pictures.len(), 3, height, width]);
    let arrays = array.chunks_exact_mut((3 * height * width).max(1));
    pictures.iter().zip(arrays).for_each(|(picture, array)| preprocess.write(picture, array));
}
