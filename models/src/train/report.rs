//! What training tells those who look on.

use std::collections::BTreeMap;

use engine_core::engine::Engine;

use super::error::TrainError;
use super::stop::Stop;
use crate::run::{Evaluation, Record};

/// What one step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// All steps of the run.
    pub total: u64,
    /// What goes into the metrics.
    pub record: Record,
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
    /// Steps made, those of earlier sessions included.
    pub iterations: u64,
    /// Steps made since this session began.
    pub here: u64,
    /// Every evaluation.
    pub evaluations: Vec<Evaluation>,
    /// The time of all sessions in seconds.
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

/// Scores captions of validation images while a network trains.
pub trait Scores<T> {
    /// Scores by name; nothing if someone asks to stop before they are known.
    ///
    /// # Errors
    /// When the network cannot write.
    fn scores(
        &mut self,
        engine: &Engine<T>,
        stop: &Stop,
    ) -> Result<Option<BTreeMap<String, f64>>, TrainError>;
}
