//! The attention of one sequence, head by head.

use engine_core::{Scalar, Sequences, Tensor};
use engine_kernels::flops;
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::attention::shared::{softmax, softmax_gradient};

/// The sizes of arrays by heads: for each sequence a block, in it a matrix of positions by a head's width for each head.
#[derive(Clone, Copy)]
pub(super) struct Heads {
    pub(super) count: usize,
    /// The columns of a head.
    pub(super) width: usize,
    /// The most positions that ask, and that are asked.
    longest: [usize; 2],
}

impl Heads {
    /// Of `count` heads, for queries `[1, Batch, Width, positions]` and keys and values `[1, Batch, 2 Width, positions]`.
    pub(super) fn new<T: Scalar>(count: usize, q: &Tensor<T>, kv: &Tensor<T>) -> Self {
        Heads { count, width: q.dim(2) / count, longest: [q.dim(3), kv.dim(3)] }
    }

    /// What queries are multiplied by: one over the root of a head's width.
    pub(super) fn scale<T: Scalar>(self) -> T {
        T::of((self.width as f64).sqrt().recip())
    }

    /// How many numbers a sequence's queries have.
    pub(super) fn queries(self) -> usize {
        self.count * self.width * self.longest[0]
    }

    /// How many its keys and values have.
    pub(super) fn keys_and_values(self) -> usize {
        2 * self.count * self.width * self.longest[1]
    }

    /// How many weights it has.
    pub(super) fn weights(self) -> usize {
        self.count * self.longest[0] * self.longest[1]
    }

    /// The block of sequence `n`.
    pub(super) fn of<T: Scalar>(self, array: &Tensor<T>, n: usize) -> &[T] {
        let block = array.as_slice().len() / array.dim(1);
        &array.as_slice()[n * block..][..block]
    }

    /// Counts so many products of queries and keys of all sequences.
    pub(super) fn count_products(self, x: Sequences<'_>, memory: Sequences<'_>, times: usize) {
        let pairs = (0..x.count()).map(|n| x.length(n) * memory.length(n)).sum();
        flops::count_product(pairs, self.count * self.width, times);
    }

    /// Where the matrices of a head begin and how long they are: of the queries, of keys and of values.
    fn queries_of(self, head: usize) -> std::ops::Range<usize> {
        let length = self.width * self.longest[0];
        head * length..(head + 1) * length
    }

    fn keys_of(self, head: usize) -> std::ops::Range<usize> {
        let length = self.width * self.longest[1];
        head * length..(head + 1) * length
    }
}

/// The first rows of a matrix.
fn matrix<T>(numbers: &[T], rows: usize, columns: usize) -> ArrayView2<'_, T> {
    ArrayView2::from_shape((rows, columns), &numbers[..rows * columns]).expect("whole rows")
}

fn matrix_mut<T>(numbers: &mut [T], rows: usize, columns: usize) -> ArrayViewMut2<'_, T> {
    ArrayViewMut2::from_shape((rows, columns), &mut numbers[..rows * columns]).expect("whole rows")
}

/// a = softmax(q k^T) over what `sees` says, and o = a v, for each head of a sequence with so many queries and keys.
pub(super) fn attend<T: Scalar>(
    heads: Heads,
    [queries, keys]: [usize; 2],
    q: &[T],
    kv: &[T],
    a: &mut [T],
    o: &mut [T],
    sees: impl Fn(usize, usize) -> bool,
) {
    let (k, v) = kv.split_at(kv.len() / 2);
    let a = a.chunks_exact_mut(heads.longest[0] * heads.longest[1]);
    for (head, a) in (0..heads.count).zip(a) {
        let [k, v] = [k, v].map(|x| matrix(&x[heads.keys_of(head)], keys, heads.width));
        let q = matrix(&q[heads.queries_of(head)], queries, heads.width);
        let o = matrix_mut(&mut o[heads.queries_of(head)], queries, heads.width);
        attend_head(q, [k, v], &mut a[..queries * keys], o, &sees);
    }
}

/// The same for one head.
pub(super) fn attend_head<T: Scalar>(
    q: ArrayView2<'_, T>,
    [k, v]: [ArrayView2<'_, T>; 2],
    a: &mut [T],
    o: ArrayViewMut2<'_, T>,
    sees: impl Fn(usize, usize) -> bool,
) {
    let (queries, keys) = (q.nrows(), k.nrows());
    T::gemm(q, k.reversed_axes(), T::zero(), matrix_mut(a, queries, keys));
    for (t, weights) in a.chunks_exact_mut(keys).enumerate() {
        softmax(weights, |s| sees(t, s));
    }
    T::gemm(matrix(a, queries, keys), v, T::zero(), o);
}

/// Goes back: finds the gradient of o in its place and leaves that of q, which is to be scaled as q was; those of k and v
/// take their places. `da` is memory for a head's weights.
pub(super) fn attend_gradient<T: Scalar>(
    heads: Heads,
    [queries, keys]: [usize; 2],
    q: &[T],
    kv: &mut [T],
    a: &[T],
    o: &mut [T],
    da: &mut [T],
) {
    let half = kv.len() / 2;
    let (k, v) = kv.split_at_mut(half);
    let a = a.chunks_exact(heads.longest[0] * heads.longest[1]);
    for (head, a) in (0..heads.count).zip(a) {
        let (width, da) = (heads.width, &mut da[..queries * keys]);
        let (k, v) = (&mut k[heads.keys_of(head)], &mut v[heads.keys_of(head)]);
        let q = matrix(&q[heads.queries_of(head)], queries, width);
        let o = &mut o[heads.queries_of(head)];
        let weights = matrix(a, queries, keys);
        let v_t = matrix(v, keys, width).reversed_axes();
        T::gemm(matrix(o, queries, width), v_t, T::zero(), matrix_mut(da, queries, keys));
        let to = matrix_mut(v, keys, width);
        T::gemm(weights.reversed_axes(), matrix(o, queries, width), T::zero(), to);
        for (a, da) in a.chunks_exact(keys).zip(da.chunks_exact_mut(keys)) {
            softmax_gradient(a, da);
        }
        let ds = matrix(da, queries, keys);
        T::gemm(ds, matrix(k, keys, width), T::zero(), matrix_mut(o, queries, width));
        T::gemm(ds.reversed_axes(), q, T::zero(), matrix_mut(k, keys, width));
    }
}
