//! What all requests share.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use engine::decode::Decoder;
use engine_datasets::Vocabulary;
use engine_datasets::picture::Preprocess;
use miette::Diagnostic;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::request::Choice;
use crate::worker::JobSender;

/// How a server is set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The address that it listens on.
    pub bind: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// Requests for captions that are answered at once. More are told to come back.
    pub queue: usize,
    /// How long a request may take, from its head to its answer.
    pub timeout: Duration,
    /// Whether pictures are fetched from private addresses too.
    pub allow_private: bool,
    /// Pictures that are captioned at once.
    pub batch: usize,
}

/// What all requests share.
pub(crate) struct AppState {
    pub(crate) settings: Settings,
    pub(crate) preprocess: Preprocess,
    pub(crate) vocabulary: Vocabulary,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) jobs: JobSender,
    /// Room for requests for captions.
    pub(crate) places: Semaphore,
    /// Room for pictures that are being decoded.
    pub(crate) decoding: Arc<Semaphore>,
    /// Room for pictures that are being fetched.
    pub(crate) fetching: Arc<Semaphore>,
    /// The page, which names the run.
    pub(crate) page: String,
}

impl AppState {
    /// Whether words can be chosen so.
    pub(crate) fn check(&self, choice: Choice) -> Result<(), Problem> {
        let checked = choice.beam().map_or(Ok(()), |beam| beam.check(&self.vocabulary));
        checked.map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "choice", error.to_string())
                .expected(format!("a beam of at most {} places", self.vocabulary.len()))
                .help(error.help().map_or(String::new(), |help| help.to_string()))
        })
    }
}
