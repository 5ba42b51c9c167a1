//! What can be wrong with a file of captions.

use std::io;
use std::path::PathBuf;

use super::Format;

/// A file of captions that cannot be used. The message says where, what was expected and what was found.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptionsError {
    /// The operating system refused.
    #[error("could not read the captions `{}`: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// JSON that is not such a file's.
    #[error("`{}`, line {line}, column {column}: {message}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// An entry of a JSON file that cannot be used.
    #[error("`{}`, {list}[{index}]: {message}", path.display())]
    Entry {
        /// The file.
        path: PathBuf,
        /// The list that it is in: `images`.
        list: &'static str,
        /// Its place there, counted from 0.
        index: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// A JSON file without the captions of any format.
    #[error("`{}` {message}", path.display())]
    Other {
        /// The file.
        path: PathBuf,
        /// What was expected and what was found, as a predicate of the file.
        message: String,
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
    /// A file of the right form without a caption.
    #[error("`{}` holds no caption; it was read as {format}", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// How it was read.
        format: Format,
    },
}

impl CaptionsError {
    /// What to try.
    pub fn help(&self) -> String {
        const FORMATS: &str = "captions are COCO's annotations in JSON, Karpathy's dataset.json, or a table with \
                               `picture<TAB>caption` a line, in UTF-8";
        match self {
            CaptionsError::Read { .. } => "give the file with the captions".into(),
            CaptionsError::Json { .. } => {
                format!("is the file cut short, or something else? {FORMATS}")
            }
            CaptionsError::Entry { .. } => "mend that entry, or leave it out".into(),
            CaptionsError::Other { .. }
            | CaptionsError::Line { .. }
            | CaptionsError::Empty { .. } => FORMATS.into(),
        }
    }
}
