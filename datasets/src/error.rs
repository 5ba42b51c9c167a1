//! What can go wrong with a data set, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::Split;

/// A fault in a data set. The message says where it is, what was expected and what was found; [`help`](Self::help)
/// says what to try.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// The data set's folder is not there.
    #[error("there is no folder `{}`", dir.display())]
    MissingFolder {
        /// The folder asked for.
        dir: PathBuf,
        /// What to do.
        help: String,
    },

    /// Something else than a folder has the folder's name.
    #[error("`{}` is not a folder", dir.display())]
    NotAFolder {
        /// What was given as the folder.
        dir: PathBuf,
    },

    /// One of the data set's files is not there.
    #[error("`{}` is missing ({role}); the folder holds {}", path.display(), list(present))]
    MissingFile {
        /// The file.
        path: PathBuf,
        /// What it would hold.
        role: &'static str,
        /// The files that are there.
        present: Vec<String>,
        /// What to do.
        help: Option<String>,
    },

    /// The operating system refused.
    #[error("could not {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },

    /// A file that should be HDF5 and is not, or is damaged.
    #[error("`{}` cannot be read as HDF5: {found}", path.display())]
    NotHdf5 {
        /// The file.
        path: PathBuf,
        /// What it is instead.
        found: String,
        /// What to do.
        help: &'static str,
    },

    /// An HDF5 file without one of the data sets it should hold.
    #[error("`{}` has no data set `{dataset}`; it holds {}", path.display(), list(present))]
    MissingDataset {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// The names that are there.
        present: Vec<String>,
    },

    /// A data set of the wrong shape.
    #[error("`{dataset}` in `{}` should have the shape {expected}, but has {found:?}", path.display())]
    WrongShape {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// The shape in words.
        expected: &'static str,
        /// The shape.
        found: Vec<usize>,
    },

    /// A data set of the wrong element type.
    #[error("`{dataset}` in `{}` should hold {expected}, but holds {found}", path.display())]
    WrongType {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// The types that can be read.
        expected: &'static str,
        /// The type.
        found: String,
    },

    /// HDF5 could not read a data set, or could not write one.
    #[error("could not {action} `{dataset}` in `{}`: {message}", path.display())]
    Hdf5 {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: String,
        /// HDF5's reason.
        message: String,
    },

    /// A caption with a token that is no word.
    #[error(
        "`{dataset}` in `{}`, row {row}, column {column}: token {value} is not in the vocabulary, \
         whose {words} words are numbered from 0",
        path.display()
    )]
    TokenOutOfVocabulary {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// The caption, counted from 0.
        row: usize,
        /// The token's place in it, counted from 0.
        column: usize,
        /// The token.
        value: i64,
        /// The size of the vocabulary.
        words: usize,
    },

    /// A caption of an image that has no features.
    #[error(
        "`{dataset}` in `{}`, row {row}: image {value} has no features; `{}` holds {images} images, \
         numbered from 0",
        path.display(),
        features.display()
    )]
    ImageOutOfRange {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// The caption, counted from 0.
        row: usize,
        /// The image's number.
        value: i64,
        /// The features file.
        features: PathBuf,
        /// The number of images in it.
        images: usize,
    },

    /// Captions and their images' numbers do not pair up.
    #[error(
        "`{}` has {captions} {split} captions, but {image_idxs} image numbers for them",
        path.display()
    )]
    LengthsDiffer {
        /// The file.
        path: PathBuf,
        /// The split.
        split: Split,
        /// The rows of `{split}_captions`.
        captions: usize,
        /// The rows of `{split}_image_idxs`.
        image_idxs: usize,
    },

    /// A feature that is not a number, or infinite.
    #[error("`{dataset}` in `{}`, {place}: {value} is not a finite number", path.display())]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// Where in it, counted from 0: `row 3, column 17`.
        place: String,
        /// The value.
        value: f32,
    },

    /// Training and validation features of different widths.
    #[error(
        "the features of the two splits differ in width: {train_width} in `{}`, {val_width} in `{}`",
        train.display(),
        val.display()
    )]
    WidthsDiffer {
        /// The training features.
        train: PathBuf,
        /// Their width.
        train_width: usize,
        /// The validation features.
        val: PathBuf,
        /// Their width.
        val_width: usize,
    },

    /// Grids of other images than features are of.
    #[error(
        "`{}` holds the grids of {grids} images, but `{}` the features of {images}",
        path.display(),
        features.display()
    )]
    GridsOfOthers {
        /// The file of grids.
        path: PathBuf,
        /// The images in it.
        grids: usize,
        /// The features file.
        features: PathBuf,
        /// The images in it.
        images: usize,
    },

    /// Training and validation grids of different shapes.
    #[error(
        "the grids of the two splits differ: {} regions of {} channels in `{}`, {} of {} in `{}`",
        train_shape[0], train_shape[1], train.display(), val_shape[0], val_shape[1], val.display()
    )]
    GridsDiffer {
        /// The training grids.
        train: PathBuf,
        /// Their regions and channels.
        train_shape: [usize; 2],
        /// The validation grids.
        val: PathBuf,
        /// Their regions and channels.
        val_shape: [usize; 2],
    },

    /// A picture that is not as large as the others.
    #[error(
        "`{}` has {} rows of {} pixels, but the first training picture has {} of {}",
        path.display(), found[0], found[1], expected[0], expected[1]
    )]
    PicturesDiffer {
        /// The picture.
        path: PathBuf,
        /// Its height and width.
        found: [usize; 2],
        /// Those of the first training picture.
        expected: [usize; 2],
    },

    /// A split without captions, images or features.
    #[error("`{dataset}` in `{}` is empty: its shape is {shape:?}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// A data set larger than the memory.
    #[error("`{dataset}` in `{}` does not fit in memory: {shape:?} numbers", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The data set.
        dataset: &'static str,
        /// Its shape.
        shape: Vec<usize>,
    },

    /// A list of image names that does not match the images.
    #[error("`{}` names {lines} images, but there are features of {images}", path.display())]
    NamesDiffer {
        /// The file of names.
        path: PathBuf,
        /// Its lines.
        lines: usize,
        /// The images.
        images: usize,
    },

    /// A JSON file that does not parse.
    #[error("`{}`, line {line}, column {column}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },

    /// A vocabulary that contradicts itself or lacks a special word.
    #[error("the vocabulary `{}` {message}", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A file that was written beside the data set and does not fit it.
    #[error("`{}` does not belong to this data set: {message}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        message: String,
    },

    /// A text that is not one.
    #[error("`{}`, line {line}: byte {byte} is not UTF-8", path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from the start of the file, from 0.
        byte: usize,
    },

    /// A text that is too short to be cut up.
    #[error(
        "`{}` has {found} characters for {}, expected at least {least}: a chunk and the character after it",
        path.display(),
        if *split == Split::Train { "training" } else { "validation" }
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// The split.
        split: Split,
        /// Its characters.
        found: usize,
        /// The fewest that will do.
        least: usize,
    },

    /// A line of a table that cannot be used.
    #[error("`{}`, line {line}: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },

    /// A table of labelled texts with nothing to tell apart or too little to do so.
    #[error("`{}` {message}", path.display())]
    Labels {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },

    /// A split's name that is none.
    #[error("there is no split `{found}`: it is `train` or `val`")]
    UnknownSplit {
        /// The name given.
        found: String,
    },

    /// A number in the request that cannot be used.
    #[error("`{name}: {value}` cannot be used: {expected}")]
    BadOption {
        /// The option.
        name: &'static str,
        /// Its value.
        value: usize,
        /// What would do.
        expected: &'static str,
    },

    /// A folder to be written that is already in use.
    #[error("the folder `{}` exists and is not empty", dir.display())]
    FolderInUse {
        /// The folder.
        dir: PathBuf,
    },

    /// A picture that could not be read or written.
    #[error("could not {action} the picture `{}`: {message}", path.display())]
    Picture {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The reason.
        message: String,
    },
}

impl DataError {
    /// What to try, where something specific can be said.
    pub fn help(&self) -> Option<String> {
        use DataError::*;
        Some(match self {
            MissingFolder { help, .. } => help.clone(),
            MissingFile { help, .. } => return help.clone(),
            NotHdf5 { help, .. } => (*help).to_owned(),
            NotAFolder { .. } => "give the folder that holds the data".to_owned(),
            TokenOutOfVocabulary { .. } => {
                "captions and vocabulary must come from the same data set: copy \
                 `coco2014_captions.h5` and `coco2014_vocab.json` from one place"
                    .to_owned()
            }
            ImageOutOfRange { .. } | NamesDiffer { .. } | GridsOfOthers { .. } => {
                "captions, features and names must come from the same data set: copy all its files \
                 from one place"
                    .to_owned()
            }
            NotFinite { .. } => {
                "the file was damaged or the features were computed wrongly: make or fetch it again"
                    .to_owned()
            }
            WidthsDiffer { .. } => {
                "compute both files with the same network, and reduce both or neither by PCA"
                    .to_owned()
            }
            GridsDiffer { .. } => {
                "compute both files with the same network and the same regions".to_owned()
            }
            PicturesDiffer { .. } => {
                "bring all pictures to one size; a network reads them in batches".to_owned()
            }
            Picture { action: "read", .. } => {
                "put the picture there again; the set's `.._urls.txt` files name those that it needs"
                    .to_owned()
            }
            TooLarge { .. } => {
                "use the PCA features (`pca_features: true`), or a machine with more memory"
                    .to_owned()
            }
            FolderInUse { .. } => "give another folder, or remove this one first".to_owned(),
            NotUtf8 { .. } => "save the file as UTF-8: `iconv -t UTF-8` does it".to_owned(),
            TooShort { split: Split::Train, .. } => {
                "give a longer text or a smaller `chunk`".to_owned()
            }
            TooShort { .. } => {
                "give a longer text, a smaller `chunk`, or a larger share to `validation`"
                    .to_owned()
            }
            Line { .. } | Labels { .. } => {
                "write `label<TAB>text` a line, with two different labels at least".to_owned()
            }
            Foreign { .. } => "make the data set again, or remove this file".to_owned(),
            _ => return None,
        })
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        DataError::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn json(path: &Path, error: &serde_json::Error) -> Self {
        // serde_json repeats the position at the end of its message.
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default().to_owned();
        DataError::Json {
            path: path.to_owned(),
            line: error.line(),
            column: error.column(),
            message,
        }
    }
}

/// `a, b and c`, or `nothing`; long lists are cut.
fn list(names: &[String]) -> String {
    const MOST: usize = 12;
    let quoted: Vec<_> = names.iter().take(MOST).map(|name| format!("`{name}`")).collect();
    match (quoted.as_slice(), names.len().saturating_sub(MOST)) {
        ([], _) => "nothing".to_owned(),
        ([one], 0) => one.clone(),
        ([most @ .., last], 0) => format!("{} and {last}", most.join(", ")),
        (all, more) => format!("{} and {more} more", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_read_as_sentences() {
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect::<Vec<_>>();
        assert_eq!(list(&names(0)), "nothing");
        assert_eq!(list(&names(1)), "`0`");
        assert_eq!(list(&names(3)), "`0`, `1` and `2`");
        assert!(list(&names(20)).ends_with("`11` and 8 more"));
    }

    #[test]
    fn json_errors_say_their_position_once() {
        let error = serde_json::from_str::<Vec<u32>>("[1,\n x]").unwrap_err();
        let error = DataError::json(Path::new("v.json"), &error).to_string();
        assert_eq!(error, "`v.json`, line 2, column 2: expected value");
    }
}
