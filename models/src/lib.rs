//! **engine**: captioning and sequence networks on ordinary CPUs.
//!
//! This library turns an [`Experiment`] (a graph file: network, data, training, sampling) into a run: [`Training`] trains
//! it into a [`RunFolder`], [`Captioner`] writes sentences with what was learned. The `engine` command is a thin layer
//! over it; see [`cli`].
//!
//! The generic parts live below: [`engine_core`] checks and runs any graph, [`engine_layers`] holds the layers,
//! [`engine_datasets`] the data.

pub mod allocations;
mod batches;
pub mod bench;
pub mod blur;
pub mod build;
pub mod caption;
mod checksum;
pub mod cli;
mod continuation;
pub mod decode;
pub mod draw;
pub mod encoder;
mod error;
mod experiment;
pub mod fetch;
pub mod photographs;
pub mod report;
mod run;
pub mod score;
pub mod serve;
mod settings;
mod train;
mod trained;
mod validate;

pub use batches::{Batches, Draw, Drawn, with_batches};
pub use caption::{Captioner, Truth};
pub use continuation::{Continuation, Continued};
pub use error::Error;
pub use experiment::{Experiment, Override};
pub use run::{
    About, Checkpoints, CheckpointsError, Contents, Events, Generation, Machine, Metrics,
    MetricsError, Record, RunError, RunFolder, RunGuard, Written, replace,
};
pub use settings::{Keep, TrainSettings};
pub use train::{
    BestBy, CaptionScores, End, Evaluation, Identity, ResumeError, Scores, StepReport, Stop,
    Summary, Training, Watch,
};
pub use trained::Trained;
pub use validate::validate;

// Linked for its registrations: a crate that nothing names loses them.
use engine_layers as _;
