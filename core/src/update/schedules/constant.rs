use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::registry::SCHEDULE;
use crate::{Progress, Schedule};

/// Leaves the learning rate as it is.
///
/// ```text
/// factor = 1
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Constant {}

crate::register!(Constant in SCHEDULE, example: "Constant()");

#[typetag::serde]
impl Schedule for Constant {
    fn factor(&self, _: Progress) -> f64 {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::factors;
    use super::*;

    #[test]
    fn nothing_changes() {
        assert_eq!(factors(&Constant {}, 2, 5), [1.0; 5]);
    }
}
