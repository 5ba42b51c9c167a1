use std::num::NonZeroU64;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::field::Factor;
use crate::config::registry::SCHEDULE;
use crate::{Progress, Schedule};

/// Multiplies the learning rate by the same factor once every so many epochs.
///
/// ```text
/// factor = factor ^ floor(whole epochs done / every)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Epochs from one change to the next. At least 1.
    pub every: NonZeroU64,
    /// What a change leaves of the learning rate, as a share of what it was before. Above 0 and at most 1.
    pub factor: Factor,
}

crate::register!(Step in SCHEDULE, example: "Step(every: 3, factor: 0.1)");

#[typetag::serde]
impl Schedule for Step {
    fn factor(&self, progress: Progress) -> f64 {
        let changes = progress.epoch() / self.every;
        self.factor.get().powf(changes as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{factors, near};
    use super::*;

    #[test]
    fn changes_come_every_so_many_epochs() {
        let schedule =
            Step { every: NonZeroU64::MIN.saturating_add(1), factor: Factor::constant(0.1) };
        let expected = [1.0, 1.0, 1.0, 1.0, 0.1, 0.1, 0.1, 0.1, 0.01, 0.01];
        near(&factors(&schedule, 2, 10), &expected);
    }
}
