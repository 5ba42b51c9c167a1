//! Some columns of the rows of an array.

use std::ops::Range;

use engine_core::pointwise::Columns;
use engine_core::{
    Backward, Dependence, Forward, Kernel, Meaning, Scalar, Shape, Signature, Tensor,
};
use engine_kernels::team;

use crate::elementwise::rows_a_piece;

/// y = x\[.., columns\].
fn take<T: Scalar>(x: &Tensor<T>, columns: Range<usize>, y: &mut Tensor<T>) {
    let (whole, width) = (x.rows().ncols(), columns.len());
    let (x, piece) = (x.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(y.as_mut_slice(), piece * width, |at, y| {
        let x = x[at * piece * whole..].chunks_exact(whole);
        for (y, x) in y.chunks_exact_mut(width).zip(x) {
            y.copy_from_slice(&x[columns.clone()]);
        }
    });
}

/// dx\[.., columns\] = dx\[.., columns\] + dy.
fn add_back<T: Scalar>(dx: &mut Tensor<T>, columns: Range<usize>, dy: &Tensor<T>) {
    let (whole, width) = (dx.rows().ncols(), columns.len());
    let (dy, piece) = (dy.as_slice(), rows_a_piece(width));
    team::for_each_chunk_mut(dx.as_mut_slice(), piece * whole, |at, dx| {
        let dy = dy[at * piece * width..].chunks_exact(width);
        for (dx, dy) in dx.chunks_exact_mut(whole).zip(dy) {
            dx[columns.clone()].iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        }
    });
}

/// The signature of a layer whose output of this shape is made of columns of its input.
pub(super) fn signature(output: Shape, columns: Columns) -> Signature {
    Signature::output(output, Dependence::Row).meaning(Meaning::Columns(columns))
}

/// Columns of the only input.
#[derive(Debug)]
pub(super) struct TakeColumns(pub(super) Columns);

impl TakeColumns {
    /// The columns that are taken, given what they are copied to.
    fn range<T: Scalar>(&self, y: &Tensor<T>) -> Range<usize> {
        let width = y.rows().ncols();
        let first = self.0.first(width);
        first..first + width
    }
}

impl<T: Scalar> Kernel<T> for TakeColumns {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let columns = self.range(&cx.outputs[0]);
        take(&cx.inputs[0], columns, &mut cx.outputs[0]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        if let Some(dx) = cx.input_gradients.get(0) {
            add_back(dx, self.range(dy), dy);
        }
    }
}
