//! An affine map over weights in panels.

use std::ops::Range;

use engine_core::context::{Forward, Gradient};
use engine_core::panel_product::{Left, ROWS, Target, multiply};
use engine_core::panels::{Cut, copy_piece, width};
use engine_core::shared::Shared;
use engine_core::{
    Backward, Kernel, LayerPlan, Packing, Reach, Scalar, Shape, Tensor, flops, team,
};

use crate::affine;

/// `x w + b` over the rows of x: its only port is x, its parameters are `w` and, with `bias`, `b`.
#[derive(Debug)]
pub(crate) struct Affine {
    pub(crate) bias: bool,
    /// Whether the way back has weights in panels as well.
    pub(crate) back: bool,
}

const X: usize = 0;

const W: usize = 0;
const B: usize = 1;

/// Packed: `w`, and its transpose for the way back.
const FORWARD: usize = 0;
const BACK: usize = 1;

/// Rows of a result that one thread computes at a time: whole blocks of the kernel.
const PIECE: usize = 16 * ROWS;

impl Affine {
    /// The memory that it takes for this output; arrays take on their shapes when they are written.
    pub(crate) fn plan(output: Shape) -> LayerPlan {
        let packing = Packing { parameter: W, transposed: false, gates: 1 };
        LayerPlan::output(output)
            .packed(packing)
            .packed_alone()
            .affine()
            .separable()
            .any_lead()
            .reach(Reach::Row)
    }

    /// The memory that it takes with its way [`back`](Affine::back).
    pub(crate) fn looped_plan(output: Shape) -> LayerPlan {
        Affine::plan(output).packed(Packing { parameter: W, transposed: true, gates: 1 })
    }

    /// dx = dx + dy w^T.
    fn add_input_gradient<T: Scalar>(cx: &mut Backward<'_, T>) {
        let (dy, back) = (&cx.output_gradients[0], &cx.packed[BACK]);
        let Some(Gradient { array: dx, fresh }) = cx.input_gradients.claim(X) else { return };
        let (rows, depth) = dy.rows().dim();
        let cut = cut(dx);
        flops::count_product(rows, depth, cut.length);
        let dx = Shared::new(dx.as_mut_slice());
        for_each_tile::<T>(rows, cut, |rows, at| {
            let left = left(dy, rows.clone());
            // SAFETY: each call has a tile of its own.
            let target = unsafe { Target::block(&dx, rows, cut, at) };
            // A transposed panel goes on with zeros up to a whole one of the other kind.
            let panel = &back.panel(at)[..depth * width::<T>()];
            multiply(left, panel, target, !fresh);
        });
    }
}

impl<T: Scalar> Kernel<T> for Affine {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, w) = (cx.inputs[X].rows(), &cx.packed[FORWARD]);
        let y = &mut cx.outputs[0];
        let (rows, cut) = (x.nrows(), cut(y));
        let b = self.bias.then(|| cx.parameters[B].as_slice());
        flops::count_product(rows, x.ncols(), cut.length);
        let (x, y) = (&cx.inputs[X], Shared::new(y.as_mut_slice()));
        for_each_tile::<T>(rows, cut, |rows, at| {
            if let Some(b) = b {
                fill_columns(&y, rows.clone(), cut, at, b);
            }
            let left = left(x, rows.clone());
            // SAFETY: each call has a tile of its own.
            let target = unsafe { Target::block(&y, rows, cut, at) };
            multiply(left, w.panel(at), target, b.is_some());
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        match self.back {
            true => {
                Affine::add_input_gradient(cx);
                affine::add_parameter_gradients(cx, self.bias);
            }
            false => affine::backward(cx, self.bias),
        }
    }
}

/// How the rows of an array are cut into panels.
pub(super) fn cut<T: Scalar>(array: &Tensor<T>) -> Cut {
    Cut { length: array.rows().ncols(), gates: 1 }
}

/// Some rows of an array as the left factor of a product.
pub(super) fn left<T: Scalar>(array: &Tensor<T>, rows: Range<usize>) -> Left<'_, T> {
    let depth = array.rows().ncols();
    Left::rows(&array.as_slice()[rows.start * depth..rows.end * depth], depth)
}

/// Calls `f` with pieces of `rows` rows and panels, all pieces for one panel before the next.
pub(super) fn for_each_tile<T: Scalar>(
    rows: usize,
    cut: Cut,
    f: impl Fn(Range<usize>, usize) + Sync,
) {
    let pieces = rows.div_ceil(PIECE);
    team::for_each(pieces * cut.panels::<T>(), |tile| {
        let first = tile % pieces * PIECE;
        f(first..rows.min(first + PIECE), tile / pieces);
    });
}

/// Every row = b, in the columns of a panel.
pub(super) fn fill_columns<T: Scalar>(
    y: &Shared<'_, T>,
    rows: Range<usize>,
    cut: Cut,
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
