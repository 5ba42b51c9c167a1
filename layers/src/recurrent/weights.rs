//! Products of rows and some gates' columns of a cell's weights, as they are stored or in panels.

use std::ops::Range;

use engine_core::layer::context::Parameters;
use engine_core::layer::memory::PackedWeights;
use engine_core::{Memory, Packed, Scalar, Tensor, Weight, WeightOrder};
use engine_kernels::gemm::{add_product, product};
use engine_kernels::matrix::{MatrixMut, MatrixRef};
use engine_kernels::panel_product::{Left, ROWS, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::{flops, team};
use ndarray::{ArrayView2, Axis};

use crate::elementwise::rows_a_piece;
use crate::linear::map;

/// A matrix of weights, and where it lies in the order of kernels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weights {
    pub(super) stored: Weight,
    forward: Option<Packed>,
    back: Option<Packed>,
    /// How many blocks of columns have panels of their own.
    blocks: usize,
}

/// The numbers of [`Weights`].
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    stored: &'a Tensor<T>,
    /// The transpose, if there is a copy of it.
    transposed: Option<&'a Tensor<T>>,
    forward: Option<&'a Panels<T>>,
    back: Option<&'a Panels<T>>,
    blocks: usize,
}

/// Rows of a result that one thread computes at a time: whole blocks of the kernel.
const PIECE: usize = 16 * ROWS;

impl Weights {
    /// The parameter of this name in an order.
    pub(super) fn new(
        name: &str,
        order: WeightOrder,
        blocks: usize,
        memory: &mut Memory<'_>,
    ) -> Self {
        let packed = order != WeightOrder::Stored;
        let back = order == WeightOrder::PanelsBothWays;
        Weights {
            forward: packed.then(|| memory.packed(name, false, blocks)),
            back: back.then(|| memory.packed(name, true, 1)),
            stored: if packed { memory.backward_weight(name) } else { memory.weight(name) },
            blocks,
        }
    }

    pub(super) fn of<'a, T: Scalar>(
        self,
        parameters: &'a Parameters<'_, T>,
        packed: &'a PackedWeights<'_, T>,
    ) -> Matrix<'a, T> {
        Matrix {
            stored: &parameters[self.stored],
            transposed: None,
            forward: self.forward.map(|at| &packed[at]),
            back: self.back.map(|at| &packed[at]),
            blocks: self.blocks,
        }
    }
}

impl<'a, T: Scalar> Matrix<'a, T> {
    /// The same matrix, of which `copy` takes on the transpose if that is not there in panels.
    pub(super) fn with_transpose(self, copy: Option<&'a mut Tensor<T>>) -> Self {
        let transposed = copy.map(|copy| {
            transpose(self.stored, copy);
            &*copy
        });
        Matrix { transposed, ..self }
    }

    /// y = x w + b.
    pub(super) fn map(self, x: &Tensor<T>, b: Option<&Tensor<T>>, y: &mut Tensor<T>) {
        let Some(panels) = self.forward else { return map::forward(x.rows(), self.stored, b, y) };
        let columns = y.rows().ncols();
        if let Some(b) = b {
            let piece = rows_a_piece(columns) * columns;
            team::for_each_chunk_mut(y.as_mut_slice(), piece, |_, y| {
                y.chunks_exact_mut(columns).for_each(|y| y.copy_from_slice(b.as_slice()));
            });
        }
        let y = MatrixMut::new(y.as_mut_slice(), columns);
        self.multiply_panels(panels, all_rows(x), 0..columns, y, b.is_some());
    }

    /// y = x w, in these columns of w.
    pub(super) fn multiply(self, x: MatrixRef<'_, T>, columns: Range<usize>, y: MatrixMut<'_, T>) {
        match self.forward {
            Some(panels) => self.multiply_panels(panels, x, columns, y, false),
            None => product(x.array(), self.columns(columns), y.into_array()),
        }
    }

    /// y = y + x w, in these columns of w. `room` is for the product.
    pub(super) fn multiply_add(
        self,
        x: MatrixRef<'_, T>,
        columns: Range<usize>,
        y: MatrixMut<'_, T>,
        room: &mut Tensor<T>,
    ) {
        match self.forward {
            Some(panels) => self.multiply_panels(panels, x, columns, y, true),
            // A product of one row that adds to something takes its sums in another order than those of many rows, and a
            // row is to have the same bits whatever others are with it.
            None => {
                let width = columns.len();
                let room = &mut room.as_mut_slice()[..x.rows() * width];
                let to = MatrixMut::new(room, width).into_array();
                product(x.array(), self.columns(columns), to);
                let (room, piece) = (&*room, rows_a_piece(width));
                team::for_each_disjoint(y.row_blocks(piece), |at, mut y| {
                    let rows = room[at * piece * width..].chunks_exact(width);
                    for (y, x) in y.rows_mut().zip(rows) {
                        y.iter_mut().zip(x).for_each(|(y, &x)| *y += x);
                    }
                });
            }
        }
    }

    /// y = d w^T, or y = y + d w^T, where d has these columns of w.
    pub(super) fn multiply_transposed(
        self,
        d: MatrixRef<'_, T>,
        columns: Range<usize>,
        y: MatrixMut<'_, T>,
        add: bool,
    ) {
        if let Some(panels) = self.back {
            let layout = PanelLayout { length: y.columns(), gates: 1 };
            flops::count_product(d.rows(), columns.len(), layout.length);
            let depth = columns.start * width::<T>()..columns.end * width::<T>();
            team::for_each_disjoint(y.panel_blocks(layout, PIECE), |_, mut y| {
                let left = Left::of_rows(d.block(y.rows(), 0..columns.len()));
                let panel = &panels.panel(y.panel())[depth.clone()];
                multiply(left, panel, Target::pieces(&mut y), add);
            });
            return;
        }
        let w = match self.transposed {
            Some(transposed) => part(transposed.rows(), Axis(0), columns),
            None => self.columns(columns).reversed_axes(),
        };
        let multiply = if add { add_product } else { product };
        multiply(d.array(), w, y.into_array());
    }

    fn columns(self, columns: Range<usize>) -> ArrayView2<'a, T> {
        part(self.stored.rows(), Axis(1), columns)
    }

    fn multiply_panels(
        self,
        panels: &Panels<T>,
        x: MatrixRef<'_, T>,
        columns: Range<usize>,
        mut y: MatrixMut<'_, T>,
        add: bool,
    ) {
        let (rows, depth) = (x.rows(), x.columns());
        let block = panels.columns() / self.blocks;
        let layout = PanelLayout { length: block, gates: 1 };
        flops::count_product(rows, depth, columns.len());
        for first in columns.clone().step_by(block) {
            let before = first / block * layout.panels::<T>();
            let from = first - columns.start;
            let y = y.block(0..rows, from..from + block);
            team::for_each_disjoint(y.panel_blocks(layout, PIECE), |_, mut y| {
                let left = Left::of_rows(x.block(y.rows(), 0..depth));
                let panel = panels.panel(before + y.panel());
                multiply(left, panel, Target::pieces(&mut y), add);
            });
        }
    }
}

/// The rows of an array.
pub(super) fn all_rows<T: Scalar>(array: &Tensor<T>) -> MatrixRef<'_, T> {
    MatrixRef::new(array.as_slice(), array.rows().ncols())
}

/// Copies the transpose of `w`. A loop over time multiplies by it, and a matrix product with a transposed view of long
/// rows takes three times as long as one with a copy.
fn transpose<T: Scalar>(w: &Tensor<T>, transposed: &mut Tensor<T>) {
    /// The side of a block that is copied at a time, so that both sides of the copy stay in cache.
    const BLOCK: usize = 16;
    let (rows, columns) = w.rows().dim();
    let w = w.as_slice();
    team::for_each_chunk_mut(transposed.as_mut_slice(), BLOCK * rows, |block, out| {
        for from in (0..rows).step_by(BLOCK) {
            let to = rows.min(from + BLOCK);
            for (row, out) in out.chunks_exact_mut(rows).enumerate() {
                let column = block * BLOCK + row;
                for (i, out) in out[from..to].iter_mut().enumerate() {
                    *out = w[(from + i) * columns + column];
                }
            }
        }
    });
}

/// Some rows or columns of a matrix.
fn part<T>(matrix: ArrayView2<'_, T>, axis: Axis, range: Range<usize>) -> ArrayView2<'_, T> {
    matrix.split_at(axis, range.end).0.split_at(axis, range.start).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::random;

    #[test]
    fn transposes_are_exact() {
        for (rows, columns) in [(1, 1), (3, 40), (17, 16), (33, 70)] {
            let w = random::<f64>(&[rows, columns], 1);
            let mut transposed = Tensor::zeros(&[columns, rows]);
            transpose(&w, &mut transposed);
            assert_eq!(transposed.rows(), w.rows().reversed_axes());
        }
    }
}
