//! Encoders that cannot be used.

use std::io;
use std::path::PathBuf;

use engine_core::engine::{BuildError, FeedError};

use super::reduction::ReductionError;
use super::weights::WeightsError;
use crate::graph_file::GraphError;

/// Why an encoder cannot be read, written or used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum EncoderError {
    /// Its graph file cannot be read, or is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
    /// Its graph is not one of an encoder.
    #[error("{file}: {message}")]
    Unfit {
        /// The graph file.
        file: String,
        /// What was expected and what was found.
        message: String,
        /// What to try.
        #[help]
        help: &'static str,
    },
    /// Its weights cannot be read or written, or are those of another network.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Weights(#[from] WeightsError),
    /// What its data set does to features cannot be read, or does not fit them.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reduction(#[from] ReductionError),
    /// It cannot be given memory.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// Pictures do not fit it.
    #[error("{0}")]
    Feed(#[from] FeedError),
    /// A file of its folder cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    #[diagnostic(help("is the disk full?"))]
    Write {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
}
