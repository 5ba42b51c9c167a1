//! From pictures to features, a batch at a time.

use std::path::Path;

use engine_datasets::picture::{Limits, Picture, PictureError};
use rayon::prelude::*;

use super::images::{Image, Refused};
use super::staging::{Chunk, SourceFile, Staging};
use super::{DataBuildError, Options, Stage};
use crate::encoder::{Encoder, Features, Grid, ReductionError, pool};

/// What features look like, and which pictures have none.
#[derive(Debug)]
pub(super) struct Extracted {
    pub(super) shape: Shape,
    pub(super) refused: Vec<Refused>,
}

/// The features of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Features.
    pub(super) width: usize,
    /// Regions and channels of its grid, if one is asked for.
    pub(super) grid: Option<(usize, usize)>,
}

/// Has features of every picture in the staging folder, but for those that cannot be read.
pub(super) fn extract(
    encoder: &mut Encoder,
    images: &[Image],
    staging: &Staging,
    options: &Options,
    watch: &mut dyn FnMut(Stage),
) -> Result<Extracted, DataBuildError> {
    let total = images.len();
    let kept: Vec<bool> = images
        .chunks(options.batch)
        .enumerate()
        .map(|(number, batch)| staging.kept(number, batch).is_some())
        .collect();
    let batches = || images.chunks(options.batch).enumerate();
    let ready = batches().filter(|(number, _)| kept[*number]).map(|(_, batch)| batch.len()).sum();
    watch(Stage::Begin { kept: ready, total });
    let mut shape = None;
    let mut refused = Vec::new();
    let mut done = 0;
    for (number, batch) in batches() {
        let chunk = match kept[number] {
            true => staging.chunk(number)?,
            false => {
                let chunk = compute(encoder, batch, options)?;
                staging.keep(number, &chunk)?;
                chunk
            }
        };
        let seen = chunk.pictures.iter().zip(batch);
        for (seen, image) in seen.filter(|(seen, _)| seen.refused.is_some()) {
            let reason = seen.refused.clone().unwrap_or_default();
            if options.strict {
                return Err(DataBuildError::Unreadable { path: image.path.clone(), reason });
            }
            refused.push(Refused { name: image.name.clone(), reason });
        }
        check_shape(&mut shape, &chunk, batch, options)?;
        done += batch.len();
        watch(Stage::Pictures { done, total });
    }
    // Where no picture could be read, whoever leaves them out finds none left.
    let shape = shape.unwrap_or(Shape { width: 0, grid: None });
    Ok(Extracted { shape, refused })
}

/// The features of a batch of pictures.
fn compute(
    encoder: &mut Encoder,
    batch: &[Image],
    options: &Options,
) -> Result<Chunk, DataBuildError> {
    let mut pictures: Vec<SourceFile> = batch.par_iter().map(SourceFile::of).collect();
    let opened: Vec<Result<Picture, String>> =
        batch.par_iter().map(|image| open(&image.path)).collect();
    let mut readable = Vec::with_capacity(batch.len());
    let mut places = Vec::with_capacity(batch.len());
    for (at, opened) in opened.into_iter().enumerate() {
        match opened {
            Ok(picture) => {
                readable.push(picture);
                places.push(at);
            }
            Err(reason) => pictures[at].refused = Some(reason),
        }
    }
    let path = |picture: usize| batch[places[picture]].path.as_path();
    let mut features = encode(encoder, &readable, &path)?;
    features.grid = match (options.grid, &features.grid) {
        (None, _) => None,
        (Some(regions), Some(grid)) => Some(pool(grid, regions).map_err(DataBuildError::from)?),
        // A batch of unreadable pictures has nothing, whatever the encoder gives.
        (Some(_), None) if readable.is_empty() => None,
        (Some(_), None) => return Err(ReductionError::NoGrid.into()),
    };
    check_finite(&features, readable.len(), &path)?;
    Ok(Chunk { pictures, features })
}

/// Reads a picture; where that is impossible, why, without the file's name.
fn open(path: &Path) -> Result<Picture, String> {
    Picture::open(path, &Limits::default()).map_err(|error| match error {
        PictureError::Read { error, .. } => error.to_string(),
        PictureError::In { fault, .. } => fault.to_string(),
        other => other.to_string(),
    })
}

/// The features of pictures of any sizes: neighbours of one size go through the encoder together.
fn encode<'a>(
    encoder: &mut Encoder,
    pictures: &[Picture],
    path: &dyn Fn(usize) -> &'a Path,
) -> Result<Features, DataBuildError> {
    let mut all = Features::default();
    let mut first = 0;
    let preprocess = encoder.preprocess().clone();
    for group in pictures.chunk_by(|a, b| preprocess.size(a) == preprocess.size(b)) {
        let found = encoder.encode(group)?;
        let shapes = [&all, &found].map(shape_of);
        if first > 0 && shapes[0] != shapes[1] {
            return Err(uneven(path(first), shapes[1], shapes[0]));
        }
        all.width = found.width;
        all.features.extend(found.features);
        match (&mut all.grid, found.grid) {
            (Some(all), Some(found)) => all.features.extend(found.features),
            (all, found) => *all = found,
        }
        first += group.len();
    }
    Ok(all)
}

fn shape_of(features: &Features) -> Shape {
    let grid = features.grid.as_ref().map(|Grid { regions, channels, .. }| (*regions, *channels));
    Shape { width: features.width, grid }
}

fn uneven(picture: &Path, found: Shape, expected: Shape) -> DataBuildError {
    let words = |shape: Shape| match shape.grid {
        Some((regions, channels)) => {
            format!("{} features and {regions} regions of {channels}", shape.width)
        }
        None => format!("{} features", shape.width),
    };
    DataBuildError::Uneven {
        picture: picture.to_owned(),
        found: words(found),
        expected: words(expected),
    }
}

fn check_finite<'a>(
    features: &Features,
    pictures: usize,
    path: &dyn Fn(usize) -> &'a Path,
) -> Result<(), DataBuildError> {
    let grid = features.grid.iter().map(|grid| &grid.features);
    for numbers in [&features.features].into_iter().chain(grid) {
        if let Some(at) = numbers.iter().position(|x| !x.is_finite()) {
            let each = numbers.len() / pictures.max(1);
            let (picture, index) = (path(at / each).to_owned(), at % each);
            return Err(DataBuildError::NotFinite { picture, index, value: numbers[at] });
        }
    }
    Ok(())
}

/// Makes sure that a batch has features of the same shape as those before it, and enough for what is to become of them.
fn check_shape(
    shape: &mut Option<Shape>,
    chunk: &Chunk,
    batch: &[Image],
    options: &Options,
) -> Result<(), DataBuildError> {
    let found = shape_of(&chunk.features);
    if chunk.pictures.iter().all(|seen| seen.refused.is_some()) {
        return Ok(());
    }
    let expected = *shape.get_or_insert(found);
    if expected != found {
        let path = batch.first().map(|image| image.path.clone()).unwrap_or_default();
        return Err(uneven(&path, found, expected));
    }
    match options.pca {
        Some(asked) if asked > found.width => Err(DataBuildError::TooManyComponents {
            asked,
            what: "as many features as the encoder gives",
            most: found.width,
        }),
        _ => Ok(()),
    }
}
