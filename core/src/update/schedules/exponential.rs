use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::field::Factor;
use crate::config::registry::SCHEDULE;
use crate::{Progress, Schedule};

/// Multiplies the learning rate by the same factor after every epoch.
///
/// ```text
/// factor = per_epoch ^ (whole epochs done)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exponential {
    /// What is left of the learning rate after an epoch, as a share of what it was before. Above 0 and at most 1.
    pub per_epoch: Factor,
}

crate::register!(Exponential in SCHEDULE, example: "Exponential(per_epoch: 0.95)");

#[typetag::serde]
impl Schedule for Exponential {
    fn factor(&self, progress: Progress) -> f64 {
        self.per_epoch.get().powf(progress.epoch() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{factors, near};
    use super::*;

    #[test]
    fn each_epoch_multiplies() {
        let schedule = Exponential { per_epoch: Factor::constant(0.5) };
        near(&factors(&schedule, 2, 7), &[1.0, 1.0, 0.5, 0.5, 0.25, 0.25, 0.125]);
    }

    #[test]
    fn long_runs_match_repeated_products() {
        let schedule = Exponential { per_epoch: Factor::constant(0.95) };
        let products = std::iter::successors(Some(1.0), |factor| Some(factor * 0.95));
        near(&factors(&schedule, 1, 100), &products.take(100).collect::<Vec<f64>>());
    }
}
