//! What layers that attend share: weights that add up to 1 over what is there.

use engine_core::Scalar;
use engine_kernels::math;

/// s = e^s / sum of e^s, over the places that are visible; 0 at the others, and everywhere if none is.
pub(crate) fn softmax<T: Scalar>(scores: &mut [T], visible: impl Fn(usize) -> bool) {
    let (mut largest, mut nothing) = (T::neg_infinity(), true);
    for (at, score) in scores.iter_mut().enumerate() {
        if visible(at) {
            nothing = false;
            largest = if *score > largest { *score } else { largest };
        } else {
            *score = T::neg_infinity();
        }
    }
    if nothing {
        return scores.fill(T::zero());
    }
    scores.iter_mut().for_each(|score| *score -= largest);
    math::exp(scores);
    let sum: f64 = scores.iter().map(|e| e.f64()).sum();
    let scale = T::of(1.0 / sum);
    scores.iter_mut().for_each(|weight| *weight *= scale);
}

/// d = w (d - sum of w d): the gradient of the scores from that of the weights, in its place.
pub(crate) fn softmax_gradient<T: Scalar>(weights: &[T], d: &mut [T]) {
    let mean: f64 = weights.iter().zip(&*d).map(|(w, d)| w.f64() * d.f64()).sum();
    let mean = T::of(mean);
    weights.iter().zip(d).for_each(|(&w, d)| *d = w * (*d - mean));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_add_up_to_1_over_what_is_visible() {
        let mut weights = [2f64.ln(), 1e9, 6f64.ln(), f64::NAN];
        softmax(&mut weights, |at| at % 2 == 0);
        assert!((weights[0] - 0.25).abs() < 1e-15 && (weights[2] - 0.75).abs() < 1e-15);
        assert_eq!((weights[1], weights[3]), (0.0, 0.0));
        softmax(&mut weights, |_| false);
        assert_eq!(weights, [0.0; 4]);
    }

    #[test]
    fn large_scores_stay_finite_and_what_is_not_a_number_shows() {
        let mut weights = [3e38f32, -3e38, 3e38];
        softmax(&mut weights, |_| true);
        assert_eq!(weights, [0.5, 0.0, 0.5]);
        let mut weights = [0.0, f32::NAN];
        softmax(&mut weights, |_| true);
        assert!(weights.iter().all(|w| w.is_nan()));
    }

    #[test]
    fn a_gradient_that_is_the_same_everywhere_changes_nothing() {
        let mut d = [7.0f64; 3];
        softmax_gradient(&[0.2, 0.5, 0.3], &mut d);
        assert!(d.iter().all(|d| d.abs() < 1e-14));
    }
}
