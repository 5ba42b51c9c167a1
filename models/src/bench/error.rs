//! Networks that cannot be timed.

use engine_core::engine::{BuildError, FeedError};

use crate::caption::NoImages;
use crate::decode::DecodeError;

/// Why a network cannot be timed.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum BenchError {
    /// There is no memory for the network.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// The data does not fit the network.
    #[error("{0}")]
    Feed(#[from] FeedError),
    /// The network cannot write, or the decoder cannot write with its words.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Decode(#[from] DecodeError),
    /// Captions are to be written, and the data has no images.
    #[error(transparent)]
    #[diagnostic(transparent)]
    NoImages(#[from] NoImages),
    /// Numbers that are not finite take another time to compute with, and no one trains on them.
    #[error("the {what} of step {step} is not finite")]
    #[diagnostic(help("lower the learning rate or set train.clip_norm"))]
    NotFinite {
        /// `loss` or `gradient`.
        what: &'static str,
        /// The step, from 1.
        step: u64,
    },
}
