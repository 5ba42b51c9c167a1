//! Means of what is attended to, weighted by queries.

pub mod additive_attention;
pub mod multi_head_attention;
pub(crate) mod shared;

pub use additive_attention::AdditiveAttention;
pub use multi_head_attention::MultiHeadAttention;
