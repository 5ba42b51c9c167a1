//! What training tells those who look on.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::run::Record;

/// What one step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// All steps of the run.
    pub total: u64,
    /// What goes into the metrics.
    pub record: Record,
}

/// What a look at the validation captions came to. The fields are the keys of its line in `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The steps made before it.
    pub iteration: u64,
    /// The epoch of the last of them, from 1.
    pub epoch: u64,
    /// The mean loss of the steps since the evaluation before.
    pub train_loss: f64,
    /// The mean loss over the validation captions.
    pub val_loss: f64,
    /// Scores of captions of the validation images, by metric.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// Whether it is the best so far, by `train.best_by`.
    pub best: bool,
    /// The time since the evaluation before, this one's included, in seconds.
    pub seconds: f64,
}

impl Evaluation {
    /// Its numbers, each with the name of its curve.
    pub(crate) fn scalars(&self) -> Vec<(&str, f64)> {
        let losses = [("loss/training", self.train_loss), ("loss/validation", self.val_loss)];
        let scores = self.scores.iter().map(|(name, score)| (name.as_str(), *score));
        losses.into_iter().chain(scores).collect()
    }
}

/// How a run came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All steps are made.
    Complete,
    /// `train.patience` evaluations brought no gain.
    NoGain,
    /// A signal asked for it. What was done is saved.
    Stopped(i32),
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Steps made, those of earlier sittings included.
    pub iterations: u64,
    /// Steps made since this sitting began.
    pub here: u64,
    /// Every evaluation.
    pub evaluations: Vec<Evaluation>,
    /// The time of all sittings in seconds.
    pub seconds: f64,
    /// How much of it steps have waited for their batches, in seconds.
    pub data_wait: f64,
    /// How it ended.
    pub end: End,
}

impl Summary {
    /// The best evaluation.
    pub fn best(&self) -> Option<&Evaluation> {
        self.evaluations.iter().rev().find(|evaluation| evaluation.best)
    }

    /// The evaluations since the best one.
    pub fn without_gain(&self) -> usize {
        self.evaluations.iter().rev().take_while(|evaluation| !evaluation.best).count()
    }

    /// The part of the time that steps have waited for their batches, from 0 to 1.
    pub fn data_wait_share(&self) -> f64 {
        self.data_wait / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Whoever looks on while a network trains.
pub trait Watch {
    /// A step is done.
    fn step(&mut self, report: &StepReport);
    /// A look at the validation captions is done.
    fn evaluation(&mut self, evaluation: &Evaluation);
}
