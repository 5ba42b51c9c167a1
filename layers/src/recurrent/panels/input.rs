//! The input's part of preactivations, and its gradient.

use std::ops::Range;

use engine_core::Scalar;
use engine_core::layer::context::{Gradient, Inputs};
use engine_kernels::matrix::MatrixMut;
use engine_kernels::panels::{PanelLayout, copy_piece, width};
use engine_kernels::team;

use crate::recurrent::input::X;

/// The rows at port x, perhaps looked up, as panels.
#[derive(Clone, Copy)]
pub(super) struct InputRows<'a, T> {
    rows: &'a [T],
    index: Option<&'a [u32]>,
    layout: PanelLayout,
}

impl<'a, T: Scalar> InputRows<'a, T> {
    pub(super) fn new(inputs: &Inputs<'a, T>, layout: PanelLayout) -> Self {
        let rows = inputs.get(X).map(|x| x.as_slice()).unwrap_or_default();
        InputRows { rows, index: inputs.index(X), layout }
    }

    fn row(&self, position: usize) -> &'a [T] {
        let row = self.index.map_or(position, |index| index[position] as usize);
        &self.rows[row * self.layout.length..][..self.layout.length]
    }

    /// Copies the rows of these positions into a panel. What lies beyond a gate's edge becomes 0.
    pub(super) fn copy(&self, positions: Range<usize>, panel: usize, to: &mut [T]) {
        let share = self.layout.units_a_panel::<T>();
        for (position, to) in positions.zip(to.chunks_exact_mut(width::<T>())) {
            let from = self.row(position);
            for (place, source, length) in self.layout.pieces::<T>(panel) {
                copy_piece(&mut to[place..][..length], &from[source..][..length]);
                if length < share {
                    to[place..][length..share].fill(T::zero());
                }
            }
        }
    }

    /// Adds the rows of these positions to a panel.
    pub(super) fn add(&self, positions: Range<usize>, panel: usize, to: &mut [T]) {
        for (position, to) in positions.zip(to.chunks_exact_mut(width::<T>())) {
            let from = self.row(position);
            for (place, source, length) in self.layout.pieces::<T>(panel) {
                let (to, from) = (&mut to[place..][..length], &from[source..][..length]);
                to.iter_mut().zip(from).for_each(|(to, &x)| *to += x);
            }
        }
    }
}

/// Adds the gradients of preactivations to those of the input's part; with an index, those of all positions of a row to
/// that row.
pub(super) fn add_input_gradient<T: Scalar>(
    gates: &[T],
    positions: usize,
    layout: PanelLayout,
    index: Option<&[u32]>,
    Gradient { array, fresh }: Gradient<'_, T>,
) {
    let rows = array.rows().nrows();
    let to = MatrixMut::new(array.as_mut_slice(), layout.length).panel_blocks(layout, rows);
    team::for_each_disjoint(to, |at, mut to| {
        let panel = &gates[at * positions * width::<T>()..][..positions * width::<T>()];
        for (piece, (place, _, length)) in layout.pieces::<T>(at).enumerate() {
            if fresh {
                (0..rows).for_each(|row| to.piece_mut(row, piece).fill(T::zero()));
            }
            for (position, gradient) in panel.chunks_exact(width::<T>()).enumerate() {
                let row = index.map_or(position, |index| index[position] as usize);
                let gradient = &gradient[place..][..length];
                to.piece_mut(row, piece).iter_mut().zip(gradient).for_each(|(to, &x)| *to += x);
            }
        }
    });
}
