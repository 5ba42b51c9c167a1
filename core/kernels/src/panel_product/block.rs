//! The innermost loops of a product: a block of rows by one panel, in registers.

use super::ROWS;
use crate::lanes::{Lanes, Simd};
use crate::panels::{line, width};

/// A block of rows, as the innermost loops see it.
pub(super) struct Block<T> {
    pub(super) left: *const T,
    /// Numbers from one row of the left factor to the next.
    pub(super) row: usize,
    /// The shared dimension comes in pieces: how many, how long each is, how far apart they are.
    pub(super) pieces: (usize, usize, usize),
    pub(super) panel: *const T,
    pub(super) target: *mut T,
    pub(super) stride: usize,
    pub(super) offsets: [usize; 4],
    pub(super) add: bool,
}

impl<T: Lanes + Default> Block<T> {
    /// # Safety
    /// The left factor has `rows` rows and all pieces, the panel a row for each number of these, the target `rows` rows
    /// with four whole lines each.
    #[inline(always)]
    pub(super) unsafe fn rows<S: Simd, const K: usize>(&self, simd: S, rows: usize) {
        // SAFETY: passed on from the caller, with the number of rows that it promises.
        unsafe {
            match rows {
                1 => self.columns::<S, K, 1>(simd),
                2 => self.columns::<S, K, 2>(simd),
                3 => self.columns::<S, K, 3>(simd),
                4 => self.columns::<S, K, 4>(simd),
                5 => self.columns::<S, K, 5>(simd),
                _ => self.columns::<S, K, ROWS>(simd),
            }
        }
    }

    /// Goes through the panel's columns, as many vectors at a time as there are registers for.
    ///
    /// # Safety
    /// As for [`rows`](Self::rows), with `M` rows.
    #[inline(always)]
    unsafe fn columns<S: Simd, const K: usize, const M: usize>(&self, simd: S) {
        let lanes = T::lanes(simd);
        // SAFETY: the steps cover the panel's width and no more: the number of lanes is a power of two, and at most that
        // of a cache line.
        unsafe {
            if lanes == line::<T>() {
                self.accumulate::<S, K, M, 4>(simd, 0);
            } else {
                for column in (0..width::<T>()).step_by(2 * lanes) {
                    self.accumulate::<S, K, M, 2>(simd, column);
                }
            }
        }
    }

    /// `M` rows by `V` vectors from `column` on.
    ///
    /// # Safety
    /// As for [`rows`](Self::rows), with `M` rows; `V` vectors fit from `column` on.
    #[inline(always)]
    unsafe fn accumulate<S: Simd, const K: usize, const M: usize, const V: usize>(
        &self,
        simd: S,
        column: usize,
    ) {
        let lanes = T::lanes(simd);
        let place = |row: usize, v: usize| {
            let column = column + v * lanes;
            let (at, within) = (column / line::<T>(), column % line::<T>());
            row * self.stride + self.offsets[at] + within
        };
        let mut sums = [[T::splat(simd, T::default()); V]; M];
        // SAFETY: every address lies in the arrays that the caller promises.
        unsafe {
            if self.add {
                for (row, sums) in sums.iter_mut().enumerate() {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = T::load(simd, self.target.add(place(row, v)));
                    }
                }
            }
            let (pieces, length, apart) = self.pieces;
            let mut right = self.panel.add(column);
            for piece in 0..pieces {
                let left = self.left.add(piece * apart);
                for k in 0..length {
                    let mut b = [T::splat(simd, T::default()); V];
                    for (v, b) in b.iter_mut().enumerate() {
                        *b = T::load(simd, right.add(v * lanes));
                    }
                    for (row, sums) in sums.iter_mut().enumerate() {
                        let a = T::splat(simd, *left.add(row * self.row + k * K));
                        for (sum, b) in sums.iter_mut().zip(b) {
                            *sum = T::mul_add(simd, a, b, *sum);
                        }
                    }
                    right = right.wrapping_add(width::<T>());
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    T::store(simd, self.target.add(place(row, v)), *sum);
                }
            }
        }
    }
}

/// A block of a panel's width that stands for one at the edge of a matrix.
#[repr(C, align(64))]
pub(super) struct Edge(pub(super) [[u8; 256]; ROWS]);

impl Edge {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Edge([[0; 256]; ROWS])
    }

    /// # Safety
    /// `from` has `rows` rows, `stride` numbers apart, with these lines.
    #[inline(always)]
    pub(super) unsafe fn load<T: Copy>(
        &mut self,
        from: *const T,
        stride: usize,
        lines: &[(usize, usize); 4],
        rows: usize,
    ) {
        for row in 0..rows {
            for (at, (offset, length)) in lines.iter().enumerate() {
                let to = self.0[row].as_mut_ptr().cast::<T>();
                // SAFETY: a row of the edge has four lines; the caller promises the row and line that are read.
                unsafe {
                    let from = from.add(row * stride + offset);
                    to.add(at * line::<T>()).copy_from_nonoverlapping(from, *length);
                }
            }
        }
    }

    /// # Safety
    /// `to` has `rows` rows, `stride` numbers apart, with these lines.
    #[inline(always)]
    pub(super) unsafe fn store<T: Copy>(
        &self,
        to: *mut T,
        stride: usize,
        lines: &[(usize, usize); 4],
        rows: usize,
    ) {
        for row in 0..rows {
            for (at, (offset, length)) in lines.iter().enumerate() {
                let from = self.0[row].as_ptr().cast::<T>();
                // SAFETY: as for loading.
                unsafe {
                    let to = to.add(row * stride + offset);
                    to.copy_from_nonoverlapping(from.add(at * line::<T>()), *length);
                }
            }
        }
    }
}
