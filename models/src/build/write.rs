//! The folder of a data set, from what the staging holds.

use std::path::Path;

use engine_datasets::Split;
use engine_datasets::coco::{Slabs, Writer};

use super::images::Image;
use super::sentences::Sentences;
use super::staging::{Chunk, Staging};
use super::{DataBuildError, Options, whole};
use crate::encoder::{Encoder, Features, Grid, Reduction, folder};

/// The pictures of a data set lie in this folder, or seem to.
const PICTURES: &str = "images";

/// What is written besides the captions.
pub(super) struct Set<'a> {
    /// The folder to fill.
    pub(super) dir: &'a Path,
    pub(super) staging: &'a Staging,
    /// The pictures as they are in the staging.
    pub(super) images: &'a [Image],
    pub(super) reduction: &'a Reduction,
    pub(super) encoder: &'a Encoder,
    pub(super) options: &'a Options,
}

impl Set<'_> {
    /// Writes all files: captions and names of the pictures that are shown, features of all that could be read, which are
    /// the same.
    pub(super) fn write(
        &self,
        shown: &[Image],
        sentences: &Sentences,
    ) -> Result<(), DataBuildError> {
        let writer = Writer::new(self.dir);
        writer.vocabulary(&sentences.vocabulary)?;
        writer.captions(sentences.rows(Split::Train), sentences.rows(Split::Val))?;
        let folder = self.link_pictures()?;
        for split in Split::ALL {
            let of_split = shown.iter().filter(|image| image.split == split);
            writer.names(split, of_split.map(|image| format!("{folder}/{}", image.name)))?;
        }
        let count = |split| shown.iter().filter(|image| image.split == split).count();
        self.write_features(&writer, [count(Split::Train), count(Split::Val)])?;
        self.keep_encoder()
    }

    /// Makes the pictures look as if they lay in the data set's folder, where its readers look for them, and returns the
    /// folder of their names.
    fn link_pictures(&self) -> Result<String, DataBuildError> {
        let pictures = whole(&self.options.images)?;
        #[cfg(unix)]
        if std::os::unix::fs::symlink(&pictures, self.dir.join(PICTURES)).is_ok() {
            return Ok(PICTURES.to_owned());
        }
        // A file system without links: the names say where they really lie.
        Ok(pictures.display().to_string())
    }

    /// Writes features, principal components and grids, a batch at a time.
    fn write_features(
        &self,
        writer: &Writer<'_>,
        counts: [usize; 2],
    ) -> Result<(), DataBuildError> {
        let mut files = [None, None];
        for (number, batch) in self.images.chunks(self.options.batch).enumerate() {
            let chunk = self.staging.chunk(number)?;
            for split in Split::ALL {
                let features = of_split(&chunk, batch, split);
                if features.features.is_empty() {
                    continue;
                }
                let (full, reduced) = self.reduced(features)?;
                let file = &mut files[split as usize];
                let file = match file {
                    Some(file) => file,
                    None => {
                        let images = counts[split as usize];
                        file.insert(Files::begin(writer, split, images, &full, reduced.as_ref())?)
                    }
                };
                file.push(&full, reduced.as_ref())?;
            }
        }
        files.into_iter().flatten().try_for_each(Files::finish)
    }

    /// The features as they are stored, and their principal components if there are to be any. The staging's grids have
    /// the data set's regions already.
    fn reduced(&self, mut full: Features) -> Result<(Features, Option<Features>), DataBuildError> {
        let mut reduced = self.reduction.basis.is_some().then(|| Features {
            features: full.features.clone(),
            width: full.width,
            grid: None,
        });
        if let Some(reduced) = &mut reduced {
            self.reduction.reduce(reduced)?;
        }
        self.reduction.standardize(&mut full)?;
        if let Some(grid) = &mut full.grid {
            self.reduction.scale_grid(grid);
        }
        Ok((full, reduced))
    }

    /// Keeps what a new picture needs to come to the same features: the encoder and the reduction.
    fn keep_encoder(&self) -> Result<(), DataBuildError> {
        let dir = self.dir.join(folder::ENCODER);
        self.encoder.save(&dir)?;
        self.reduction.write(&folder::reduction(&dir))?;
        Ok(())
    }
}

/// The features of the pictures of one split among a batch.
fn of_split(chunk: &Chunk, batch: &[Image], split: Split) -> Features {
    let Features { features, width, grid } = &chunk.features;
    let read = chunk.pictures.iter().zip(batch).filter(|(seen, _)| seen.refused.is_none());
    let rows: Vec<usize> = read
        .enumerate()
        .filter(|(_, (_, image))| image.split == split)
        .map(|(row, _)| row)
        .collect();
    let pick = |numbers: &[f32], each: usize| -> Vec<f32> {
        rows.iter().flat_map(|row| &numbers[row * each..][..each]).copied().collect()
    };
    let grid = grid
        .as_ref()
        .map(|grid| Grid { features: pick(&grid.features, grid.regions * grid.channels), ..*grid });
    Features { features: pick(features, *width), width: *width, grid }
}

/// The files of one split that are being written.
struct Files {
    full: Slabs,
    reduced: Option<Slabs>,
    grid: Option<Slabs>,
}

impl Files {
    fn begin(
        writer: &Writer<'_>,
        split: Split,
        images: usize,
        full: &Features,
        reduced: Option<&Features>,
    ) -> Result<Self, DataBuildError> {
        let reduced = reduced.map(|reduced| writer.features(split, true, [images, reduced.width]));
        let grid = full
            .grid
            .as_ref()
            .map(|grid| writer.grid(split, [images, grid.regions, grid.channels]));
        Ok(Files {
            full: writer.features(split, false, [images, full.width])?,
            reduced: reduced.transpose()?,
            grid: grid.transpose()?,
        })
    }

    fn push(&mut self, full: &Features, reduced: Option<&Features>) -> Result<(), DataBuildError> {
        self.full.push(&full.features)?;
        if let (Some(file), Some(reduced)) = (&mut self.reduced, reduced) {
            file.push(&reduced.features)?;
        }
        if let (Some(file), Some(grid)) = (&mut self.grid, &full.grid) {
            file.push(&grid.features)?;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), DataBuildError> {
        self.full.finish()?;
        self.reduced.into_iter().chain(self.grid).try_for_each(Slabs::finish)?;
        Ok(())
    }
}
