//! Rows, columns or channels with mean 0 and deviation 1, or divided by what those beside them hold.

pub mod batch_norm;
pub mod batch_norm_2d;
mod batch_statistics;
pub mod layer_norm;
pub mod local_response_norm;

pub use batch_norm::BatchNorm;
pub use batch_norm_2d::BatchNorm2d;
pub use layer_norm::LayerNorm;
pub use local_response_norm::LocalResponseNorm;
