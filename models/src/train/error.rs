//! What ends a training before its last step.

use std::path::PathBuf;

use engine_core::engine::FeedError;
use engine_core::engine::checkpoint::CheckpointError;

use super::state::ResumeError;
use crate::caption::NoImages;
use crate::decode::DecodeError;
use crate::run::{CheckpointsError, MetricsError};
use crate::score::ScoreError;

/// Why a training did not begin, or ended early.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TrainError {
    /// The data does not fit the network.
    #[error("{0}")]
    Feed(#[from] FeedError),
    /// A generation cannot be saved or read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// A generation is not one of this network.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    /// Training cannot go on from a generation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Resume(#[from] ResumeError),
    /// Metrics cannot be written, or are not those of a generation.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Metrics(#[from] MetricsError),
    /// Captions to be scored cannot be written.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Decode(#[from] DecodeError),
    /// Captions cannot be scored.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Score(#[from] ScoreError),
    /// Captions are to be scored, and the data has no images.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoImages(#[from] NoImages),
    /// Training has left the numbers.
    #[error("{what} of iteration {iteration} is not finite; {}", first_node(node))]
    #[diagnostic(help(
        "lower the learning rate or set train.clip_norm; the last good parameters are in {}",
        kept.display()
    ))]
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
}

fn first_node(node: &Option<String>) -> String {
    match node {
        Some(node) => format!("`{node}` is the first node whose output is not"),
        None => "every node's output is, so the backward pass left the range of the numbers".into(),
    }
}
