//! Arrays for tests.

use engine_core::{Scalar, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers between -1 and 1, the same for the same seed, to rounding, in either precision.
pub(crate) fn random<T: Scalar>(shape: &[usize], seed: u64) -> Tensor<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values = (0..count).map(|_| T::of(rng.random_range(-1.0..1.0))).collect();
    Tensor::from_vec(shape, values).unwrap()
}

/// Indices below `below`.
pub(crate) fn tokens(shape: &[usize], below: u32, seed: u64) -> Tensor<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    Tensor::from_vec(shape, (0..count).map(|_| rng.random_range(0..below)).collect()).unwrap()
}

/// The largest difference between two arrays of one shape.
pub(crate) fn distance<A: Scalar, B: Scalar>(a: &Tensor<A>, b: &Tensor<B>) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let pairs = a.as_slice().iter().zip(b.as_slice());
    pairs.map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, f64::max)
}
