//! How the learning rate changes during training.

use std::fmt;

/// How far training has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Steps done before this one.
    pub iteration: u64,
    /// Steps an epoch takes.
    pub per_epoch: u64,
    /// Steps that the whole run will take.
    pub total: u64,
}

impl Progress {
    /// Whole epochs done before this step.
    pub fn epoch(self) -> u64 {
        self.iteration / self.per_epoch.max(1)
    }
}

/// A factor on the learning rate, a function of progress alone.
///
/// Implementations are serde structs in [`schedules`](crate::schedules), one a file.
#[typetag::serde]
pub trait Schedule: fmt::Debug + Send + Sync {
    /// The factor for the coming step.
    fn factor(&self, progress: Progress) -> f64;
}

crate::config::tagged::tagged!(Schedule);

/// The factor of a linear warm-up over `steps` steps: 1/steps at the first, 1 from the last on.
pub fn warm_up(steps: u64, iteration: u64) -> f64 {
    if iteration >= steps { 1.0 } else { (iteration + 1) as f64 / steps as f64 }
}

#[cfg(test)]
mod tests {
    #[test]
    fn warm_up_is_linear_and_ends_at_one() {
        let factors: Vec<f64> = (0..6).map(|i| super::warm_up(4, i)).collect();
        assert_eq!(factors, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]);
        assert_eq!(super::warm_up(0, 0), 1.0);
    }
}
