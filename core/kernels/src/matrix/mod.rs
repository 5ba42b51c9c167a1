//! Views of matrices whose rows lie apart, and how threads share one.
//!
//! A [`MatrixMut`] is to a matrix what `&mut [T]` is to a slice: whoever has it is the only one who reads or writes its
//! elements. It splits into views that have no element in common, also between columns, which no split of a slice can
//! express. Cut into blocks, it is shared out to the [team](crate::team), several matrices side by side if need be:
//!
//! ```
//! use engine_kernels::matrix::MatrixMut;
//! use engine_kernels::team::{self, Chunks};
//!
//! // Each call has 4 columns of every row of `h`, and the sum of these columns.
//! let (mut h, mut sums) = (vec![1.0; 3 * 10], vec![0.0; 3]);
//! let blocks = (MatrixMut::new(&mut h, 10).column_blocks(4), Chunks::new(&mut sums, 1));
//! team::for_each_disjoint(blocks, |at, (mut h, sum)| {
//!     for row in h.rows_mut() {
//!         row.fill(at as f64);
//!         sum[0] += row.iter().sum::<f64>();
//!     }
//! });
//! assert_eq!(h[..10], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 2.0]);
//! assert_eq!(sums, [0.0, 12.0, 12.0]);
//! ```
//!
//! # A recurrence over panels
//! The gates of a cell over time lie in panels `[panels, rows of all steps, width]`, a view of `panels` rows. At a step,
//! a thread writes the step's rows of its own panels of gates, and its units' columns of h, while all threads read h of
//! the step before:
//!
//! ```
//! # use engine_kernels::matrix::MatrixMut;
//! # use engine_kernels::team;
//! # fn open(_: &mut [f32], _: &mut [f32]) {}
//! # let (steps, width, units) = (2..4, 64, 100);
//! # let (mut gates, mut h) = (vec![0.0f32; 2 * 4 * 64], vec![0.0f32; 4 * 100]);
//! let (before, now) = h.split_at_mut(steps.start * units);
//! let gates = MatrixMut::new(&mut gates, 4 * width).into_columns(steps.start * width..steps.end * width);
//! let now = MatrixMut::new(&mut now[..steps.len() * units], units);
//! team::for_each_disjoint((gates.row_blocks(1), now.column_blocks(width)), |_, (mut gates, mut h)| {
//!     let _all_units_of_the_step_before = &before;
//!     for (gates, h) in gates.row_mut(0).chunks_exact_mut(width).zip(h.rows_mut()) {
//!         open(gates, h);
//!     }
//! });
//! ```
//!
//! On the way back, [`split_at_column`](MatrixMut::split_at_column) parts the gates of a step, which threads write, from
//! those of the step after, which all of them read as the left factor of a product
//! ([`Left::of_panels`](crate::panel_product::Left::of_panels)).

mod cuts;
mod units;

use std::marker::PhantomData;
use std::ops::Range;

pub use self::cuts::{ColumnBlocks, PanelBlock, PanelBlocks, Piece, RowBlocks, Tile, Tiles};
pub use self::units::{UnitBlock, UnitBlocks};
use ndarray::{ArrayView2, ArrayViewMut2, ShapeBuilder};

use crate::panels::PanelLayout;

/// A matrix to be read: rows of `columns` neighbouring elements, `stride` elements from one row to the next.
#[derive(Debug)]
pub struct MatrixRef<'a, T> {
    start: *const T,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a [T]>,
}

/// A matrix to be changed: rows of `columns` neighbouring elements, `stride` elements from one row to the next.
#[derive(Debug)]
pub struct MatrixMut<'a, T> {
    start: *mut T,
    rows: usize,
    columns: usize,
    stride: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// Of both views: the elements `start + row * stride + column` for all rows and columns lie in one allocation and are
// borrowed for 'a, shared or exclusively. Of the elements between two rows nothing is known. With more than one row,
// `columns <= stride`, so that rows do not overlap.

// SAFETY: it is a shared borrow of elements.
unsafe impl<T: Sync> Send for MatrixRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for MatrixRef<'_, T> {}
// SAFETY: it is an exclusive borrow of elements.
unsafe impl<T: Send> Send for MatrixMut<'_, T> {}
// SAFETY: a shared view of it only reads elements.
unsafe impl<T: Sync> Sync for MatrixMut<'_, T> {}

impl<T> Clone for MatrixRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for MatrixRef<'_, T> {}

/// How many rows of `columns` elements so many elements are.
fn count_rows(elements: usize, columns: usize) -> usize {
    let rows = elements.checked_div(columns).unwrap_or(0);
    assert_eq!(rows * columns, elements, "whole rows of {columns} elements");
    rows
}

/// Where a block begins, in elements. A block without elements begins where the matrix does, for where its first element
/// would be may lie outside.
#[inline(always)]
fn block_start(
    (all_rows, all_columns, stride): (usize, usize, usize),
    rows: &Range<usize>,
    columns: &Range<usize>,
) -> usize {
    assert!(rows.start <= rows.end && rows.end <= all_rows, "rows of the matrix");
    assert!(columns.start <= columns.end && columns.end <= all_columns, "columns of the matrix");
    if rows.is_empty() || columns.is_empty() { 0 } else { rows.start * stride + columns.start }
}

impl<'a, T> MatrixRef<'a, T> {
    /// A slice as rows of `columns` elements.
    ///
    /// # Panics
    /// When the slice does not consist of whole rows.
    pub fn new(elements: &'a [T], columns: usize) -> Self {
        let rows = count_rows(elements.len(), columns);
        MatrixRef {
            start: elements.as_ptr(),
            rows,
            columns,
            stride: columns,
            lifetime: PhantomData,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Elements from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first element's address.
    pub(crate) fn start(&self) -> *const T {
        self.start
    }

    /// Some columns of some rows.
    ///
    /// # Panics
    /// When the matrix has not that many.
    pub fn block(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let offset = block_start((self.rows, self.columns, self.stride), &rows, &columns);
        // SAFETY: the block's first element is one of the matrix's, or the offset is 0.
        let start = unsafe { self.start.add(offset) };
        MatrixRef { start, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// The matrix for products of a library.
    pub fn array(self) -> ArrayView2<'a, T> {
        let shape = (self.rows, self.columns).strides((self.stride, 1));
        // SAFETY: all elements are borrowed for 'a, and rows do not overlap.
        unsafe { ArrayView2::from_shape_ptr(shape, self.start) }
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub fn row(self, at: usize) -> &'a [T] {
        assert!(at < self.rows, "a row of the matrix");
        // SAFETY: the row is one of the matrix's, whose elements are borrowed for 'a.
        unsafe { std::slice::from_raw_parts(self.start.add(at * self.stride), self.columns) }
    }
}

impl<'a, T> MatrixMut<'a, T> {
    /// A slice as rows of `columns` elements.
    ///
    /// # Panics
    /// When the slice does not consist of whole rows.
    pub fn new(elements: &'a mut [T], columns: usize) -> Self {
        let rows = count_rows(elements.len(), columns);
        let start = elements.as_mut_ptr();
        MatrixMut { start, rows, columns, stride: columns, lifetime: PhantomData }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Elements from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The first element's address.
    pub(crate) fn start(&mut self) -> *mut T {
        self.start
    }

    /// The same view, for as long as this one is borrowed.
    #[inline(always)]
    pub fn reborrow(&mut self) -> MatrixMut<'_, T> {
        MatrixMut { lifetime: PhantomData, ..*self }
    }

    /// The same view, to be read.
    #[inline(always)]
    pub fn as_ref(&self) -> MatrixRef<'_, T> {
        let MatrixMut { start, rows, columns, stride, .. } = *self;
        MatrixRef { start, rows, columns, stride, lifetime: PhantomData }
    }

    /// The same view, to be read for as long as the elements are borrowed.
    pub fn into_ref(self) -> MatrixRef<'a, T> {
        let MatrixMut { start, rows, columns, stride, .. } = self;
        MatrixRef { start, rows, columns, stride, lifetime: PhantomData }
    }

    /// Some columns of some rows.
    ///
    /// # Panics
    /// When the matrix has not that many.
    #[inline(always)]
    pub fn block(&mut self, rows: Range<usize>, columns: Range<usize>) -> MatrixMut<'_, T> {
        self.reborrow().into_block(rows, columns)
    }

    /// Some columns of some rows, for as long as the elements are borrowed.
    ///
    /// # Panics
    /// When the matrix has not that many.
    #[inline(always)]
    pub fn into_block(self, rows: Range<usize>, columns: Range<usize>) -> Self {
        let offset = block_start((self.rows, self.columns, self.stride), &rows, &columns);
        // SAFETY: the block's first element is one of the matrix's, or the offset is 0.
        let start = unsafe { self.start.add(offset) };
        MatrixMut { start, rows: rows.len(), columns: columns.len(), ..self }
    }

    /// Some rows, for as long as the elements are borrowed.
    ///
    /// # Panics
    /// When the matrix has not that many.
    pub fn into_rows(self, rows: Range<usize>) -> Self {
        let columns = 0..self.columns;
        self.into_block(rows, columns)
    }

    /// Some columns, for as long as the elements are borrowed.
    ///
    /// # Panics
    /// When the matrix has not that many.
    pub fn into_columns(self, columns: Range<usize>) -> Self {
        let rows = 0..self.rows;
        self.into_block(rows, columns)
    }

    /// The rows before row `at`, and the others.
    ///
    /// # Panics
    /// When the matrix has not that many.
    pub fn split_at_row(self, at: usize) -> (Self, Self) {
        let (rows, columns) = (self.rows, self.columns);
        // SAFETY: one has the rows before `at`, the other those from `at` on.
        let twin = unsafe { self.twin() };
        (self.into_block(0..at, 0..columns), twin.into_block(at..rows, 0..columns))
    }

    /// The columns before column `at`, and the others.
    ///
    /// # Panics
    /// When the matrix has not that many.
    pub fn split_at_column(self, at: usize) -> (Self, Self) {
        let (rows, columns) = (self.rows, self.columns);
        // SAFETY: one has the columns before `at`, the other those from `at` on.
        let twin = unsafe { self.twin() };
        (self.into_block(0..rows, 0..at), twin.into_block(0..rows, at..columns))
    }

    /// The same view once more.
    ///
    /// # Safety
    /// As long as the two live, they are used for different elements.
    #[inline(always)]
    unsafe fn twin(&self) -> Self {
        MatrixMut { lifetime: PhantomData, ..*self }
    }

    /// The matrix for products of a library.
    pub fn into_array(self) -> ArrayViewMut2<'a, T> {
        let shape = (self.rows, self.columns).strides((self.stride, 1));
        // SAFETY: all elements are exclusively borrowed for 'a, and rows do not overlap.
        unsafe { ArrayViewMut2::from_shape_ptr(shape, self.start) }
    }

    /// One row, to be read.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub fn row(&self, at: usize) -> &[T] {
        self.as_ref().row(at)
    }

    /// One row.
    ///
    /// # Panics
    /// When there is no such row.
    #[inline(always)]
    pub fn row_mut(&mut self, at: usize) -> &mut [T] {
        assert!(at < self.rows, "a row of the matrix");
        // SAFETY: the row is one of the matrix's, whose elements are exclusively this view's.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(at * self.stride), self.columns) }
    }

    /// All rows, one after the other.
    #[inline(always)]
    pub fn rows_mut(&mut self) -> RowsMut<'_, T> {
        RowsMut { view: self.reborrow(), next: 0 }
    }

    /// All elements, which lie side by side.
    ///
    /// # Panics
    /// When there is something between two rows.
    pub fn into_slice(self) -> &'a mut [T] {
        assert!(self.rows < 2 || self.columns == self.stride, "rows that lie side by side");
        // SAFETY: nothing lies between two rows, and all elements are exclusively this view's.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.rows * self.columns) }
    }

    /// Blocks of `width` columns of all rows; the last may be narrower.
    ///
    /// # Panics
    /// When blocks are to have no columns.
    pub fn column_blocks(self, width: usize) -> ColumnBlocks<'a, T> {
        ColumnBlocks::new(self, width)
    }

    /// Blocks of `height` rows; the last may be lower.
    ///
    /// # Panics
    /// When blocks are to have no rows.
    pub fn row_blocks(self, height: usize) -> RowBlocks<'a, T> {
        RowBlocks::new(self, height)
    }

    /// Tiles of `height` rows by `width` columns, those at the edges lower or narrower: all tiles of the first columns
    /// come before those of the next.
    ///
    /// # Panics
    /// When tiles are to have no rows or columns.
    pub fn tiles(self, height: usize, width: usize) -> Tiles<'a, T> {
        Tiles::new(self, height, width)
    }

    /// The columns that belong to each panel of a layout, in tiles of `height` rows: all tiles of the first panel come
    /// before those of the next.
    ///
    /// # Panics
    /// When tiles are to have no rows, and when the layout is one of other rows.
    pub fn panel_blocks(self, layout: PanelLayout, height: usize) -> PanelBlocks<'a, T> {
        PanelBlocks::new(self, layout, height)
    }
}

/// The rows of a matrix, one after the other.
#[derive(Debug)]
pub struct RowsMut<'a, T> {
    view: MatrixMut<'a, T>,
    next: usize,
}

impl<'a, T> Iterator for RowsMut<'a, T> {
    type Item = &'a mut [T];

    #[inline(always)]
    fn next(&mut self) -> Option<&'a mut [T]> {
        if self.next >= self.view.rows {
            return None;
        }
        let row = self.view.row_mut(self.next);
        self.next += 1;
        // SAFETY: rows do not overlap, each comes once, and the view is theirs for 'a.
        Some(unsafe { std::slice::from_raw_parts_mut(row.as_mut_ptr(), row.len()) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.view.rows - self.next;
        (left, Some(left))
    }
}

impl<T> ExactSizeIterator for RowsMut<'_, T> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::team;

    /// A matrix whose elements tell where they are.
    fn numbered(rows: usize, columns: usize) -> Vec<usize> {
        (0..rows * columns).map(|at| at / columns * 100 + at % columns).collect()
    }

    #[test]
    fn blocks_have_the_elements_of_their_place() {
        let mut numbers = numbered(5, 7);
        let mut matrix = MatrixMut::new(&mut numbers, 7);
        let mut block = matrix.block(1..4, 2..5);
        assert_eq!((block.rows(), block.columns()), (3, 3));
        assert_eq!(block.row(1), [202, 203, 204]);
        let rows: Vec<Vec<usize>> = block.rows_mut().map(|row| row.to_vec()).collect();
        assert_eq!(rows, [[102, 103, 104], [202, 203, 204], [302, 303, 304]]);
        assert_eq!(block.block(2..3, 1..2).row(0), [303]);
        assert_eq!(block.as_ref().block(0..2, 2..3).row(1), [204]);
        assert_eq!(matrix.block(4..5, 3..7).into_slice(), [403, 404, 405, 406]);
        assert_eq!(matrix.block(5..5, 0..7).rows_mut().len(), 0);
        assert!(matrix.block(0..5, 7..7).row(4).is_empty());
    }

    #[test]
    fn halves_have_nothing_in_common() {
        let mut numbers = numbered(4, 6);
        let (mut above, below) = MatrixMut::new(&mut numbers, 6).split_at_row(1);
        let (mut left, mut right) = below.split_at_column(4);
        above.rows_mut().for_each(|row| row.fill(1));
        left.rows_mut().for_each(|row| row.fill(2));
        right.rows_mut().for_each(|row| row.fill(3));
        let expected = |at: usize| {
            if at < 6 {
                1
            } else if at % 6 < 4 {
                2
            } else {
                3
            }
        };
        assert!(numbers.iter().enumerate().all(|(at, found)| *found == expected(at)));
    }

    #[test]
    fn threads_have_their_own_elements_of_every_cut() {
        for (rows, columns) in [(1, 1), (4, 9), (7, 5), (12, 16)] {
            let mut counts = vec![0; rows * columns];
            let once = |counts: &[i32], what: &str| {
                assert!(counts.iter().all(|count| *count == 1), "{what} of {rows} x {columns}");
            };
            let count = |mut block: MatrixMut<'_, i32>| {
                block.rows_mut().flatten().for_each(|count| *count += 1);
            };
            let blocks = MatrixMut::new(&mut counts, columns).column_blocks(4);
            team::for_each_disjoint(blocks, |_, block| count(block));
            once(&counts, "columns");
            counts.fill(0);
            let blocks = MatrixMut::new(&mut counts, columns).row_blocks(3);
            team::for_each_disjoint(blocks, |_, block| count(block));
            once(&counts, "rows");
            for band in [rows, 1, 2] {
                if rows % band > 0 {
                    continue;
                }
                for columns_first in [false, true] {
                    counts.fill(0);
                    let tiles = MatrixMut::new(&mut counts, columns).tiles(3, 4).in_bands(band);
                    let tiles = if columns_first { tiles.columns_first() } else { tiles };
                    team::for_each_disjoint(tiles, |_, tile| {
                        assert_eq!(tile.view.rows(), tile.rows.len());
                        assert_eq!(tile.rows.start / band, (tile.rows.end - 1) / band);
                        count(tile.view);
                    });
                    once(&counts, "tiles");
                }
            }
        }
    }

    #[test]
    fn panels_have_their_own_elements() {
        for (rows, units, gates) in [(1, 1, 1), (3, 8, 4), (5, 9, 4), (4, 33, 1), (7, 40, 3)] {
            let layout = PanelLayout { length: units * gates, gates };
            let mut counts = vec![0.0f64; rows * layout.length];
            let blocks = MatrixMut::new(&mut counts, layout.length).panel_blocks(layout, 2);
            team::for_each_disjoint(blocks, |_, mut block| {
                for row in 0..block.rows().len() {
                    for piece in 0..block.pieces().len() {
                        block.piece_mut(row, piece).iter_mut().for_each(|count| *count += 1.0);
                    }
                }
            });
            assert!(counts.iter().all(|count| *count == 1.0), "{rows} rows, {units} x {gates}");
        }
    }

    #[test]
    fn tiles_say_where_they_are() {
        let mut numbers = numbered(6, 5);
        let tiles = MatrixMut::new(&mut numbers, 5).tiles(2, 3).in_bands(3);
        team::for_each_disjoint(tiles, |at, tile| {
            let expected = [
                (0..2, 0..3),
                (2..3, 0..3),
                (0..2, 3..5),
                (2..3, 3..5),
                (3..5, 0..3),
                (5..6, 0..3),
                (3..5, 3..5),
                (5..6, 3..5),
            ];
            assert_eq!((tile.rows.clone(), tile.columns.clone()), expected[at]);
            assert_eq!(tile.view.row(0)[0], tile.rows.start * 100 + tile.columns.start);
        });
    }

    #[test]
    #[should_panic(expected = "columns of the matrix")]
    fn blocks_lie_within_the_matrix() {
        MatrixRef::new(&[0; 12], 4).block(0..3, 2..5);
    }

    #[test]
    #[should_panic(expected = "a row of the matrix")]
    fn rows_lie_within_the_matrix() {
        MatrixMut::new(&mut [0; 12], 4).row_mut(3);
    }

    #[test]
    #[should_panic(expected = "whole rows of 5 elements")]
    fn a_matrix_has_whole_rows() {
        MatrixRef::new(&[0; 12], 5);
    }

    #[test]
    #[should_panic(expected = "rows that lie side by side")]
    fn rows_that_lie_apart_are_no_slice() {
        MatrixMut::new(&mut [0; 12], 4).into_columns(1..3).into_slice();
    }
}
