//! What an update rule is.

use std::fmt;

/// How gradients change parameters, element by element.
///
/// Implementations are serde structs in [`optimizers`](crate::optimizers), one a file.
#[typetag::serde]
pub trait Optimizer: Update<f32> + Update<f64> + fmt::Debug + Send + Sync {
    /// The learning rate before any [`Schedule`](crate::Schedule).
    fn learning_rate(&self) -> f64;

    /// The names of the numbers kept for each element of a parameter, such as `["m", "v"]`. The engine keeps them, and
    /// zeroes them at the start.
    fn slots(&self) -> &'static [&'static str] {
        &[]
    }
}

crate::config::tagged::tagged!(Optimizer);

/// What an update needs to know of the training step it is part of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct UpdateStep {
    /// The learning rate after the schedule.
    pub learning_rate: f64,
    /// The number of this step, from 1.
    pub number: u64,
    /// Whether weight decay applies to this parameter.
    pub decays: bool,
}

/// An update rule's mathematics in the number type `T`.
pub trait Update<T>: Send + Sync {
    /// Changes `weights` given their `gradients`. `slots` has an array for each name of [`Optimizer::slots`], as long as
    /// `weights`.
    fn update(&self, step: UpdateStep, weights: &mut [T], gradients: &[T], slots: &mut [Vec<T>]);
}
