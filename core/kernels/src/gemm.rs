//! Matrix products. The only caller of a GEMM backend.

use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::flops;
use crate::team;

/// A type that the GEMM backend multiplies.
pub trait Gemm: Copy + Send + Sync + 'static {
    /// 0, for an overwriting product.
    const ZERO: Self;
    /// 1, for an adding product.
    const ONE: Self;

    /// C = keep C + A B for a `[m, k]`, b `[k, n]`, c `[m, n]` of any strides, on the calling thread.
    ///
    /// # Panics
    /// When the shapes do not fit.
    fn gemm(
        a: ArrayView2<'_, Self>,
        b: ArrayView2<'_, Self>,
        keep: Self,
        c: ArrayViewMut2<'_, Self>,
    );
}

macro_rules! gemm {
    ($type:ty) => {
        impl Gemm for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            fn gemm(
                a: ArrayView2<'_, Self>,
                b: ArrayView2<'_, Self>,
                keep: Self,
                mut c: ArrayViewMut2<'_, Self>,
            ) {
                let ((m, k), (k_b, n)) = (a.dim(), b.dim());
                assert_eq!(k, k_b, "the inner dimensions of a product");
                assert_eq!(c.dim(), (m, n), "the dimensions of a product's result");
                // SAFETY: the views' pointers and strides describe m x k, k x n and m x n elements that live as long
                // as the views; `c` is borrowed mutably, so it overlaps neither `a` nor `b`.
                unsafe {
                    gemm::gemm(
                        m,
                        n,
                        k,
                        c.as_mut_ptr(),
                        c.strides()[1],
                        c.strides()[0],
                        keep != 0.0,
                        a.as_ptr(),
                        a.strides()[1],
                        a.strides()[0],
                        b.as_ptr(),
                        b.strides()[1],
                        b.strides()[0],
                        keep,
                        1.0,
                        false,
                        false,
                        false,
                        gemm::Parallelism::None,
                    );
                }
            }
        }
    };
}

gemm!(f32);
gemm!(f64);

/// Below this many multiplications, waking other threads costs more than they save.
const PARALLEL_FROM: usize = 1 << 18;
/// The most shards of one product.
const SHARDS: usize = 16;
/// Fewer columns or rows than this are not worth a shard: the backend packs the other matrix anew for each.
const LEAST: usize = 64;
/// So many shards of columns do. Shards of rows are for narrower products: B is packed for each of them, which takes
/// long if it is transposed.
const ENOUGH_COLUMNS: usize = 4;

/// Shards follow from the shapes alone, so that a product has the same bits on any number of threads.
fn sharded<T: Gemm>(
    a: ArrayView2<'_, T>,
    b: ArrayView2<'_, T>,
    keep: T,
    mut c: ArrayViewMut2<'_, T>,
) {
    let ((m, k), n) = (a.dim(), b.ncols());
    flops::count_product(m, k, n);
    let shard = |size: usize| size.div_ceil(SHARDS).next_multiple_of(32).max(LEAST);
    let (width, height) = (shard(n), shard(m));
    let (columns, rows) = (n.div_ceil(width), m.div_ceil(height));
    if m * n * k < PARALLEL_FROM {
        T::gemm(a, b, keep, c);
    } else if columns >= rows.min(ENOUGH_COLUMNS) {
        let b = b.axis_chunks_iter(Axis(1), width);
        let c = c.axis_chunks_iter_mut(Axis(1), width);
        share(b.zip(c), |(b, c)| T::gemm(a, b, keep, c));
    } else {
        let a = a.axis_chunks_iter(Axis(0), height);
        let c = c.axis_chunks_iter_mut(Axis(0), height);
        share(a.zip(c), |(a, c)| T::gemm(a, b, keep, c));
    }
}

/// Does the work of at most [`SHARDS`] shards.
fn share<S: Send>(mut rest: impl Iterator<Item = S>, work: impl Fn(S) + Sync) {
    let mut shards: [Option<S>; SHARDS] = std::array::from_fn(|_| rest.next());
    assert!(rest.next().is_none(), "at most {SHARDS} shards");
    let count = shards.iter().flatten().count();
    team::for_each_chunk_mut(&mut shards[..count], 1, |_, shard| {
        shard[0].take().into_iter().for_each(&work);
    });
}

/// C = A B.
///
/// # Panics
/// When the shapes do not fit.
pub fn product<T: Gemm>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, c: ArrayViewMut2<'_, T>) {
    sharded(a, b, T::ZERO, c);
}

/// C = C + A B.
///
/// # Panics
/// When the shapes do not fit.
pub fn add_product<T: Gemm>(a: ArrayView2<'_, T>, b: ArrayView2<'_, T>, c: ArrayViewMut2<'_, T>) {
    sharded(a, b, T::ONE, c);
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, s};
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn naive(a: &Array2<f64>, b: &Array2<f64>) -> Array2<f64> {
        Array2::from_shape_fn((a.nrows(), b.ncols()), |(i, j)| {
            (0..a.ncols()).map(|k| a[[i, k]] * b[[k, j]]).sum()
        })
    }

    #[test]
    fn equals_a_naive_product_over_random_shapes_and_strides() {
        let seed = 7;
        println!("seed {seed}");
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        for _ in 0..50 {
            let (m, k, n) =
                (rng.random_range(1..20), rng.random_range(1..20), rng.random_range(1..20));
            let a = Array2::from_shape_fn((m, k), |_| rng.random_range(-1.0..1.0));
            let b = Array2::from_shape_fn((n, k), |_| rng.random_range(-1.0..1.0));
            let mut wide = Array2::from_elem((m, 2 * n), 3.0);
            let expected = naive(&a, &b.t().to_owned());
            add_product(a.view(), b.t(), wide.slice_mut(s![.., ..;2]));
            for ((i, j), e) in expected.indexed_iter() {
                assert!((wide[[i, 2 * j]] - 3.0 - e).abs() < 1e-12);
                assert_eq!(wide[[i, 2 * j + 1]], 3.0);
            }
            product(a.view(), b.t(), wide.slice_mut(s![.., ..n]));
            for ((i, j), e) in expected.indexed_iter() {
                assert!((wide[[i, j]] - e).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        for (m, k, n) in [
            (100, 64, 200),
            (64, 1146, 128),
            (1600, 256, 64),
            (300, 90, 130),
            (100, 512, 2048),
            (70, 300, 1004),
        ] {
            let a = Array2::from_shape_fn((m, k), |_| rng.random_range(-1.0f32..1.0));
            let b = Array2::from_shape_fn((k, n), |_| rng.random_range(-1.0f32..1.0));
            let run = |threads| {
                let mut c = Array2::zeros((m, n));
                team::with_threads(threads, || product(a.view(), b.view(), c.view_mut()));
                c
            };
            let one = run(1);
            for threads in [2, 3, 8] {
                assert!(one == run(threads), "{threads} threads, {m}x{k}x{n}");
            }
        }
    }
}
