use std::f64::consts::PI;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::field::Fraction;
use crate::config::registry::SCHEDULE;
use crate::{Progress, Schedule};

/// Takes the learning rate down along half a cosine over the whole run.
///
/// ```text
/// factor = floor + (1 - floor) * (1 + cos(pi * steps done / steps in all)) / 2
/// ```
///
/// The first step has the factor 1; `floor` would be that of the step after the last, so that every step counts.
/// Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, without the restarts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Cosine {
    /// What is left at the end, as a share of the learning rate. From 0 to below 1.
    pub floor: Fraction,
}

crate::register!(Cosine in SCHEDULE, example: "Cosine()", checks: ["Cosine(floor: 0.1)"]);

impl Default for Cosine {
    fn default() -> Self {
        Cosine { floor: Fraction::constant(0.0) }
    }
}

#[typetag::serde]
impl Schedule for Cosine {
    fn factor(&self, progress: Progress) -> f64 {
        let floor = self.floor.get();
        // A run that goes on past its planned end stays at the floor.
        let done = progress.iteration.min(progress.total) as f64 / progress.total.max(1) as f64;
        floor + (1.0 - floor) * (1.0 + (PI * done).cos()) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{factors, near};
    use super::*;

    #[test]
    fn the_floor_is_zero_by_default() {
        assert_eq!(Cosine::default().floor.get(), 0.0);
    }

    #[test]
    fn factors_follow_half_a_cosine() {
        let half = 0.5f64.sqrt() / 2.0;
        near(&factors(&Cosine::default(), 3, 4), &[1.0, 0.5 + half, 0.5, 0.5 - half]);
        let raised = Cosine { floor: Fraction::constant(0.2) };
        near(&factors(&raised, 1, 2), &[1.0, 0.6]);
    }

    #[test]
    fn the_floor_is_reached_and_kept() {
        let schedule = Cosine { floor: Fraction::constant(0.2) };
        for iteration in [10, 11, 25] {
            let found = schedule.factor(Progress { iteration, per_epoch: 1, total: 10 });
            near(&[found], &[0.2]);
        }
        assert_eq!(schedule.factor(Progress { iteration: 0, per_epoch: 0, total: 0 }), 1.0);
    }
}
