//! From scores to probabilities.

use engine_core::Scalar;

/// The natural logarithm of the softmax of `scores` at `word`.
///
/// # Panics
/// When there is no such word.
pub(crate) fn log_probability<T: Scalar>(scores: &[T], word: usize) -> f64 {
    let most = scores.iter().fold(f64::NEG_INFINITY, |most, x| most.max(x.f64()));
    let sum: f64 = scores.iter().map(|x| (x.f64() - most).exp()).sum();
    scores[word].f64() - most - sum.ln()
}
