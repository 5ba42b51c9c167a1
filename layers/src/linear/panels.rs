//! An affine map over weights in panels.

use engine_core::layer::context::Gradient;
use engine_core::{Backward, Forward, Kernel, Packed, Scalar, Tensor, Weight};
use engine_kernels::matrix::MatrixMut;
use engine_kernels::panel_product::{Left, ROWS, Target, multiply};
use engine_kernels::panels::{Panels, copy_piece, width};
use engine_kernels::{flops, team};

use super::{gradients, map};
use crate::elementwise;

/// x w + b over the rows of the first port.
#[derive(Debug)]
pub(super) struct PanelAffine {
    /// w, where the forward pass multiplies by it.
    pub(super) forward: Packed,
    /// The transpose of w, where the backward pass multiplies by it; else it takes w as it is stored.
    pub(super) back: Option<Packed>,
    pub(super) w: Weight,
    pub(super) b: Option<Weight>,
    pub(super) relu: bool,
}

/// Rows of a result that one thread computes at a time: whole blocks of the kernel.
const PIECE: usize = 16 * ROWS;

impl<T: Scalar> Kernel<T> for PanelAffine {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, w) = (&cx.inputs[0], &cx.packed[self.forward]);
        let start = self.b.map_or(Start::Zero, |b| Start::Row(cx.parameters[b].as_slice()));
        products([(x, w)], start, &mut cx.outputs[0]);
        if self.relu {
            elementwise::change(cx.outputs[0].as_mut_slice(), elementwise::relu);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        match self.back {
            Some(back) => {
                if let Some(Gradient { array: dx, fresh }) = cx.input_gradients.claim(0) {
                    let start = if fresh { Start::Zero } else { Start::There };
                    products([(&cx.output_gradients[0], &cx.packed[back])], start, dx);
                }
            }
            None => {
                if let Some(dx) = cx.input_gradients.get(0) {
                    let (dy, w) = (&cx.output_gradients[0], &cx.parameters[self.w]);
                    map::add_input_gradient(dy, w, dx.rows_mut());
                }
            }
        }
        gradients::add_parameter_gradients(cx, self.w, self.b);
    }
}

/// What a sum of products begins with.
#[derive(Clone, Copy)]
pub(crate) enum Start<'a, T> {
    Zero,
    /// The same in every row.
    Row(&'a [T]),
    /// What the result's array holds.
    There,
}

/// y = start + the sum of all x w, row by row, in pieces of rows by panels of the columns.
pub(crate) fn products<T: Scalar, const N: usize>(
    factors: [(&Tensor<T>, &Panels<T>); N],
    start: Start<'_, T>,
    y: &mut Tensor<T>,
) {
    let (rows, columns) = y.rows().dim();
    for (x, _) in factors {
        flops::count_product(rows, x.rows().ncols(), columns);
    }
    let tiles = MatrixMut::new(y.as_mut_slice(), columns).tiles(PIECE, width::<T>());
    team::for_each_disjoint(tiles, |_, mut tile| {
        if let Start::Row(b) = start {
            let b = &b[tile.columns.clone()];
            tile.view.rows_mut().for_each(|y| copy_piece(y, b));
        }
        let mut adds = !matches!(start, Start::Zero);
        for (x, w) in factors {
            let depth = x.rows().ncols();
            let left = &x.as_slice()[tile.rows.start * depth..tile.rows.end * depth];
            // A panel of a transpose has zeros beyond the matrix's last row, which x has no use for.
            let panel = &w.panel(tile.columns.start / width::<T>())[..depth * width::<T>()];
            multiply(Left::rows(left, depth), panel, Target::view(tile.view.reborrow()), adds);
            adds = true;
        }
    });
}
