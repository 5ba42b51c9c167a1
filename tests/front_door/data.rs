//! A data set small enough to damage at will, in the CS231n layout.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hdf5::types::VarLenUnicode;
use ndarray::{Array, Array1, Array2, Dimension};

const SPLITS: [&str; 2] = ["train", "val"];

/// Held while this process has data open. A process that starts in between would inherit the open file and with it
/// HDF5's lock, and keep other processes from reading it.
pub(crate) fn writing() -> MutexGuard<'static, ()> {
    static OPEN: Mutex<()> = Mutex::new(());
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the files say; the first of two is for training, the second for validation.
#[derive(Clone)]
pub(crate) struct Data {
    pub(crate) words: Vec<&'static str>,
    pub(crate) captions: [Array2<i32>; 2],
    pub(crate) image_idxs: [Vec<i32>; 2],
    pub(crate) features: [Array2<f32>; 2],
    /// Whether the features are written under the name of reduced ones.
    pub(crate) pca: bool,
}

impl Data {
    /// Eight captions of four images to train on, four of two to validate on; five words and three features.
    pub(crate) fn small() -> Self {
        // <START> a <END> <NULL> and <START> a b <END> by turns.
        let captions = |rows| {
            Array2::from_shape_fn((rows, 4), |(row, column)| {
                [[1, 4, 2, 0], [1, 4, 5, 2]][row % 2][column]
            })
        };
        let image_idxs = |rows: i32| (0..rows).map(|row| row / 2).collect();
        let features = |images| {
            Array2::from_shape_fn((images, 3), |(image, i)| (image * 3 + i) as f32 / 4.0 - 1.0)
        };
        Data {
            words: vec!["<NULL>", "<START>", "<END>", "<UNK>", "a", "b"],
            captions: [captions(8), captions(4)],
            image_idxs: [image_idxs(8), image_idxs(4)],
            features: [features(4), features(2)],
            pca: false,
        }
    }

    /// Writes the files into a new folder.
    pub(crate) fn write(&self, dir: &Path) {
        let _open = writing();
        fs::create_dir_all(dir).expect("a folder is made");
        let vocabulary = serde_json::json!({ "idx_to_word": self.words });
        fs::write(dir.join("coco2014_vocab.json"), vocabulary.to_string()).expect("written");
        let captions = hdf5::File::create(dir.join("coco2014_captions.h5")).expect("created");
        let name = if self.pca { "_pca" } else { "" };
        for (at, split) in SPLITS.iter().enumerate() {
            put(&captions, &format!("{split}_captions"), &self.captions[at]);
            let image_idxs = Array1::from(self.image_idxs[at].clone());
            put(&captions, &format!("{split}_image_idxs"), &image_idxs);
            let features = dir.join(format!("{split}2014_vgg16_fc7{name}.h5"));
            let features = hdf5::File::create(features).expect("created");
            put(&features, "features", &self.features[at]);
        }
    }
}

fn put<T: hdf5::H5Type, D: Dimension>(file: &hdf5::File, name: &str, array: &Array<T, D>) {
    file.new_dataset_builder().with_data(array).create(name).expect("a data set is written");
}

/// What to put in place of a data set.
pub(crate) enum Other {
    Nothing,
    Words,
    Numbers1(usize),
    Numbers3([usize; 3]),
    Integers1(usize),
}

/// Removes a data set from a file, or replaces it by one of another kind.
pub(crate) fn replace(file: &Path, dataset: &str, other: &Other) {
    let _open = writing();
    let file = hdf5::File::open_rw(file).expect("opened");
    file.unlink(dataset).expect("the data set is there");
    match other {
        Other::Nothing => {}
        Other::Words => {
            let word: VarLenUnicode = "word".parse().expect("a word");
            put(&file, dataset, &Array2::from_elem((4, 4), word));
        }
        Other::Numbers1(length) => put(&file, dataset, &Array1::<f32>::zeros(*length)),
        Other::Numbers3(shape) => put(&file, dataset, &ndarray::Array3::<f32>::zeros(*shape)),
        Other::Integers1(length) => put(&file, dataset, &Array1::<i32>::zeros(*length)),
    }
}
