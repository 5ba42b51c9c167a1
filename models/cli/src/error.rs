//! Everything that can end a command.

use std::io;
use std::path::PathBuf;

use engine::bench::BenchError;
use engine::build::DataBuildError;
use engine::caption::NoImages;
use engine::decode::DecodeError;
use engine::encoder::EncoderError;
use engine::fetch::FetchError;
use engine::photographs::PhotographsError;
use engine::score::ScoreError;
use engine::{CheckpointsError, GraphError, RunError, TrainError, TrainedError};
use engine_core::engine::checkpoint::CheckpointError;
use engine_core::engine::{BuildError, FeedError};
use engine_datasets::DataError;
use engine_report::{HistoryError, ReportError};

#[cfg(feature = "server")]
use engine_server::ServeError;

/// Why a command ended without doing what it was asked to.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub(crate) enum Error {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
    #[error("{0}")]
    Data(#[from] DataError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    DataBuild(#[from] DataBuildError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Fetch(#[from] FetchError),
    #[error("{0}")]
    Build(#[from] BuildError),
    #[error("{0}")]
    Feed(#[from] FeedError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Decode(#[from] DecodeError),
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoints(#[from] CheckpointsError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Encoder(#[from] EncoderError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Train(#[from] TrainError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trained(#[from] TrainedError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Bench(#[from] BenchError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoImages(#[from] NoImages),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Photographs(#[from] PhotographsError),
    #[cfg(feature = "server")]
    #[error(transparent)]
    #[diagnostic(transparent)]
    Serve(#[from] ServeError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Score(#[from] ScoreError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    History(#[from] HistoryError),
    #[error(transparent)]
    #[diagnostic(transparent)]
    Report(#[from] ReportError),
    /// A file that the command was asked for, or one of its run, cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    #[diagnostic(help("is the disk full?"))]
    Write {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// A file of parameters cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    #[diagnostic(help("give the folder of a run, or a safetensors file"))]
    ReadParameters {
        path: PathBuf,
        #[source]
        error: io::Error,
    },
    /// The data is too little for as many streams as a batch has rows.
    #[error(
        "the data has {rows} captions or chunks to train on, and `order: Streams` takes at least one for each of a batch's {batch} rows"
    )]
    #[diagnostic(help(
        "lower `train.batch` to at most {rows}, or cut a text into smaller pieces with `data.chunk`"
    ))]
    TooFewRows { rows: usize, batch: usize },
    #[error("cannot handle signals: {error}")]
    Signals {
        #[source]
        error: io::Error,
    },
    /// The command line asks for what there is not.
    #[error("{message}")]
    Usage {
        /// What was expected and what was found.
        message: String,
        /// What to try.
        #[help]
        help: String,
    },
}
