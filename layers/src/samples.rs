//! Arrays and small graphs for tests.

pub(crate) mod cells;

use engine_core::engine::Engine;
use engine_core::{Batch, Mode, Scalar, Sizes, Tensor};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Sizes of batch, time and two widths to try a layer at, every size 1 among them.
pub(crate) const SIZES: [[usize; 4]; 5] =
    [[1, 1, 1, 1], [1, 3, 2, 4], [4, 1, 3, 2], [3, 5, 1, 3], [5, 4, 6, 7]];

/// Numbers between -1 and 1, the same for the same seed, to rounding, in either precision.
pub(crate) fn random<T: Scalar>(shape: &[usize], seed: u64) -> Tensor<T> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values = (0..count).map(|_| T::of(rng.random_range(-1.0..1.0))).collect();
    Tensor::from_vec(shape, values).unwrap()
}

/// Indices below `below`.
pub(crate) fn tokens(shape: &[usize], below: usize, seed: u64) -> Tensor<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    Tensor::from_vec(shape, (0..count).map(|_| rng.random_range(0..below as u32)).collect())
        .unwrap()
}

/// The given numbers in one array.
pub(crate) fn array<T: Copy + Default>(shape: &[usize], values: &[T]) -> Tensor<T> {
    Tensor::from_vec(shape, values.to_vec()).unwrap()
}

/// An array whose element at an index is what a function says, the index in as many dimensions.
pub(crate) fn from_fn<const N: usize>(
    shape: [usize; N],
    element: impl Fn([usize; N]) -> f64,
) -> Tensor<f64> {
    let count: usize = shape.iter().product();
    let values = (0..count).map(|at| {
        let mut index = [0; N];
        let mut rest = at;
        for axis in (0..N).rev() {
            index[axis] = rest % shape[axis];
            rest /= shape[axis];
        }
        element(index)
    });
    Tensor::from_vec(&shape, values.collect()).unwrap()
}

/// Refuses two arrays that differ by more than rounding.
pub(crate) fn assert_near<A: Scalar, B: Scalar>(a: &Tensor<A>, b: &Tensor<B>) {
    assert_eq!(a.shape(), b.shape());
    for (at, (a, b)) in a.as_slice().iter().zip(b.as_slice()).enumerate() {
        assert!((a.f64() - b.f64()).abs() < 1e-12, "element {at}: {a} and {b}");
    }
}

/// A graph of a few nodes, the last one called `out`, over inputs as a graph file declares them.
pub(crate) fn graph(inputs: &str, nodes: &str) -> Result<Engine<f64>, String> {
    let text =
        format!("Graph(inputs: {{{inputs}}}, nodes: [{nodes}], outputs: {{\"out\": \"out\"}})");
    engine_core::testing::engine(&text, Sizes::new())
}

/// Runs such a graph over one input `x` and returns its output, and the gradient of x where that of each output is 1.
pub(crate) fn run(engine: &mut Engine<f64>, x: &Tensor<f64>) -> (Tensor<f64>, Tensor<f64>) {
    let mut batch = Batch::new();
    batch.f64_mut("x", x.shape()).copy_from_slice(x.as_slice());
    engine.forward(&batch, Mode::Eval).unwrap();
    let y = engine.output("out").unwrap().clone();
    let (out, x) = (engine.plan().output("out").unwrap(), engine.plan().value("x").unwrap());
    engine.backward_from(&[(out, &vec![1.0; y.as_slice().len()])]);
    (y, engine.value_gradient(x).clone())
}
