//! Writing the layout, so that whoever makes a data set writes the files that [`CocoHdf5`](super::CocoHdf5) reads.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use hdf5::H5Type;
use ndarray::{ArrayView, Dimension, IntoDimension};

use crate::{DataError, Split, Vocabulary};

/// A folder that is filled with a data set.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    dir: &'a Path,
}

/// The captions of one split as they are stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// `[captions, columns]`: `<START>`, the words, `<END>`, and 0 up to the common length.
    pub tokens: Vec<i32>,
    /// The tokens of each caption.
    pub columns: usize,
    /// The image of each caption, counted from 0 within the split.
    pub images: Vec<i32>,
}

impl<'a> Writer<'a> {
    /// Writes into this folder, which exists.
    pub fn new(dir: &'a Path) -> Self {
        Writer { dir }
    }

    /// Writes `coco2014_vocab.json`.
    ///
    /// # Errors
    /// When it cannot be written; so it is with the other files.
    pub fn vocabulary(&self, vocabulary: &Vocabulary) -> Result<(), DataError> {
        vocabulary.write(&self.dir.join("coco2014_vocab.json"))
    }

    /// Writes `coco2014_captions.h5`.
    pub fn captions(&self, train: &Rows, val: &Rows) -> Result<(), DataError> {
        let path = self.dir.join("coco2014_captions.h5");
        let file = create(&path)?;
        for (split, rows) in [(Split::Train, train), (Split::Val, val)] {
            let shape = (rows.images.len(), rows.columns);
            put((&path, &file), &format!("{split}_captions"), shape, &rows.tokens)?;
            put((&path, &file), &format!("{split}_image_idxs"), rows.images.len(), &rows.images)?;
        }
        close(&path, file)
    }

    /// Writes `{split}2014_urls.txt`, a line an image.
    pub fn names<N: AsRef<str>>(
        &self,
        split: Split,
        names: impl IntoIterator<Item = N>,
    ) -> Result<(), DataError> {
        let path = self.dir.join(format!("{split}2014_urls.txt"));
        let failed = |e| DataError::io("write", &path, e);
        let mut file = BufWriter::new(File::create(&path).map_err(failed)?);
        for name in names {
            writeln!(file, "{}", name.as_ref()).map_err(failed)?;
        }
        file.flush().map_err(failed)
    }

    /// Begins the features of one split, `[images, width]`; `reduced` ones have a file of their own.
    pub fn features(
        &self,
        split: Split,
        reduced: bool,
        shape: [usize; 2],
    ) -> Result<Slabs, DataError> {
        let pca = if reduced { "_pca" } else { "" };
        Slabs::create(self.dir.join(format!("{split}2014_vgg16_fc7{pca}.h5")), &shape)
    }

    /// Begins the grids of one split, `[images, regions, channels]`.
    pub fn grid(&self, split: Split, shape: [usize; 3]) -> Result<Slabs, DataError> {
        Slabs::create(self.dir.join(format!("{split}2014_grid.h5")), &shape)
    }
}

/// The data set `features` of a file, written image after image, however many fit in memory.
pub struct Slabs {
    path: PathBuf,
    file: hdf5::File,
    data: hdf5::Dataset,
    images: usize,
    /// Numbers an image.
    width: usize,
    written: usize,
}

impl Slabs {
    fn create(path: PathBuf, shape: &[usize]) -> Result<Self, DataError> {
        let file = create(&path)?;
        let data = file.new_dataset::<f32>().shape(shape).create("features");
        let data = data.map_err(|e| unwritten(&path, "features", &e))?;
        let width = shape[1..].iter().product();
        Ok(Slabs { path, file, data, images: shape[0], width, written: 0 })
    }

    /// Writes the numbers of the next images.
    ///
    /// # Errors
    /// When they cannot be written.
    ///
    /// # Panics
    /// When they are not those of whole images, or of more than there are to be.
    pub fn push(&mut self, numbers: &[f32]) -> Result<(), DataError> {
        let images = numbers.len() / self.width.max(1);
        assert_eq!(images * self.width, numbers.len(), "whole images");
        assert!(self.written + images <= self.images, "no more images than announced");
        if images == 0 {
            return Ok(());
        }
        let (from, to) = (self.written, self.written + images);
        let failed = |e| unwritten(&self.path, "features", &e);
        let mut shape = self.data.shape();
        shape[0] = images;
        let array = ArrayView::from_shape(shape, numbers).map_err(|e| failed(e.into()))?;
        let written = match self.data.ndim() {
            2 => self.data.write_slice(&array, (from..to, ..)),
            _ => self.data.write_slice(&array, (from..to, .., ..)),
        };
        written.map_err(failed)?;
        self.written = to;
        Ok(())
    }

    /// Ends the file.
    ///
    /// # Errors
    /// When it cannot be written.
    ///
    /// # Panics
    /// When images are missing.
    pub fn finish(self) -> Result<(), DataError> {
        assert_eq!(self.written, self.images, "as many images as announced");
        drop(self.data);
        close(&self.path, self.file)
    }
}

fn create(path: &Path) -> Result<hdf5::File, DataError> {
    hdf5::silence_errors(true);
    // The root group would hold the time at which it was made, and the same seed is to give the same bytes.
    hdf5::File::with_options()
        .with_fcpl(|creation| creation.obj_track_times(false))
        .create(path)
        .map_err(|e| unwritten(path, "", &e))
}

fn close(path: &Path, file: hdf5::File) -> Result<(), DataError> {
    file.flush().and_then(|()| file.close()).map_err(|e| unwritten(path, "", &e))?;
    let synced = fs::File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|e| DataError::io("write", path, e))
}

fn put<T: H5Type, D: Dimension>(
    (path, file): (&Path, &hdf5::File),
    name: &str,
    shape: impl IntoDimension<Dim = D>,
    values: &[T],
) -> Result<(), DataError> {
    let array = ArrayView::from_shape(shape.into_dimension(), values)
        .map_err(|e| unwritten(path, name, &hdf5::Error::from(e)))?;
    file.new_dataset_builder()
        .with_data(array)
        .create(name)
        .map(|_| ())
        .map_err(|e| unwritten(path, name, &e))
}

fn unwritten(path: &Path, dataset: &str, error: &hdf5::Error) -> DataError {
    DataError::Hdf5 {
        action: "write",
        path: path.to_owned(),
        dataset: dataset.to_owned(),
        message: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use engine_core::{Batch, Elements};

    use super::*;
    use crate::{CocoHdf5, Dataset};

    #[test]
    fn slabs_of_any_size_read_as_one_array() {
        let words = Vocabulary::SPECIAL.map(str::to_owned).to_vec();
        let vocabulary = Vocabulary::new(words).unwrap();
        for (images, cuts) in [(1, vec![0, 1]), (7, vec![3, 0, 1, 3]), (5, vec![5])] {
            let dir = tempfile::tempdir().unwrap();
            let writer = Writer::new(dir.path());
            writer.vocabulary(&vocabulary).unwrap();
            let rows = Rows { tokens: vec![1, 2], columns: 2, images: vec![0] };
            writer.captions(&rows, &rows).unwrap();
            let numbers: Vec<f32> = (0..images * 6).map(|i| i as f32).collect();
            for split in Split::ALL {
                writer.names(split, (0..images).map(|i| format!("images/{i}.jpg"))).unwrap();
                let mut features = writer.features(split, false, [images, 6]).unwrap();
                let mut grid = writer.grid(split, [images, 2, 3]).unwrap();
                let mut from = 0;
                for cut in &cuts {
                    let slab = &numbers[from * 6..(from + cut) * 6];
                    features.push(slab).unwrap();
                    grid.push(slab).unwrap();
                    from += cut;
                }
                features.finish().unwrap();
                grid.finish().unwrap();
            }
            let set = CocoHdf5 { grid: true, ..CocoHdf5::in_dir(dir.path()).unwrap() };
            let source = set.open().unwrap();
            let mut batch = Batch::new();
            let all: Vec<usize> = (0..images).collect();
            source.fill_images(Split::Val, &all, &mut batch);
            for array in ["features", "grid"] {
                let found = batch.get(array).unwrap().elements();
                assert_eq!(found, &Elements::F32(numbers.clone()), "{array}");
            }
            assert_eq!(
                source.image_name(Split::Train, images - 1).unwrap(),
                format!("images/{}.jpg", images - 1)
            );
        }
    }
}
