//! The layout of the CS231n captioning set: COCO 2014 captions with VGG-16 features, in HDF5.
//!
//! | File | Holds |
//! |---|---|
//! | `coco2014_captions.h5` | `train_captions` `[rows, T]`, `train_image_idxs` `[rows]`, and the same for `val` |
//! | `{train,val}2014_vgg16_fc7[_pca].h5` | `features` `[images, width]` |
//! | `coco2014_vocab.json` | `idx_to_word`, `word_to_idx` |
//! | `{train,val}2014_grid.h5` | optional: `features` `[images, regions, channels]` |
//! | `{train,val}2014_urls.txt` | optional: one line an image; for `pixels: true` its file within the folder |
//! | `scenes.json` | optional: what generated pictures show |

mod arrays;
#[cfg(test)]
pub(crate) mod fixture;
mod folder;
mod grid;
mod names;
mod pixels;
mod source;
mod split;
mod write;

use std::path::{Path, PathBuf};

use engine_core::register;
use engine_core::registry::DATASET;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::arrays::Arrays;
use self::folder::Folder;
use self::grid::Grid;
use self::source::CocoSource;
pub use self::write::{Rows, Slabs, Writer};
use crate::picture::Preprocess;
use crate::{DataError, Dataset, Offer, Source, Split, Vocabulary};

/// A captioning data set in the CS231n layout, read from HDF5.
///
/// Binds the sizes `Features` and `Vocabulary`, and feeds `features` `[Batch, Features]`, `words_in` and `words_out`
/// `[Batch, Time]`. With `grid: true` also the sizes `Regions` and `Channels`, and `grid` `[Batch, Regions, Channels]`.
/// With `pixels: true` also the sizes `Height` and `Width`, and `images` `[Batch, 3, Height, Width]`: red, green and blue,
/// each byte b as b / 127.5 - 1, a number from -1 to 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CocoHdf5 {
    /// The folder with `coco2014_captions.h5` and its companions.
    pub dir: PathBuf,

    /// Whether to read the features reduced by PCA (`..._fc7_pca.h5`) rather than the full ones (`..._fc7.h5`).
    /// Default: true, as in the course.
    #[serde(default = "yes")]
    pub pca_features: bool,

    /// Whether to read grids too (`..._grid.h5`): for each image the features of its regions. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub grid: bool,

    /// Whether to read the pictures themselves too: the files that `{train,val}2014_urls.txt` names, all of one size.
    /// Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pixels: bool,

    /// Keep only this many training captions, chosen at random and the same ones in every run. Default: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_train: Option<usize>,
}

/// What a set binds: the sizes of features, of grids and of pictures, the last two if they are asked for.
const SIZES: [&str; 6] = ["Features", "Vocabulary", "Regions", "Channels", "Height", "Width"];
const WITH_PIXELS: [&str; 4] = ["Features", "Vocabulary", "Height", "Width"];

const FEATURES_OFFER: Offer =
    Offer { name: "features", shape: &["Batch", "Features"], tokens_below: None };
const WORDS_IN: Offer =
    Offer { name: "words_in", shape: &["Batch", "Time"], tokens_below: Some("Vocabulary") };
const WORDS_OUT: Offer = Offer { name: "words_out", ..WORDS_IN };
const GRID: Offer =
    Offer { name: "grid", shape: &["Batch", "Regions", "Channels"], tokens_below: None };
const IMAGES: Offer =
    Offer { name: "images", shape: &["Batch", "3", "Height", "Width"], tokens_below: None };

/// What a set feeds, as [`SIZES`].
const INPUTS: [Offer; 5] = [FEATURES_OFFER, WORDS_IN, WORDS_OUT, GRID, IMAGES];
const INPUTS_WITH_PIXELS: [Offer; 4] = [FEATURES_OFFER, WORDS_IN, WORDS_OUT, IMAGES];

/// The shape of a features file.
const FEATURES: &str = "[images, width]";

fn yes() -> bool {
    true
}

impl CocoHdf5 {
    /// The data set in `dir`, with the features that are there: the reduced ones if both are.
    ///
    /// # Errors
    /// Where the folder does not exist, or has no features of both splits.
    pub fn in_dir(dir: impl Into<PathBuf>) -> Result<Self, DataError> {
        let set = |dir, pca_features| CocoHdf5 {
            dir,
            pca_features,
            grid: false,
            pixels: false,
            max_train: None,
        };
        let dir = dir.into();
        let reduced = set(dir.clone(), true);
        let folder = reduced.folder()?;
        if Split::ALL.iter().all(|split| folder.features(*split).is_ok()) {
            return Ok(reduced);
        }
        let full = set(dir, false);
        full.folder()?.features(Split::Train)?;
        Ok(full)
    }

    fn folder(&self) -> Result<Folder<'_>, DataError> {
        Folder::new(&self.dir, self.pca_features)
    }
}

#[typetag::serde]
impl Dataset for CocoHdf5 {
    fn sizes(&self) -> &'static [&'static str] {
        match (self.grid, self.pixels) {
            (false, false) => &SIZES[..2],
            (true, false) => &SIZES[..4],
            (false, true) => &WITH_PIXELS,
            (true, true) => &SIZES,
        }
    }

    fn inputs(&self) -> &'static [Offer] {
        match (self.grid, self.pixels) {
            (false, false) => &INPUTS[..3],
            (true, false) => &INPUTS[..4],
            (false, true) => &INPUTS_WITH_PIXELS,
            (true, true) => &INPUTS,
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn pixels(&self, (height, width): (usize, usize)) -> Option<Preprocess> {
        self.pixels.then(|| pixels::preprocess(height, width))
    }

    fn reads_components(&self) -> bool {
        self.pca_features
    }

    fn peek(&self) -> Result<Vec<(&'static str, usize)>, DataError> {
        let folder = self.folder()?;
        let vocabulary = Vocabulary::read(&folder.vocabulary()?)?;
        let features = Arrays::open(&folder.features(Split::Train)?)?;
        let [_, width] = features.numbers_shape("features", FEATURES)?;
        let mut sizes = vec![("Features", width), ("Vocabulary", vocabulary.len())];
        if self.grid {
            let [_, regions, channels] = Grid::shape(&folder.grid(Split::Train)?)?;
            sizes.extend([("Regions", regions), ("Channels", channels)]);
        }
        if self.pixels {
            let [height, width] = pixels::size(&folder)?;
            sizes.extend([("Height", height), ("Width", width)]);
        }
        Ok(sizes)
    }

    fn open(&self) -> Result<Box<dyn Source>, DataError> {
        if self.max_train == Some(0) {
            return Err(DataError::BadOption {
                name: "max_train",
                value: 0,
                expected: "it would leave no captions to train on; give at least 1, or leave it out",
            });
        }
        Ok(Box::new(CocoSource::read(&self.folder()?, self)?))
    }
}

register!(CocoHdf5 in DATASET, example: "CocoHdf5(dir: \"datasets/scenes\", pca_features: false)");

#[cfg(test)]
mod tests {
    use super::fixture::Fixture;
    use super::*;

    #[test]
    fn the_graph_file_entry_has_defaults_and_refuses_unknown_fields() {
        let set: Box<dyn Dataset> = serde_json::from_str(r#"{"CocoHdf5": {"dir": "d"}}"#).unwrap();
        let written = serde_json::to_string(&set).unwrap();
        assert_eq!(written, r#"{"CocoHdf5":{"dir":"d","pca_features":true}}"#);
        assert_eq!(set.dir(), Path::new("d"));
        let error = serde_json::from_str::<Box<dyn Dataset>>(r#"{"CocoHdf5": {"folder": "d"}}"#);
        assert!(error.unwrap_err().to_string().contains("unknown field `folder`"));
    }

    #[test]
    fn peek_agrees_with_open() {
        let fixture = Fixture::random(3);
        let set = fixture.set();
        let peeked = set.peek().unwrap();
        assert_eq!(peeked, set.open().unwrap().sizes());
        assert_eq!(peeked.iter().map(|(name, _)| *name).collect::<Vec<_>>(), set.sizes());
    }

    #[test]
    fn a_grid_is_read_if_it_is_asked_for() {
        let fixture = Fixture::random(8);
        let plain = fixture.set();
        assert_eq!((plain.sizes().len(), plain.inputs().len()), (2, 3));
        let set = CocoHdf5 { grid: true, ..plain };
        assert_eq!(set.sizes(), ["Features", "Vocabulary", "Regions", "Channels"]);
        assert_eq!(set.inputs().last().unwrap().name, "grid");
        assert_eq!(set.peek().unwrap(), set.open().unwrap().sizes());
    }

    #[test]
    fn in_dir_takes_the_features_that_are_there() {
        let fixture = Fixture::random(4);
        assert!(CocoHdf5::in_dir(fixture.dir()).unwrap().pca_features);
        for split in Split::ALL {
            let reduced = fixture.dir().join(format!("{split}2014_vgg16_fc7_pca.h5"));
            let full = fixture.dir().join(format!("{split}2014_vgg16_fc7.h5"));
            std::fs::rename(reduced, full).unwrap();
        }
        assert!(!CocoHdf5::in_dir(fixture.dir()).unwrap().pca_features);
    }

    #[test]
    fn max_train_of_none_is_refused() {
        let set = CocoHdf5 { max_train: Some(0), ..Fixture::random(5).set() };
        let error = set.open().err().unwrap().to_string();
        assert!(error.contains("`max_train: 0`"), "{error}");
    }
}
