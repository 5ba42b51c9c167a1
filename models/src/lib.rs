//! **engine**: captioning and sequence networks on ordinary CPUs.
//!
//! This library turns an [`Experiment`] (a graph file: network, data, training, sampling) into a run: [`Training`] trains
//! it into a [`RunFolder`], [`Captioner`] writes sentences with what was learned. The `engine` command, its
//! server and its reports are crates of their own above it.
//!
//! The generic parts live below: [`engine_core`] checks and runs any graph, [`engine_layers`] holds the layers,
//! [`engine_datasets`] the data.

#![forbid(unsafe_code)]

pub mod allocations;
mod batches;
pub mod bench;
mod best_by;
pub mod blur;
pub mod build;
pub mod caption;
mod continuation;
pub mod decode;
pub mod encoder;
mod experiment;
pub mod fetch;
mod files;
mod graph_file;
mod peak;
pub mod photographs;
mod run;
pub mod score;
mod settings;
mod train;
mod trained;

pub use batches::{Batches, Draw, Drawn, with_batches};
pub use best_by::BestBy;
pub use caption::{Captioner, Truth};
pub use continuation::{Continuation, Continued};
pub use experiment::{DEFAULT_DATA, Experiment, Override};
pub use files::replace;
pub use graph_file::GraphError;
pub use run::{
    About, Checkpoints, CheckpointsError, Contents, Evaluation, Events, Generation, Machine,
    Metrics, MetricsError, Record, RunError, RunFolder, RunGuard, Written, graph_name,
};
pub use settings::{Keep, TrainSettings};
pub use train::{
    CaptionScores, End, Identity, ResumeError, Scores, StepReport, Stop, Summary, TrainError,
    Training, Watch, validate,
};
pub use trained::{Parameters, Trained, TrainedError};

// Linked for its registrations: a crate that nothing names loses them.
use engine_layers as _;
