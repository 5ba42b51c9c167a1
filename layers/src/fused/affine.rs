//! An affine map over weights in panels.

use std::ops::Range;

use engine_core::context::{Forward, Gradient};
use engine_core::panel_product::{Left, ROWS, Target, multiply, stand};
use engine_core::panels::{Cut, Panels, copy_piece, width};
use engine_core::shared::Shared;
use engine_core::{
    Backward, Kernel, LayerPlan, Packing, Reach, Scalar, Shape, Tensor, flops, team,
};

/// `x w + b` over the rows of x: its only port is x, its parameters are `w` and, with `bias`, `b`.
#[derive(Debug)]
pub(crate) struct Affine {
    pub(crate) bias: bool,
}

const X: usize = 0;

const W: usize = 0;
const B: usize = 1;

/// Packed: `w` for the way forward, its transpose for the gradient of x.
const FORWARD: usize = 0;
const BACK: usize = 1;

/// Rows of a result that one thread computes at a time, and columns that are brought into order together: whole cache
/// lines, and whole blocks of rows.
const PIECE: usize = 16 * ROWS;

impl Affine {
    /// The memory that it takes for this output; arrays take on their shapes when they are written.
    pub(crate) fn plan(output: Shape) -> LayerPlan {
        let packing = Packing { parameter: W, transposed: false, gates: 1 };
        LayerPlan::output(output)
            .scratch(Shape::scalar())
            .scratch(Shape::scalar())
            .packed(packing)
            .packed(Packing { transposed: true, ..packing })
            .affine()
            .reach(Reach::Row)
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
        let dy = &cx.output_gradients[0];
        if let Some(dx) = cx.input_gradients.claim(X) {
            input_gradient(dy, &cx.packed[BACK], dx);
        }
        let [standing, panels] = &mut *cx.scratch else { unreachable!("as planned") };
        let db = self.bias.then(|| cx.parameter_gradients.claim(B).or_zero().as_mut_slice());
        if dy.as_slice().is_empty() {
            cx.parameter_gradients.claim(W).or_zero();
            return;
        }
        pack_gradient(dy, panels, db.unwrap_or_default());
        weight_gradient(&cx.inputs[X], panels, standing, cx.parameter_gradients.claim(W));
    }
}

/// How the rows of an array are cut into panels.
fn cut<T: Scalar>(array: &Tensor<T>) -> Cut {
    Cut { length: array.rows().ncols(), gates: 1 }
}

/// Some rows of an array as the left factor of a product.
fn left<T: Scalar>(array: &Tensor<T>, rows: Range<usize>) -> Left<'_, T> {
    let depth = array.rows().ncols();
    Left::rows(&array.as_slice()[rows.start * depth..rows.end * depth], depth)
}

/// Calls `f` with pieces of `rows` rows and panels, all pieces for one panel before the next.
fn for_each_tile<T: Scalar>(rows: usize, cut: Cut, f: impl Fn(Range<usize>, usize) + Sync) {
    let pieces = rows.div_ceil(PIECE);
    team::for_each(pieces * cut.panels::<T>(), |tile| {
        let first = tile % pieces * PIECE;
        f(first..rows.min(first + PIECE), tile / pieces);
    });
}

/// Every row = b, in the columns of a panel.
fn fill_columns<T: Scalar>(y: &Shared<'_, T>, rows: Range<usize>, cut: Cut, at: usize, b: &[T]) {
    for (_, source, length) in cut.pieces::<T>(at) {
        for row in rows.clone() {
            let first = row * cut.length + source;
            // SAFETY: the caller has these columns of these rows, and one row of them is taken at a time.
            let y = unsafe { y.part(first..first + length) };
            copy_piece(y, &b[source..][..length]);
        }
    }
}

/// dx = dx + dy w^T.
fn input_gradient<T: Scalar>(dy: &Tensor<T>, w: &Panels<T>, dx: Gradient<'_, T>) {
    let (rows, depth) = dy.rows().dim();
    let cut = cut(dx.array);
    flops::count_product(rows, depth, cut.length);
    let to = Shared::new(dx.array.as_mut_slice());
    for_each_tile::<T>(rows, cut, |rows, at| {
        let left = left(dy, rows.clone());
        // SAFETY: each call has a tile of its own.
        let target = unsafe { Target::block(&to, rows, cut, at) };
        // A transposed panel is padded with zeros that dy has none for.
        multiply(left, &w.panel(at)[..depth * width::<T>()], target, !dx.fresh);
    });
}

/// Copies dy into panels; on the way db = db + the sum of its rows, one row after the other, if there is a db.
fn pack_gradient<T: Scalar>(dy: &Tensor<T>, panels: &mut Tensor<T>, db: &mut [T]) {
    let (rows, width, cut) = (dy.rows().nrows(), width::<T>(), cut(dy));
    panels.reshape(&[cut.panels::<T>(), rows, width]);
    let (dy, db) = (dy.as_slice(), Shared::new(db));
    team::for_each_chunk_mut(panels.as_mut_slice(), rows * width, |at, panel| {
        let columns = at * width..cut.length.min((at + 1) * width);
        let own = if db.is_empty() { 0..0 } else { columns.clone() };
        // SAFETY: each call has the columns of a panel of its own.
        let db = unsafe { db.part(own) };
        for (to, dy) in panel.chunks_exact_mut(width).zip(dy.chunks_exact(cut.length)) {
            let (to, rest) = to.split_at_mut(columns.len());
            to.copy_from_slice(&dy[columns.clone()]);
            rest.fill(T::zero());
            db.iter_mut().zip(to).for_each(|(db, x)| *db += *x);
        }
    });
}

/// dw = dw + x^T dy, dy in panels.
fn weight_gradient<T: Scalar>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    standing: &mut Tensor<T>,
    dw: Gradient<'_, T>,
) {
    let (rows, depth) = x.rows().dim();
    let cut = cut(dw.array);
    flops::count_product(depth, rows, cut.length);
    standing.reshape(&[depth.next_multiple_of(ROWS), rows]);
    team::for_each_chunk_mut(standing.as_mut_slice(), PIECE * rows, |at, standing| {
        stand(rows, x.as_slice().chunks_exact(depth), at * PIECE, standing);
    });
    let (standing, dy, size) = (standing.as_slice(), dy.as_slice(), rows * width::<T>());
    let to = Shared::new(dw.array.as_mut_slice());
    for_each_tile::<T>(depth, cut, |columns, at| {
        let left = Left::standing(&standing[columns.start * rows..], columns.len(), rows);
        // SAFETY: each call has a tile of its own.
        let target = unsafe { Target::block(&to, columns, cut, at) };
        multiply(left, &dy[at * size..][..size], target, !dw.fresh);
    });
}
