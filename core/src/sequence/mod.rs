//! Sequences of unequal length, and tokens that occur many times.

mod distinct;
mod layout;
mod packed;

pub use distinct::DistinctTokens;
pub use layout::{Sequences, StepRows};
pub use packed::PackedSequence;
