//! Where training stands, as a generation keeps it.
//!
//! Random numbers need no state of their own: the order of captions is a function of the seed and the epoch, noise one of
//! the seed, the node and the step. So the number of steps is the place in the data as well as in every random sequence.

use std::path::{Path, PathBuf};

use engine_core::graph::to_ron;
use engine_datasets::{Order, Source, Split};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::experiment::Experiment;
use crate::files::hexadecimal;
use crate::run::{Evaluation, Written};

/// The form of `state.json` that this program writes.
const FORMAT: u32 = 1;

/// Where training stands after a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The form of this record.
    pub(super) format: u32,
    /// What the run is a run of.
    pub(super) identity: Identity,
    /// Steps made.
    pub(super) iteration: u64,
    /// The sum of losses of the steps since the last evaluation, and their number.
    pub(super) losses: (f64, u64),
    /// The steps that were made at the last evaluation.
    pub(super) evaluated: u64,
    /// Every evaluation.
    pub(super) evaluations: Vec<Evaluation>,
    /// Time spent so far, and since the last evaluation, in seconds.
    pub(super) seconds: (f64, f64),
    /// How much of it steps have waited for their batches, in seconds.
    pub(super) data_wait: f64,
    /// How much of the metrics was written.
    pub(super) metrics: Written,
}

/// What a run is a run of: with another one of these, its steps would be other steps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The SHA-256 of the network: precision, inputs, layers, wiring.
    network: String,
    /// The update rule.
    optimizer: String,
    /// The seed.
    seed: u64,
    /// How an epoch goes through the captions.
    order: Order,
    /// Captions a step.
    batch: u64,
    /// The SHA-256 of vocabulary and training captions.
    data: String,
}

/// A checkpoint that this training cannot go on from.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ResumeError {
    /// The record is not one that this program can read.
    #[error("{}: {message}", path.display())]
    #[diagnostic(help("was it saved by another version of engine?"))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The checkpoint is one of another training.
    #[error("{} is a checkpoint of another {what}: expected {expected}, found {found}", path.display())]
    #[diagnostic(help(
        "only a run that is the same goes on; to begin another one with its parameters: engine train GRAPH --init RUN"
    ))]
    Other {
        /// The file.
        path: PathBuf,
        /// `network`, `update rule`, `seed`, `order`, `batch size` or `data set`.
        what: &'static str,
        /// That of the graph file, or its checksum.
        expected: String,
        /// That of the checkpoint, or its checksum.
        found: String,
    },
}

impl State {
    /// Before the first step.
    pub(super) fn new(identity: Identity, metrics: Written) -> Self {
        State {
            format: FORMAT,
            identity,
            iteration: 0,
            losses: (0.0, 0),
            evaluated: 0,
            evaluations: Vec::new(),
            seconds: (0.0, 0.0),
            data_wait: 0.0,
            metrics,
        }
    }

    /// Reads a record from the bytes of `path`, which must be of the training `identity`.
    pub(super) fn read(
        bytes: &[u8],
        path: &Path,
        identity: &Identity,
    ) -> Result<Self, ResumeError> {
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let unreadable = |message| ResumeError::Unreadable { path: path.to_owned(), message };
        let json = |error: serde_json::Error| unreadable(error.to_string());
        let Form { format } = serde_json::from_slice(bytes).map_err(json)?;
        if format != FORMAT {
            return Err(unreadable(format!("expected format {FORMAT}, found {format}")));
        }
        let state: State = serde_json::from_slice(bytes).map_err(json)?;
        match identity.difference(&state.identity) {
            None => Ok(state),
            Some((what, expected, found)) => {
                Err(ResumeError::Other { path: path.to_owned(), what, expected, found })
            }
        }
    }

    /// As the bytes of `state.json`.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let text = serde_json::to_string_pretty(self).expect("every key is a text");
        (text + "\n").into_bytes()
    }
}

/// The evaluations that `state.json` tells of; none where it cannot be read.
pub(crate) fn evaluations(state: &[u8]) -> Vec<Evaluation> {
    serde_json::from_slice::<State>(state).map_or(Vec::new(), |state| state.evaluations)
}

impl Identity {
    /// What this experiment is with this data.
    pub fn of(experiment: &Experiment, source: &dyn Source) -> Self {
        let train = &experiment.train;
        Identity {
            network: hexadecimal(&Sha256::digest(experiment.network())),
            optimizer: to_ron(&train.optimizer).unwrap_or_default(),
            seed: train.seed,
            order: train.order,
            batch: train.batch.get(),
            data: checksum(source),
        }
    }

    /// The first thing in which another one differs: what it is, and both.
    fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let pairs = [
            ("network", self.network.clone(), other.network.clone()),
            ("update rule", self.optimizer.clone(), other.optimizer.clone()),
            ("seed", self.seed.to_string(), other.seed.to_string()),
            ("order", format!("{:?}", self.order), format!("{:?}", other.order)),
            ("batch size", self.batch.to_string(), other.batch.to_string()),
            ("data set", self.data.clone(), other.data.clone()),
        ];
        pairs.into_iter().find(|(_, ours, theirs)| ours != theirs)
    }
}

/// The SHA-256 of a data set's words and training captions, and of which images they belong to.
fn checksum(source: &dyn Source) -> String {
    let mut hash = Sha256::new();
    for word in source.vocabulary().words() {
        hash.update(word);
        hash.update([0]);
    }
    for row in 0..source.captions(Split::Train) {
        hash.update(source.image_of(Split::Train, row).to_le_bytes());
        let caption = source.caption(Split::Train, row);
        hash.update(caption.iter().flat_map(|token| token.to_le_bytes()).collect::<Vec<u8>>());
    }
    hexadecimal(&hash.finalize())
}
