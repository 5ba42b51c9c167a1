//! What decides which parameters of a run are the best.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::report::Evaluation;

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
        // A bare word in RON.
        deserializer.deserialize_identifier(Name)
    }
}

struct Name;

impl Visitor<'_> for Name {
    type Value = BestBy;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`Loss` or the name of a score")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<BestBy, E> {
        match name {
            "Loss" => Ok(BestBy::Loss),
            other => Err(E::custom(format!("expected `Loss`, found `{other}`"))),
        }
    }
}
