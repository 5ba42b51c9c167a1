//! Objectives: single numbers that training lowers.

mod affine_loss;
pub mod coverage_loss;
pub mod cross_entropy;
mod objective;
pub mod softmax_loss;
pub mod weighted_sum;

pub use coverage_loss::CoverageLoss;
pub use cross_entropy::CrossEntropy;
pub use softmax_loss::SoftmaxLoss;
pub use weighted_sum::WeightedSum;
