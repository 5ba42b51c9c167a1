//! Matrices in the order in which kernels read them.
//!
//! A *panel* is a strip of a matrix as wide as four cache lines. Kernels read a panel from its first row to its last, one
//! row after the other, and so from one end of memory to the other. Panels also interleave the four blocks of a cell's
//! gates, so that one panel has all gates of the same few units.

use aligned_vec::{AVec, CACHELINE_ALIGN, avec};
use ndarray::ArrayView2;

use crate::lanes::{self, Simd, WithSimd};
use crate::team;

/// Numbers in a row of a panel: four cache lines.
pub const fn width<T>() -> usize {
    4 * line::<T>()
}

/// Numbers in a cache line.
pub const fn line<T>() -> usize {
    64 / size_of::<T>()
}

/// Weights in the order in which kernels read them, kept by the engine and renewed when they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Which of the operation's parameters.
    pub parameter: usize,
    /// Whether kernels multiply by the transpose.
    pub transposed: bool,
    /// How many blocks of columns there are, such as the gates of a cell; 1 for none. See [`PanelLayout`].
    pub gates: usize,
}

/// How a dimension of some length is cut into panels.
///
/// It may consist of equal blocks. Four of them are interleaved: a panel has a cache line of each. Blocks of any other
/// number lie one after the other, each in panels of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanelLayout {
    /// How many numbers there are.
    pub length: usize,
    /// How many blocks they consist of; 1 for none.
    pub gates: usize,
}

impl PanelLayout {
    /// How many panels there are, the last of them, or of each block, perhaps not full.
    pub fn panels<T>(self) -> usize {
        let panels = self.units().div_ceil(self.units_a_panel::<T>());
        if self.interleaved() { panels } else { self.gates * panels }
    }

    /// Numbers in a block.
    pub fn units(self) -> usize {
        self.length / self.gates
    }

    /// Numbers of each of its blocks that a panel has.
    pub fn units_a_panel<T>(self) -> usize {
        if self.interleaved() { width::<T>() / self.gates } else { width::<T>() }
    }

    /// The pieces of a row of panel `panel`: where a piece begins in it, where in the matrix, and how long it is.
    pub fn pieces<T>(self, panel: usize) -> impl Iterator<Item = (usize, usize, usize)> {
        let (units, share) = (self.units(), self.units_a_panel::<T>());
        let panels = units.div_ceil(share);
        let (gates, at) = match self.interleaved() {
            true => (0..self.gates, panel),
            false => (panel / panels..panel / panels + 1, panel % panels),
        };
        let first = at * share;
        let length = units.saturating_sub(first).min(share);
        gates.enumerate().map(move |(at, gate)| (at * share, gate * units + first, length))
    }

    /// Whether a panel has a share of every block.
    pub fn interleaved(self) -> bool {
        matches!(self.gates, 1 | 4)
    }
}

/// A matrix as panels, each with all rows: `[panels, depth, width]`. What lies beyond the matrix's edge is 0.
#[derive(Debug, Clone)]
pub struct Panels<T> {
    data: AVec<T>,
    depth: usize,
    columns: usize,
}

impl<T> Default for Panels<T> {
    fn default() -> Self {
        Panels { data: AVec::new(CACHELINE_ALIGN), depth: 0, columns: 0 }
    }
}

impl<T: Copy + Default + Send + Sync> Panels<T> {
    /// Rows of a panel.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix, without the zeros that fill the last panel.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// One panel, row by row.
    pub fn panel(&self, at: usize) -> &[T] {
        let size = self.depth * width::<T>();
        &self.data[at * size..][..size]
    }

    /// Takes on a matrix, in row-major order, as `packing` says. Memory is kept.
    ///
    /// A transposed matrix has its rows in the order and number that panels of the other factor have, with zeros up to a
    /// whole panel.
    pub fn pack(&mut self, matrix: ArrayView2<'_, T>, packing: Packing) {
        let (rows, columns) = matrix.dim();
        let matrix = matrix.to_slice().expect("parameters lie in row-major order");
        if packing.transposed {
            let cut = PanelLayout { length: columns, gates: packing.gates };
            self.columns = rows;
            self.bind(rows.div_ceil(width::<T>()), cut.panels::<T>() * width::<T>());
            let size = self.depth * width::<T>();
            team::for_each_chunk_mut(&mut self.data, size, |at, panel| {
                let first = at * width::<T>();
                let rows = &matrix[first * columns..rows.min(first + width::<T>()) * columns];
                lanes::widest(Transpose { rows, cut, panel });
            });
        } else {
            self.make_room(rows, columns, packing.gates);
            self.put_rows(0, matrix, columns, packing.gates);
        }
    }

    /// Memory for a matrix whose rows are [put](Self::put_rows) there.
    pub fn make_room(&mut self, rows: usize, columns: usize, gates: usize) {
        self.columns = columns;
        self.bind(PanelLayout { length: columns, gates }.panels::<T>(), rows);
    }

    /// Puts some rows of a matrix, from row `first` on, where they belong.
    pub fn put_rows(&mut self, first: usize, rows: &[T], columns: usize, gates: usize) {
        let cut = PanelLayout { length: columns, gates };
        let size = self.depth * width::<T>();
        team::for_each_chunk_mut(&mut self.data, size, |at, panel| {
            let panel = panel.chunks_exact_mut(width::<T>()).skip(first);
            for (to, from) in panel.zip(rows.chunks_exact(columns)) {
                for (place, source, length) in cut.pieces::<T>(at) {
                    copy_piece(&mut to[place..][..length], &from[source..][..length]);
                }
            }
        });
    }

    /// Memory for so many panels; new memory is 0, and what lies beyond the matrix's edge stays so.
    fn bind(&mut self, panels: usize, depth: usize) {
        let length = panels * depth * width::<T>();
        if self.data.len() != length || self.depth != depth {
            self.data = avec![T::default(); length];
            self.depth = depth;
        }
    }
}

/// Copies a piece of a row. A cache line, which most pieces are, goes without a call.
#[inline]
pub fn copy_piece<T: Copy>(to: &mut [T], from: &[T]) {
    if !copy_exactly::<16, T>(to, from) && !copy_exactly::<8, T>(to, from) {
        to.copy_from_slice(from);
    }
}

/// Copies `N` numbers, if there are just that many.
#[inline]
fn copy_exactly<const N: usize, T: Copy>(to: &mut [T], from: &[T]) -> bool {
    match (<&mut [T; N]>::try_from(to), <&[T; N]>::try_from(from)) {
        (Ok(to), Ok(from)) => {
            *to = *from;
            true
        }
        _ => false,
    }
}

/// Rows of a matrix as the columns of a panel, their numbers as `cut` orders them.
struct Transpose<'a, T> {
    rows: &'a [T],
    cut: PanelLayout,
    panel: &'a mut [T],
}

/// The side of a block that is transposed in registers.
const SIDE: usize = 8;

impl<T: Copy + Default> WithSimd for Transpose<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Transpose { rows, cut, panel } = self;
        let (width, stride) = (width::<T>(), cut.length);
        let count = rows.len() / stride;
        for at in 0..cut.panels::<T>() {
            let panel = &mut panel[at * width * width..][..width * width];
            for (place, source, length) in cut.pieces::<T>(at) {
                let mut from = 0;
                while from < length {
                    let columns = SIDE.min(length - from);
                    let mut row = 0;
                    while row < count {
                        let rows_here = SIDE.min(count - row);
                        let first = row * stride + source + from;
                        let to = (place + from) * width + row;
                        if columns == SIDE && rows_here == SIDE {
                            block(&rows[first..], stride, &mut panel[to..], width);
                        } else {
                            for i in 0..columns {
                                for j in 0..rows_here {
                                    panel[to + i * width + j] = rows[first + j * stride + i];
                                }
                            }
                        }
                        row += SIDE;
                    }
                    from += SIDE;
                }
            }
        }
    }
}

/// Transposes one block of [`SIDE`] rows and columns.
#[inline(always)]
fn block<T: Copy + Default>(from: &[T], from_stride: usize, to: &mut [T], to_stride: usize) {
    let mut rows = [[T::default(); SIDE]; SIDE];
    for (j, row) in rows.iter_mut().enumerate() {
        row.copy_from_slice(&from[j * from_stride..][..SIDE]);
    }
    for i in 0..SIDE {
        let mut column = [T::default(); SIDE];
        for j in 0..SIDE {
            column[j] = rows[j][i];
        }
        to[i * to_stride..][..SIDE].copy_from_slice(&column);
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;

    fn numbers(rows: usize, columns: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, columns), |(i, j)| (1 + i * columns + j) as f64)
    }

    /// Where column `column` of a matrix cut so is: its panel and its place in a row.
    fn place(cut: PanelLayout, column: usize) -> (usize, usize) {
        let (gate, unit) = (column / cut.units(), column % cut.units());
        let share = cut.units_a_panel::<f64>();
        match cut.gates {
            3 => (gate * cut.units().div_ceil(share) + unit / share, unit % share),
            _ => (unit / share, gate * share + unit % share),
        }
    }

    #[test]
    fn every_number_is_in_its_place_and_the_rest_is_zero() {
        for (rows, units, gates) in
            [(1, 1, 1), (3, 8, 4), (5, 9, 4), (40, 33, 1), (7, 70, 1), (33, 17, 4), (35, 40, 3)]
        {
            let matrix = numbers(rows, units * gates);
            let cut = PanelLayout { length: units * gates, gates };
            let mut panels = Panels::default();
            panels.pack(matrix.view(), Packing { parameter: 0, transposed: false, gates });
            let mut sum = 0.0;
            for ((row, column), x) in matrix.indexed_iter() {
                let (panel, at) = place(cut, column);
                assert_eq!(panels.panel(panel)[row * width::<f64>() + at], *x);
                sum += x;
            }
            assert_eq!(panels.data.iter().sum::<f64>(), sum, "the rest is 0");
            panels.pack(matrix.view(), Packing { parameter: 0, transposed: true, gates });
            assert_eq!(panels.depth(), cut.panels::<f64>() * width::<f64>());
            for ((row, column), x) in matrix.indexed_iter() {
                let (panel, at) = place(cut, column);
                let deep = panel * width::<f64>() + at;
                let (panel, at) = (row / width::<f64>(), row % width::<f64>());
                assert_eq!(panels.panel(panel)[deep * width::<f64>() + at], *x);
            }
            assert_eq!(panels.data.iter().sum::<f64>(), sum, "the rest is 0");
        }
    }
}
