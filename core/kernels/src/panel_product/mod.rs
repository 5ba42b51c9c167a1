//! Matrix products whose right factor lies in [`panels`](crate::panels): the kernel that training spends its time in.
//!
//! Every number of a result is one chain of fused multiplications and additions along the shared dimension, from its
//! first element to its last. Rows and panels of a result can therefore be computed in any order, by any thread, in
//! blocks of any size: the bits are the same.
//!
//! A block of [`ROWS`] rows by one panel is kept in registers. For each step along the shared dimension the kernel reads
//! one row of the panel and one number for each row of the left factor.

mod block;

use std::marker::PhantomData;
use std::ops::Range;

use self::block::{Block, Edge};
use crate::lanes::{self, Lanes, Simd, WithSimd};
use crate::matrix::{MatrixMut, MatrixRef, PanelBlock, Piece};
use crate::panels::{PanelLayout, line, width};
use crate::shared::Shared;

/// Rows of a block.
pub const ROWS: usize = 6;

/// How much of the shared dimension a product goes through at a time: a multiple of any panel's width.
const SLICE: usize = 1024;
/// The same if the left factor stands: such factors have many rows.
const SLICE_STANDING: usize = 256;

/// The left factor of a product.
#[derive(Debug, Clone, Copy)]
pub struct Left<'a, T> {
    start: *const T,
    /// How many numbers there are from `start` on.
    length: usize,
    rows: usize,
    depth: usize,
    order: Order,
    lifetime: PhantomData<&'a [T]>,
}

// SAFETY: a `Left` only reads, and stands for a shared borrow, or for a promise to the same effect.
unsafe impl<T: Sync> Send for Left<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Left<'_, T> {}

/// How the numbers of a left factor lie.
#[derive(Debug, Clone, Copy)]
enum Order {
    /// Row by row, so many numbers from one to the next.
    Rows { stride: usize },
    /// Panels, so many numbers from one to the next.
    Panels { stride: usize },
    /// Blocks of [`ROWS`] rows, column by column: see [`stand`].
    Standing { block: usize },
}

impl<'a, T> Left<'a, T> {
    fn new(data: &'a [T], rows: usize, depth: usize, order: Order) -> Self {
        let (start, length) = (data.as_ptr(), data.len());
        Left { start, length, rows, depth, order, lifetime: PhantomData }
    }

    /// A matrix `[rows, depth]` in row-major order.
    pub fn rows(data: &'a [T], depth: usize) -> Self {
        let rows = data.len().checked_div(depth).unwrap_or(0);
        Left::new(data, rows, depth, Order::Rows { stride: depth })
    }

    /// A matrix whose rows may lie apart.
    pub fn of_rows(matrix: MatrixRef<'a, T>) -> Self {
        let (stride, rows, depth) = (matrix.stride(), matrix.rows(), matrix.columns());
        Left {
            start: matrix.start(),
            length: rows.checked_sub(1).map_or(0, |last| last * stride + depth),
            rows,
            depth,
            order: Order::Rows { stride },
            lifetime: PhantomData,
        }
    }

    /// The rows `rows` of a matrix that lies in panels of `rows_a_panel` rows each.
    ///
    /// # Panics
    /// When a panel has not that many.
    pub fn panels(data: &'a [T], rows_a_panel: usize, rows: Range<usize>) -> Self {
        let panels = MatrixRef::new(data, rows_a_panel * width::<T>());
        let columns = rows.start * width::<T>()..rows.end * width::<T>();
        Left::of_panels(panels.block(0..panels.rows(), columns))
    }

    /// A matrix in panels: each row of the view is a panel, whose own rows lie one after the other.
    ///
    /// # Panics
    /// When a panel has not whole rows.
    pub fn of_panels(panels: MatrixRef<'a, T>) -> Self {
        assert!(panels.columns().is_multiple_of(width::<T>()), "whole rows of a panel");
        let (stride, count) = (panels.stride(), panels.rows());
        Left {
            start: panels.start(),
            length: count.checked_sub(1).map_or(0, |last| last * stride + panels.columns()),
            rows: panels.columns() / width::<T>(),
            depth: count * width::<T>(),
            order: Order::Panels { stride },
            lifetime: PhantomData,
        }
    }

    /// As [`panels`](Self::panels), of panels of which others write other rows.
    ///
    /// # Panics
    /// When a panel has not that many rows.
    ///
    /// # Safety
    /// As long as the factor lives, nobody writes these rows.
    pub unsafe fn shared_panels(
        data: &'a Shared<'_, T>,
        rows_a_panel: usize,
        rows: Range<usize>,
    ) -> Self {
        let stride = rows_a_panel * width::<T>();
        assert!(rows.start <= rows.end && rows.end <= rows_a_panel, "rows of a panel");
        let panels = data.len().checked_div(stride).unwrap_or(0);
        let first = (rows.start * width::<T>()).min(data.len());
        Left {
            // SAFETY: `first` is at most the number of elements.
            start: unsafe { data.start().add(first) },
            length: data.len() - first,
            rows: rows.len(),
            depth: panels * width::<T>(),
            order: Order::Panels { stride },
            lifetime: PhantomData,
        }
    }

    /// A matrix `[rows, depth]` that [`stand`] has written.
    ///
    /// # Panics
    /// When the slice is too short.
    pub fn standing(data: &'a [T], rows: usize, depth: usize) -> Self {
        assert!(data.len() >= rows.next_multiple_of(ROWS) * depth, "blocks of rows");
        Left::new(data, rows, depth, Order::Standing { block: ROWS * depth })
    }
}

impl<T> Left<'_, T> {
    /// The columns `first..first + depth`; of panels, whole ones.
    fn slice(self, first: usize, depth: usize) -> Self {
        let skipped = match self.order {
            Order::Rows { .. } => first,
            Order::Panels { stride } => first / width::<T>() * stride,
            Order::Standing { .. } => first * ROWS,
        };
        assert!(skipped <= self.length, "columns of the left factor");
        // SAFETY: that is at most the number of elements.
        let start = unsafe { self.start.add(skipped) };
        Left { start, length: self.length - skipped, depth, ..self }
    }
}

/// Where the results for one panel go.
#[derive(Debug)]
pub struct Target<'a, T> {
    start: *mut T,
    /// Numbers from one row to the next.
    stride: usize,
    /// For each cache line of a panel's row, where it goes in a row of the result, and how many of its numbers.
    lines: [(usize, usize); 4],
    rows: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

impl<'a, T> Target<'a, T> {
    /// A panel: `[rows, width]`.
    pub fn panel(panel: &'a mut [T]) -> Self {
        let line = line::<T>();
        Target {
            start: panel.as_mut_ptr(),
            stride: width::<T>(),
            lines: [0, 1, 2, 3].map(|at| (at * line, line)),
            rows: panel.len() / width::<T>(),
            lifetime: PhantomData,
        }
    }

    /// The same target for the next slice of a product.
    fn again(&self) -> Self {
        Target { lifetime: PhantomData, ..*self }
    }

    /// At most a panel's width of neighbouring columns.
    ///
    /// # Panics
    /// When there are more columns.
    pub fn view(mut view: MatrixMut<'a, T>) -> Self {
        assert!(view.columns() <= width::<T>(), "the columns of a panel");
        let lines = lines::<T>([Piece { place: 0, column: 0, length: view.columns() }]);
        let (start, stride, rows) = (view.start(), view.stride(), view.rows());
        Target { start, stride, lines, rows, lifetime: PhantomData }
    }

    /// The columns of a matrix that belong to a panel.
    pub fn pieces(block: &'a mut PanelBlock<'_, T>) -> Self {
        let lines = lines::<T>(block.pieces().iter().copied());
        let (start, stride, rows) = (block.start(), block.stride(), block.rows().len());
        Target { start, stride, lines, rows, lifetime: PhantomData }
    }

    /// The columns of panel `at` of a matrix in row-major order, cut so.
    ///
    /// # Safety
    /// As long as the target lives, nobody else has these columns of any row.
    pub unsafe fn columns(matrix: &'a Shared<'_, T>, cut: PanelLayout, at: usize) -> Self {
        let rows = matrix.len().checked_div(cut.length).unwrap_or(0);
        // SAFETY: passed on from the caller.
        unsafe { Target::block(matrix, 0..rows, cut, at) }
    }

    /// As [`columns`](Self::columns), in the rows `rows` alone.
    ///
    /// # Panics
    /// When the matrix has not that many.
    ///
    /// # Safety
    /// As long as the target lives, nobody else has these columns of these rows.
    pub unsafe fn block(
        matrix: &'a Shared<'_, T>,
        rows: Range<usize>,
        cut: PanelLayout,
        at: usize,
    ) -> Self {
        let all = matrix.len().checked_div(cut.length).unwrap_or(0);
        assert!(rows.start <= rows.end && rows.end <= all, "rows of the matrix");
        let piece = |(place, column, length)| Piece { place, column, length };
        let lines = lines::<T>(cut.pieces::<T>(at).map(piece));
        Target {
            // SAFETY: the matrix has these rows.
            start: unsafe { matrix.start().add(rows.start * cut.length) },
            stride: cut.length,
            lines,
            rows: rows.len(),
            lifetime: PhantomData,
        }
    }
}

/// For each cache line of a panel's row, where it goes in a row of the result, and how many of its numbers.
fn lines<T>(pieces: impl IntoIterator<Item = Piece>) -> [(usize, usize); 4] {
    let mut lines = [(0, 0); 4];
    for Piece { place, column, length } in pieces {
        for part in (0..length).step_by(line::<T>()) {
            lines[(place + part) / line::<T>()] = (column + part, (length - part).min(line::<T>()));
        }
    }
    lines
}

/// C = A B, or C = C + A B with `add`, for one panel of B and the columns of C that belong to it.
///
/// # Panics
/// When B has not as many rows as A has columns, or C not as many rows as A.
pub fn multiply<T: Lanes + Default>(
    left: Left<'_, T>,
    panel: &[T],
    target: Target<'_, T>,
    add: bool,
) {
    assert_eq!(panel.len(), left.depth * width::<T>(), "the inner dimensions of a product");
    assert_eq!(left.rows, target.rows, "the rows of a product");
    if left.rows == 0 || left.depth == 0 {
        return;
    }
    // A deep panel, or a left factor of many rows, pushes the panel out of the cache between two blocks of rows; less of
    // both at a time stays. What a block has summed so far waits in the target, so that the chain of each number goes on.
    let slice = match left.order {
        Order::Standing { .. } => SLICE_STANDING,
        Order::Rows { .. } | Order::Panels { .. } => SLICE,
    };
    for (at, panel) in panel.chunks(slice * width::<T>()).enumerate() {
        let left = left.slice(at * slice, panel.len() / width::<T>());
        lanes::widest(Product { left, panel, target: target.again(), add: add || at > 0 });
    }
}

/// Writes the transpose of a row-major matrix `[depth, rows]` in the order of [`Left::standing`]: blocks of [`ROWS`] of
/// its columns, each row by row. `first` is the first column of the part that `standing` is for, a multiple of [`ROWS`].
pub fn stand<'a, T: Copy + Default + 'a>(
    depth: usize,
    rows: impl Iterator<Item = &'a [T]>,
    first: usize,
    standing: &mut [T],
) {
    let block = ROWS * depth;
    for (at, row) in rows.take(depth).enumerate() {
        let end = row.len().min(first + standing.len() / depth);
        let blocks = row[first..end].chunks(ROWS).zip(standing.chunks_exact_mut(block));
        for (numbers, block) in blocks {
            let to = &mut block[at * ROWS..][..ROWS];
            match <&[T; ROWS]>::try_from(numbers) {
                Ok(numbers) => to.copy_from_slice(numbers),
                Err(_) => {
                    to.fill(T::default());
                    to[..numbers.len()].copy_from_slice(numbers);
                }
            }
        }
    }
}

struct Product<'a, T> {
    left: Left<'a, T>,
    panel: &'a [T],
    target: Target<'a, T>,
    add: bool,
}

impl<T: Lanes + Default> WithSimd for Product<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.left.order {
            Order::Standing { .. } => self.blocks::<S, ROWS>(simd),
            Order::Rows { .. } | Order::Panels { .. } => self.blocks::<S, 1>(simd),
        }
    }
}

impl<T: Lanes + Default> Product<'_, T> {
    /// Goes through the rows, [`ROWS`] at a time; `K` is how far apart the left factor's columns are.
    #[inline(always)]
    fn blocks<S: Simd, const K: usize>(self, simd: S) {
        let Product { left, panel, target, add } = self;
        let whole = target.lines.iter().all(|(_, length)| *length == line::<T>());
        let (row, pieces, block) = match left.order {
            Order::Rows { stride } => (stride, (1, left.depth, 0), ROWS * stride),
            Order::Panels { stride } => {
                let width = width::<T>();
                (width, (left.depth / width, width, stride), ROWS * width)
            }
            Order::Standing { block } => (1, (1, left.depth, 0), block),
        };
        let mut edge = Edge::new();
        for at in 0..left.rows.div_ceil(ROWS) {
            let rows = (left.rows - at * ROWS).min(ROWS);
            let (last_piece, columns) = ((pieces.0 - 1) * pieces.2, (pieces.1 - 1) * K);
            let last = at * block + (rows - 1) * row + last_piece + columns;
            assert!(last < left.length, "the left factor is there");
            // SAFETY: `at * ROWS` is a row of the target.
            let start = unsafe { target.start.add(at * ROWS * target.stride) };
            let mut part = Block {
                // SAFETY: that is before `last`, which is there.
                left: unsafe { left.start.add(at * block) },
                row,
                pieces,
                panel: panel.as_ptr(),
                target: start,
                stride: target.stride,
                offsets: target.lines.map(|(offset, _)| offset),
                add,
            };
            if !whole {
                // SAFETY: the target's rows and lines are what it promises.
                unsafe { edge.load(start, target.stride, &target.lines, rows) };
                part.target = edge.0.as_mut_ptr().cast();
                part.stride = width::<T>();
                part.offsets = [0, 1, 2, 3].map(|at| at * line::<T>());
            }
            // SAFETY: the left factor was found to be long enough above; the panel has `depth` rows of a panel's width,
            // as `multiply` asserts; the target has these rows, and each of its lines is a whole one: of the target
            // itself where `whole`, of `edge` elsewhere.
            unsafe { part.rows::<S, K>(simd, rows) };
            if !whole {
                // SAFETY: as for loading.
                unsafe { edge.store(start, target.stride, &target.lines, rows) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::panels::Packing;
    use crate::panels::Panels;

    fn random(rows: usize, columns: usize, rng: &mut ChaCha8Rng) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |_| rng.random_range(-1.0..1.0))
    }

    /// [`multiply`] in one form.
    #[derive(Clone, Copy)]
    struct Whole<'a> {
        left: Left<'a, f64>,
        panels: &'a Panels<f64>,
        cut: PanelLayout,
        start: &'a Array2<f64>,
        add: bool,
    }

    impl WithSimd for Whole<'_> {
        type Output = Array2<f64>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Array2<f64> {
            let mut result = self.start.clone();
            let shared = Shared::new(result.as_slice_mut().expect("a fresh array"));
            for at in 0..self.cut.panels::<f64>() {
                // SAFETY: one panel's columns after the other's, on one thread.
                let target = unsafe { Target::columns(&shared, self.cut, at) };
                let panel = self.panels.panel(at);
                Product { left: self.left, panel, target, add: self.add }.with_simd(simd);
            }
            result
        }
    }

    fn assert_near(found: &Array2<f64>, expected: &Array2<f64>, what: &str) {
        let error = (found - expected).iter().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(error < 1e-12, "{what}: {error}");
    }

    #[test]
    fn every_form_equals_a_naive_product_over_random_shapes_and_orders() {
        let seed = 11;
        println!("seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for round in 0..60 {
            let most = if cfg!(miri) { 9 } else { 70 };
            let gates = [1, 4, 3][round % 3];
            let [m, k, units] = [0; 3].map(|_| rng.random_range(1..most));
            let (n, add) = (units * gates, round % 4 == 0);
            let (a, b, start) =
                (random(m, k, &mut rng), random(k, n, &mut rng), random(m, n, &mut rng));
            let expected = if add { a.dot(&b) + &start } else { a.dot(&b) };
            let cut = PanelLayout { length: n, gates };
            let mut panels = Panels::default();
            panels.pack(b.view(), Packing { parameter: 0, transposed: false, gates });

            let rows = a.as_slice().unwrap();
            let across = a.t().as_standard_layout().into_owned();
            let mut standing = vec![f64::NAN; m.next_multiple_of(ROWS) * k];
            stand(k, across.as_slice().unwrap().chunks_exact(m), 0, &mut standing);
            let lefts = [Left::rows(rows, k), Left::standing(&standing, m, k)];
            for left in lefts {
                let whole = Whole { left, panels: &panels, cut, start: &start, add };
                for (form, found) in lanes::on_each_form(whole) {
                    assert_near(&found, &expected, &format!("{form}, {m}x{k}x{n}, {left:?}"));
                }
            }
        }
    }

    #[test]
    fn panels_are_factors_on_either_side() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for (m, units, n, gates) in
            [(1, 1, 1, 1), (7, 9, 3, 4), (13, 40, 33, 1), (20, 17, 40, 4), (9, 37, 5, 3)]
        {
            let (a, w) = (random(m, units * gates, &mut rng), random(n, units * gates, &mut rng));
            let cut = PanelLayout { length: units * gates, gates };
            let width = width::<f64>();
            // Two rows of something else stand before.
            let mut left = vec![0.0; cut.panels::<f64>() * (m + 2) * width];
            for (at, panel) in left.chunks_exact_mut((m + 2) * width).enumerate() {
                for (row, numbers) in a.outer_iter().zip(panel.chunks_exact_mut(width).skip(2)) {
                    for (place, source, length) in cut.pieces::<f64>(at) {
                        for i in 0..length {
                            numbers[place + i] = row[source + i];
                        }
                    }
                }
            }
            let mut panels = Panels::default();
            panels.pack(w.view(), Packing { parameter: 0, transposed: true, gates });
            let (plain, start) = (PanelLayout { length: n, gates: 1 }, Array2::zeros((m, n)));
            let left = Left::panels(&left, m + 2, 2..m + 2);
            let whole = Whole { left, panels: &panels, cut: plain, start: &start, add: false };
            for (form, found) in lanes::on_each_form(whole) {
                assert_near(&found, &a.dot(&w.t()), form);
            }
        }
    }

    #[test]
    fn bits_depend_neither_on_the_rows_at_once_nor_on_the_order_of_the_left_factor() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let (m, k, n) = (29, 50, 64);
        let (a, b) = (random(m, k, &mut rng), random(k, n, &mut rng));
        let mut panels = Panels::default();
        panels.pack(b.view(), Packing { parameter: 0, transposed: false, gates: 1 });
        let product = |rows: Range<usize>| {
            let mut result = vec![0.0; rows.len() * width::<f64>()];
            let left = Left::rows(&a.as_slice().unwrap()[rows.start * k..rows.end * k], k);
            multiply(left, panels.panel(1), Target::panel(&mut result), false);
            result
        };
        let all = product(0..m);
        for cut in [1, 5, 6, 7, 28] {
            assert!(all == [product(0..cut), product(cut..m)].concat(), "cut at {cut}");
        }
    }
}
