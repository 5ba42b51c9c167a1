//! The section `train` of a graph file.

use std::sync::Arc;

use engine_core::engine::Limits;
use engine_core::field::{Count, NonNegative, Positive};
use engine_core::optimizers::Adam;
use engine_core::schedule::warm_up;
use engine_core::schedules::Constant;
use engine_core::{Optimizer, Progress, Schedule, Tagged};
use engine_datasets::{Order, Split};
use serde::{Deserialize, Serialize};

use crate::batches::Draw;
use crate::best_by::BestBy;
use crate::score::ScoreName;

/// How a network is trained. Every field can be left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// The update rule. Default: `Adam()`.
    pub optimizer: Tagged<dyn Optimizer>,
    /// How the learning rate changes. Default: `Constant()`.
    pub schedule: Tagged<dyn Schedule>,
    /// Steps over which the learning rate rises to its full value, on top of the schedule. Default: 0.
    pub warm_up: u64,
    /// Captions a step, at least 1. Default: 100.
    pub batch: Count,
    /// Times that training goes through the captions, at least 1. Default: 10.
    pub epochs: Count,
    /// Steps after which training ends, if it has not by then. Default: none.
    pub steps: Option<Count>,
    /// Decides first values, the order of captions and all noise. Default: 0.
    pub seed: u64,
    /// How an epoch goes through the captions: `Shuffled` or `WithReplacement`. Default: `Shuffled`.
    pub order: Order,
    /// Scale gradients so that their global norm is at most this. Default: none.
    pub clip_norm: Option<Positive>,
    /// Bring each element of the gradients to between minus and plus this. Default: none.
    pub clip_value: Option<Positive>,
    /// Weight decay: this times the weight is added to its gradient. Biases do not decay. Default: 0.
    pub l2: NonNegative,
    /// Steps between two looks at the validation captions; there is one after the last step in any case. Default: an
    /// epoch's.
    pub evaluate_every: Option<Count>,
    /// Scores of captions that an evaluation takes, such as `[CIDEr, BLEU_4]`; the one of `best_by` is among them in any
    /// case. Default: none, for captions take time to write.
    pub scores: Vec<ScoreName>,
    /// What decides which parameters are the best: `Loss`, or the name of a score of captions. Default: `Loss`.
    pub best_by: BestBy,
    /// Evaluations without a gain after which training ends. Default: none, it goes on to the last step.
    pub patience: Option<Count>,
    /// Steps between two checkpoints; there is one after every evaluation in any case. Default: none.
    pub checkpoint_every: Option<Count>,
    /// Which checkpoints stay. Default: `(last: 3, best: 1)`.
    pub keep: Keep,
    /// Steps between two lines about the loss. Default: 100.
    pub print_every: Count,
    /// Whether to show progress at all. Default: true.
    pub verbose: bool,
}

/// Which checkpoints of a run stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// So many of the latest, at least 1. Default: 3.
    pub last: Count,
    /// Beside those, so many of the best by [`TrainSettings::best_by`]. Default: 1.
    pub best: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Keep { last: Count::constant(3), best: 1 }
    }
}

impl Default for TrainSettings {
    fn default() -> Self {
        TrainSettings {
            optimizer: Tagged(Arc::new(Adam::default())),
            schedule: Tagged(Arc::new(Constant {})),
            warm_up: 0,
            batch: Count::constant(100),
            epochs: Count::constant(10),
            steps: None,
            seed: 0,
            order: Order::default(),
            clip_norm: None,
            clip_value: None,
            l2: NonNegative::constant(0.0),
            evaluate_every: None,
            scores: Vec::new(),
            best_by: BestBy::Loss,
            patience: None,
            checkpoint_every: None,
            keep: Keep::default(),
            print_every: Count::constant(100),
            verbose: true,
        }
    }
}

impl TrainSettings {
    /// What is done to gradients before the update rule sees them.
    pub fn limits(&self) -> Limits {
        Limits { l2: Some(self.l2), clip_value: self.clip_value, clip_norm: self.clip_norm }
    }

    /// The steps of a whole run over so many captions.
    pub fn total_steps(&self, captions: usize) -> u64 {
        let per_epoch = self.order.batches(captions, self.batch.as_usize()) as u64;
        let all = self.epochs.get().saturating_mul(per_epoch);
        self.steps.map_or(all, |steps| all.min(steps.get()))
    }

    /// So many batches of training, after those that it skips.
    pub fn draw(&self, skip: u64, batches: u64) -> Draw {
        let rows = self.batch.as_usize();
        Draw { split: Split::Train, order: self.order, seed: self.seed, rows, skip, batches }
    }

    /// The scores of captions that an evaluation takes.
    pub fn all_scores(&self) -> Vec<ScoreName> {
        let mut scores = self.scores.clone();
        if let BestBy::Score(name) = self.best_by
            && !scores.contains(&ScoreName(name))
        {
            scores.push(ScoreName(name));
        }
        scores
    }

    /// Steps between two looks at the validation captions, for epochs of so many steps.
    pub fn evaluate_every(&self, per_epoch: u64) -> u64 {
        self.evaluate_every.map_or(per_epoch, Count::get).max(1)
    }

    /// The learning rate of the coming step.
    pub fn learning_rate(&self, progress: Progress) -> f64 {
        self.optimizer.learning_rate()
            * self.schedule.factor(progress)
            * warm_up(self.warm_up, progress.iteration)
    }
}

#[cfg(test)]
mod tests {
    use engine_core::graph::Document;

    use super::*;

    fn read(text: &str) -> TrainSettings {
        let document = Document::new("test", text);
        document.parse_fields(document.text()).unwrap()
    }

    #[test]
    fn everything_has_a_default() {
        let settings = read("()");
        assert_eq!(
            (settings.batch.get(), settings.epochs.get(), settings.optimizer.learning_rate()),
            (100, 10, 1e-3)
        );
    }

    #[test]
    fn learning_rate_is_rule_times_schedule_times_warm_up() {
        let settings = read(
            "(optimizer: Sgd(learning_rate: 0.5), schedule: Exponential(per_epoch: 0.5), warm_up: 4)",
        );
        let at =
            |iteration| settings.learning_rate(Progress { iteration, per_epoch: 10, total: 30 });
        assert_eq!((at(0), at(3), at(10), at(25)), (0.125, 0.5, 0.25, 0.125));
    }

    #[test]
    fn steps_end_a_run_early() {
        assert_eq!(read("(epochs: 3, batch: 10)").total_steps(25), 9);
        assert_eq!(read("(epochs: 3, batch: 10, steps: 4)").total_steps(25), 4);
        assert_eq!(read("(epochs: 3, batch: 10, order: WithReplacement)").total_steps(25), 6);
    }
}
