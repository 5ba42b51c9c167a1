//! What a graph file's `data:` entry must offer, and what an opened data set serves.

use std::fmt::Debug;
use std::path::Path;
use std::str::FromStr;

use engine_core::{Batch, Dim};

use crate::picture::Preprocess;
use crate::{DataError, Judge, Split, Vocabulary};

/// The `data:` entry of a graph file, such as `CocoHdf5(dir: "datasets/scenes", pca_features: false)`.
#[typetag::serde]
pub trait Dataset: Debug + Send + Sync {
    /// The symbolic sizes it binds, known without touching the disk.
    fn sizes(&self) -> &'static [&'static str];

    /// The arrays that a batch holds.
    fn inputs(&self) -> &'static [Offer];

    /// The folder with its files.
    fn dir(&self) -> &Path;

    /// What it does to pictures that it offers as `images` of this height and width; `None` where it offers none.
    fn pixels(&self, _size: (usize, usize)) -> Option<Preprocess> {
        None
    }

    /// Whether what it calls features are principal components of what an encoder gives, where its folder has those.
    fn reads_components(&self) -> bool {
        false
    }

    /// The values of [`sizes`](Self::sizes), from headers and vocabulary alone. Takes milliseconds.
    ///
    /// # Errors
    /// Where a file is missing, or is not what its name promises.
    fn peek(&self) -> Result<Vec<(&'static str, usize)>, DataError>;

    /// Reads all of it into memory and checks every value.
    ///
    /// # Errors
    /// The first fault found, with its file, data set, row and column.
    fn open(&self) -> Result<Box<dyn Source>, DataError>;
}

engine_core::tagged!(Dataset);

/// An array that a data set puts into every batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offer {
    /// Its name, which a graph's input bears.
    pub name: &'static str,
    /// Its dimensions: `Batch`, `Time`, one of [`Dataset::sizes`], or a number.
    pub shape: &'static [&'static str],
    /// For vocabulary indices, the size that they are below; `None` for numbers.
    pub tokens_below: Option<&'static str>,
}

impl Offer {
    /// The dimensions of the array.
    pub fn dims(&self) -> impl Iterator<Item = Dim> {
        self.shape.iter().map(|dim| dim.parse().map_or_else(|_| Dim::named(dim), Dim::Fixed))
    }
}

impl FromStr for Split {
    type Err = DataError;

    fn from_str(name: &str) -> Result<Self, DataError> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| DataError::UnknownSplit { found: name.to_owned() })
    }
}

/// An opened data set: every row in memory, every value checked.
///
/// A *row* is a pair of an image and one of its captions; or, where there are no images, a piece of a text. Rows and
/// images count from 0 within their split.
///
/// # Panics
/// Methods that take a row or an image panic if it is not below [`captions`](Self::captions) or
/// [`images`](Self::images): callers draw both from these counts.
pub trait Source: Send + Sync {
    /// The values of the data set's symbolic sizes.
    fn sizes(&self) -> Vec<(&'static str, usize)>;

    /// The words of the captions.
    fn vocabulary(&self) -> &Vocabulary;

    /// The number of rows.
    fn captions(&self, split: Split) -> usize;

    /// The number of images. A data set without images keeps this and the other methods about images as they are here.
    fn images(&self, _split: Split) -> usize {
        0
    }

    /// The tokens of one row as stored: `<START>`, the words, `<END>`, and `<NULL>` up to the common length; or those of
    /// its piece of a text.
    fn caption(&self, split: Split, row: usize) -> &[u32];

    /// What one row belongs to: its image, or the class of a labelled text.
    fn image_of(&self, _split: Split, _row: usize) -> usize {
        0
    }

    /// Writes the batch of these rows, the arrays that [`Dataset::inputs`] offers. For captions these are `features`
    /// `[N, Features]`, `words_in` `[N, T]` (each caption without its last token) and `words_out` `[N, T]` (without its
    /// first).
    fn fill(&self, split: Split, rows: &[usize], batch: &mut Batch);

    /// Writes what there is of these images, such as `features` `[N, Features]`, for sampling.
    fn fill_images(&self, _split: Split, _images: &[usize], _batch: &mut Batch) {}

    /// The captions of one image, each as [`caption`](Self::caption) gives it.
    fn references<'a>(
        &'a self,
        _split: Split,
        _image: usize,
    ) -> Box<dyn ExactSizeIterator<Item = &'a [u32]> + 'a> {
        Box::new(std::iter::empty())
    }

    /// The image's file or address, where the data set has one.
    fn image_name(&self, _split: Split, _image: usize) -> Option<&str> {
        None
    }

    /// Knows whether a caption is true of its picture; only generated sets have one.
    fn judge(&self) -> Option<&dyn Judge> {
        None
    }
}

#[cfg(test)]
mod tests {
    use engine_core::registry::{DATASET, Entry};

    use super::*;

    #[test]
    fn splits_have_names() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
            assert_eq!(serde_json::to_string(&split).unwrap(), format!("\"{split}\""));
        }
        let error = "test".parse::<Split>().unwrap_err().to_string();
        assert!(error.contains("`test`") && error.contains("`train` or `val`"), "{error}");
    }

    #[test]
    fn the_registry_is_not_empty() {
        assert!(Entry::of(DATASET).any(|entry| entry.name == "CocoHdf5"));
    }
}
