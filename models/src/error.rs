//! Everything that can end a command.

use std::path::{Path, PathBuf};
use std::{fs, io};

use engine_core::engine::checkpoint::CheckpointError;
use engine_core::engine::{BuildError, FeedError};
use engine_core::graph::{Faults, did_you_mean};
use engine_datasets::DataError;

use crate::build::DataBuildError;
use crate::decode::DecodeError;
use crate::encoder::ReductionError;
use crate::encoder::weights::WeightsError;
use crate::fetch::FetchError;
use crate::photographs::PhotographsError;
use crate::report::HistoryError;
use crate::run::{CheckpointsError, MetricsError, RunError};
use crate::score::ScoreError;
use crate::serve::ServeError;
use crate::train::ResumeError;

/// Why a command ended without doing what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The graph file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// The graph file, or a value set on the command line, is wrong.
    #[error("{0}")]
    Graph(Box<Faults>),
    /// The data is missing or wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A data set cannot be built.
    #[error(transparent)]
    DataBuild(#[from] DataBuildError),
    /// A data set cannot be fetched.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The graph cannot be given memory.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The data does not fit the graph.
    #[error(transparent)]
    Feed(#[from] FeedError),
    /// The network cannot write, or the decoder cannot write with its words.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Parameters cannot be written or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The weights of an encoder cannot be had.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// A generation cannot be saved or read.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// Training cannot go on from a generation.
    #[error(transparent)]
    Resume(#[from] ResumeError),
    /// Metrics cannot be written, or are not those of a generation.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The run folder cannot be made or used.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run cannot caption pictures.
    #[error(transparent)]
    Photographs(#[from] PhotographsError),
    /// The server cannot begin.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// Captions cannot be scored.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// What was measured in a run cannot be read.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// A file of the run cannot be written.
    #[error("cannot write {}: {error}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// A file of parameters cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    ReadParameters {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// The data is too little for as many streams as a batch has rows.
    #[error(
        "the data has {rows} captions or chunks to train on, and `order: Streams` takes at least one for each of a batch's {batch} rows"
    )]
    TooFewRows {
        /// Those that the data has.
        rows: usize,
        /// The rows of a batch.
        batch: usize,
    },
    /// Features do not go the way of a data set's.
    #[error(transparent)]
    Reduction(#[from] ReductionError),
    /// Signals cannot be handled.
    #[error("cannot handle signals: {error}")]
    Signals {
        /// The system's reason.
        #[source]
        error: io::Error,
    },
    /// Training has left the numbers.
    #[error("{what} of iteration {iteration} is not finite; {}", first_node(node))]
    NotFinite {
        /// `the loss`, `the validation loss` or `the gradient`.
        what: &'static str,
        /// The step, from 1.
        iteration: u64,
        /// The first node with an output that is not finite.
        node: Option<String>,
        /// Where the last good parameters are.
        kept: PathBuf,
    },
    /// The command line asks for what there is not.
    #[error("{message}")]
    Usage {
        /// What was expected and what was found.
        message: String,
        /// What to try.
        help: String,
    },
}

fn first_node(node: &Option<String>) -> String {
    match node {
        Some(node) => format!("`{node}` is the first node whose output is not"),
        None => "every node's output is, so the backward pass left the range of the numbers".into(),
    }
}

/// The graph files in the folder that `path` names, the nearest first.
fn nearest_graph(path: &Path) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let graphs = entries.map(|entry| entry.file_name()).filter(|name| is_graph(Path::new(name)));
    let join = |name| parent.map_or(PathBuf::from(&name), |parent| parent.join(&name));
    let mut graphs: Vec<String> = graphs.map(|name| join(name).display().to_string()).collect();
    graphs.sort();
    did_you_mean(&path.display().to_string(), graphs.iter().map(String::as_str))
}

fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ron")
}

impl Error {
    /// What needs images, for data that has none.
    pub(crate) fn no_images(what: &str) -> Self {
        Error::Usage {
            message: format!("{what} writes captions of images, and the data has none"),
            help: "a text is gone on with by: engine sample RUN --text TEXT".into(),
        }
    }

    /// What to try.
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Graph(_) => None,
            Error::Read { path, .. } => Some(format!("give a graph file; {}", nearest_graph(path))),
            Error::Data(error) => error.help(),
            Error::DataBuild(error) => Some(error.help()),
            Error::Reduction(error) => Some(error.help()),
            Error::Fetch(error) => Some(error.help()),
            Error::Run(error) => Some(error.help()),
            Error::Photographs(error) => Some(error.help()),
            Error::Serve(error) => error.help(),
            Error::Score(error) => error.help(),
            Error::History(error) => Some(error.help()),
            Error::Build(BuildError::Unbound { symbol, .. }) => {
                Some(format!("the data binds no size `{symbol}`"))
            }
            Error::Build(BuildError::TooLarge { .. }) => Some("is one of its sizes a slip?".into()),
            Error::Build(BuildError::NoRole { role, .. }) => {
                Some(format!("name a value so in the graph's `outputs`: {{\"{role}\": NODE}}"))
            }
            Error::Decode(error) => Some(error.help()),
            Error::Feed(_) => Some(
                "the graph's inputs and the data must agree; see `engine data info DIR`".into(),
            ),
            Error::Checkpoints(error) => Some(error.help()),
            Error::Resume(error) => Some(error.help()),
            Error::Metrics(MetricsError::Io { .. }) => Some("is the disk full? The checkpoint before is untouched; mend it and go on with: engine train --resume RUN".into()),
            Error::Metrics(MetricsError::Changed { .. }) => Some("put it back, or begin another run with these parameters: engine train GRAPH --init RUN".into()),
            Error::Weights(error) => Some(error.help()),
            Error::Checkpoint(_) => Some("is this the checkpoint of another graph?".into()),
            Error::Write { .. } => Some("is the disk full?".into()),
            Error::NotFinite { kept, .. } => Some(format!(
                "lower the learning rate or set train.clip_norm; the last good parameters are in {}",
                kept.display()
            )),
            Error::ReadParameters { .. } => Some("give the folder of a run, or a safetensors file".into()),
            Error::TooFewRows { rows, .. } => Some(format!(
                "lower `train.batch` to at most {rows}, or cut a text into smaller pieces with `data.chunk`"
            )),
            Error::Signals { .. } => None,
            Error::Usage { help, .. } => Some(help.clone()),
        }
    }
}
