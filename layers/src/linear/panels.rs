//! An affine map over weights in panels.

use std::ops::Range;

use engine_core::layer::context::Gradient;
use engine_core::{Backward, Forward, Kernel, Packed, Scalar, Tensor, Weight};
use engine_kernels::panel_product::{Left, ROWS, Target, multiply};
use engine_kernels::panels::{PanelLayout, copy_piece, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

use super::{kernel, map};
use crate::elementwise;

/// x w + b over the rows of the first port.
#[derive(Debug)]
pub(super) struct PanelMap {
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

impl<T: Scalar> Kernel<T> for PanelMap {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, w) = (cx.inputs[0].rows(), &cx.packed[self.forward]);
        let y = &mut cx.outputs[0];
        let (rows, cut) = (x.nrows(), cut(y));
        let b = self.b.map(|b| cx.parameters[b].as_slice());
        flops::count_product(rows, x.ncols(), cut.length);
        let (x, to) = (&cx.inputs[0], Shared::new(y.as_mut_slice()));
        for_each_tile::<T>(rows, cut, |rows, at| {
            if let Some(b) = b {
                fill_columns(&to, rows.clone(), cut, at, b);
            }
            let left = left(x, rows.clone());
            // SAFETY: each call has a tile of its own.
            let target = unsafe { Target::block(&to, rows, cut, at) };
            multiply(left, w.panel(at), target, b.is_some());
        });
        if self.relu {
            elementwise::change(cx.outputs[0].as_mut_slice(), elementwise::relu);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        match self.back {
            Some(back) => add_input_gradient(cx, back),
            None => {
                if let Some(dx) = cx.input_gradients.get(0) {
                    let (dy, w) = (&cx.output_gradients[0], &cx.parameters[self.w]);
                    map::add_input_gradient(dy, w, dx.rows_mut());
                }
            }
        }
        kernel::add_parameter_gradients(cx, self.w, self.b);
    }
}

/// dx = dx + dy w^T.
fn add_input_gradient<T: Scalar>(cx: &mut Backward<'_, T>, back: Packed) {
    let (dy, back) = (&cx.output_gradients[0], &cx.packed[back]);
    let Some(Gradient { array: dx, fresh }) = cx.input_gradients.claim(0) else { return };
    let (rows, depth) = dy.rows().dim();
    let cut = cut(dx);
    flops::count_product(rows, depth, cut.length);
    let dx = Shared::new(dx.as_mut_slice());
    for_each_tile::<T>(rows, cut, |rows, at| {
        let left = left(dy, rows.clone());
        // SAFETY: each call has a tile of its own.
        let target = unsafe { Target::block(&dx, rows, cut, at) };
        // A transposed panel continues with zeros up to a whole one of the other kind.
        let panel = &back.panel(at)[..depth * width::<T>()];
        multiply(left, panel, target, !fresh);
    });
}

/// How the rows of an array are cut into panels.
pub(crate) fn cut<T: Scalar>(array: &Tensor<T>) -> PanelLayout {
    PanelLayout { length: array.rows().ncols(), gates: 1 }
}

/// Some rows of an array as the left factor of a product.
pub(crate) fn left<T: Scalar>(array: &Tensor<T>, rows: Range<usize>) -> Left<'_, T> {
    let depth = array.rows().ncols();
    Left::rows(&array.as_slice()[rows.start * depth..rows.end * depth], depth)
}

/// Calls `f` with pieces of `rows` rows and panels, all pieces for one panel before the next.
pub(crate) fn for_each_tile<T: Scalar>(
    rows: usize,
    cut: PanelLayout,
    f: impl Fn(Range<usize>, usize) + Sync,
) {
    let pieces = rows.div_ceil(PIECE);
    team::for_each(pieces * cut.panels::<T>(), |tile| {
        let first = tile % pieces * PIECE;
        f(first..rows.min(first + PIECE), tile / pieces);
    });
}

/// Every row = b, in the columns of a panel.
pub(crate) fn fill_columns<T: Scalar>(
    y: &Shared<'_, T>,
    rows: Range<usize>,
    cut: PanelLayout,
    at: usize,
    b: &[T],
) {
    for (_, source, length) in cut.pieces::<T>(at) {
        for row in rows.clone() {
            let first = row * cut.length + source;
            // SAFETY: the caller has these columns of these rows, and one row of them is taken at a time.
            let y = unsafe { y.part(first..first + length) };
            copy_piece(y, &b[source..][..length]);
        }
    }
}
