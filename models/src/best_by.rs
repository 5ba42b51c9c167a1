//! What decides which parameters of a run are the best.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::run::Evaluation;
use crate::score::{ScoreName, bare_word};

/// What decides which parameters of a run are the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BestBy {
    /// The loss over the validation captions: the lowest. A graph file writes `Loss`.
    #[default]
    Loss,
    /// A score of captions of the validation images: the highest. A graph file writes its name.
    Score(&'static str),
}

impl BestBy {
    /// How good an evaluation is: more is better. `None` for one without the score.
    pub fn gain(self, evaluation: &Evaluation) -> Option<f64> {
        match self {
            BestBy::Loss => Some(-evaluation.val_loss),
            BestBy::Score(name) => evaluation.scores.get(name).copied(),
        }
    }

    /// Its name in graph files.
    pub fn name(self) -> &'static str {
        match self {
            BestBy::Loss => "Loss",
            BestBy::Score(name) => name,
        }
    }
}

impl Serialize for BestBy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("BestBy", 0, self.name())
    }
}

impl<'de> Deserialize<'de> for BestBy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match bare_word(deserializer)?.as_str() {
            "Loss" => Ok(BestBy::Loss),
            other => ScoreName::of(other).map(|name| BestBy::Score(name.0)),
        }
    }
}

/// The steps of evaluations, the best first; of equally good ones the earlier.
pub(crate) fn ranked(evaluations: &[Evaluation], by: BestBy) -> Vec<u64> {
    let gains = evaluations.iter().filter_map(|e| Some((by.gain(e)?, e.iteration)));
    let mut gains: Vec<(f64, u64)> = gains.collect();
    gains.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    gains.into_iter().map(|(_, iteration)| iteration).collect()
}
