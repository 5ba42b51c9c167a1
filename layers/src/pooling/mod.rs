//! Smaller pictures of the same channels.

pub mod avg_pool_2d;
pub mod global_avg_pool;
pub mod max_pool_2d;
pub(crate) mod shared;

pub use avg_pool_2d::AvgPool2d;
pub use global_avg_pool::GlobalAvgPool;
pub use max_pool_2d::MaxPool2d;
