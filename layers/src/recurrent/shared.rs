//! What recurrent layers share: one time step of an array, values carried through time, transposed weights.
//!
//! All arrays are `[Batch, Time, width]`, or `[Batch, width]` for one step. The products with the input are one matrix
//! product over all steps (see [`affine`](crate::affine)); the loop over time is left with one product and one pass over
//! the gates a step.

use engine_core::context::{Backward, Forward};
use engine_kernels::gemm::add_product;
use engine_core::{Scalar, Tensor};
use engine_kernels::team;
use ndarray::{ArrayView2, ArrayViewMut2, Axis};

use crate::{affine, elementwise};

/// The rows of time step `t`, one a sequence. An array without time has one step.
pub(crate) fn rows_at<T: Scalar>(tensor: &Tensor<T>, t: usize) -> impl Iterator<Item = &[T]> {
    let (sequence, width) = strides(tensor);
    tensor.as_slice().chunks_exact(sequence).map(move |row| &row[t * width..][..width])
}

/// As [`rows_at`], to be changed.
pub(crate) fn rows_at_mut<T: Scalar>(
    tensor: &mut Tensor<T>,
    t: usize,
) -> impl Iterator<Item = &mut [T]> {
    let (sequence, width) = strides(tensor);
    let sequences = tensor.as_mut_slice().chunks_exact_mut(sequence);
    sequences.map(move |row| &mut row[t * width..][..width])
}

/// How many elements lie between two sequences, and between two steps.
fn strides<T: Scalar>(tensor: &Tensor<T>) -> (usize, usize) {
    (tensor.flat().ncols(), tensor.rows().ncols())
}

/// Time step `t` as a matrix, one row a sequence.
pub(crate) fn matrix_at<T: Scalar>(tensor: &Tensor<T>, t: usize) -> ArrayView2<'_, T> {
    tensor.view3().index_axis_move(Axis(1), t)
}

/// Sets a value that is carried through time to where it starts: 0 where nothing says otherwise.
pub(crate) fn start<T: Scalar>(carried: &mut Tensor<T>, at: Option<&Tensor<T>>) {
    match at {
        Some(at) => carried.as_mut_slice().copy_from_slice(at.as_slice()),
        None => carried.fill(T::zero()),
    }
}

/// Adds what was carried back to the first step to the gradient of the value it started from, if somebody wants it.
pub(crate) fn add_start_gradient<T: Scalar>(carried: &Tensor<T>, gradient: Option<&mut Tensor<T>>) {
    if let Some(gradient) = gradient {
        elementwise::add(gradient.as_mut_slice(), carried.as_slice());
    }
}

/// dwh = dwh + (h before each step)^T (gradient at each step), over all steps at once.
pub(crate) fn add_recurrent_gradient<T: Scalar>(
    before: &Tensor<T>,
    gates: ArrayView2<'_, T>,
    dwh: ArrayViewMut2<'_, T>,
) {
    add_product(before.rows().reversed_axes(), gates, dwh);
}

/// What recurrent layers have in the same places: port x, parameters `wx` and `b`, and the saved sums of the gates.
pub(crate) const X: usize = 0;
pub(crate) const WX: usize = 0;
pub(crate) const WH: usize = 1;
pub(crate) const B: usize = 2;
pub(crate) const A: usize = 0;

/// The part of the gates' sums that the input makes, over all steps: x wx + b.
pub(crate) fn map_input<T: Scalar>(cx: &mut Forward<'_, T>) {
    let (x, b) = (cx.inputs[X].rows(), Some(&cx.parameters[B]));
    affine::forward(x, &cx.parameters[WX], b, &mut cx.saved[A]);
}

/// The gradients of [`map_input`], given those of the sums in their place.
pub(crate) fn map_gradients<T: Scalar>(cx: &mut Backward<'_, T>) {
    let da = &cx.saved[A];
    if let Some(dx) = cx.input_gradients.get(X) {
        affine::add_input_gradient(da, &cx.parameters[WX], dx.rows_mut());
    }
    let gradients = &mut cx.parameter_gradients;
    affine::add_weight_gradient(cx.inputs[X].rows(), da, &mut gradients[WX]);
    affine::add_bias_gradient(da, &mut gradients[B]);
}

/// The same part of the sums where another node has computed it: at port x, its rows perhaps to be looked up.
pub(crate) fn take_input<T: Scalar>(cx: &mut Forward<'_, T>) {
    look_up(&cx.inputs[X], cx.inputs.index(X), &mut cx.saved[A]);
}

/// The gradient of [`take_input`].
pub(crate) fn take_gradient<T: Scalar>(cx: &mut Backward<'_, T>) {
    let index = cx.inputs.index(X);
    if let Some(dx) = cx.input_gradients.get(X) {
        add_look_up_gradient(&cx.saved[A], index, dx);
    }
}

/// y = x, its rows looked up by `index` if there is one.
fn look_up<T: Scalar>(x: &Tensor<T>, index: Option<&[u32]>, y: &mut Tensor<T>) {
    let Some(index) = index else { return y.as_mut_slice().copy_from_slice(x.as_slice()) };
    let width = x.rows().ncols();
    for (y, &row) in y.as_mut_slice().chunks_exact_mut(width).zip(index) {
        y.copy_from_slice(&x.as_slice()[row as usize * width..][..width]);
    }
}

/// The gradient of [`look_up`]: adds each row of dy to the row of dx that it was looked up from.
fn add_look_up_gradient<T: Scalar>(dy: &Tensor<T>, index: Option<&[u32]>, dx: &mut Tensor<T>) {
    let Some(index) = index else { return elementwise::add(dx.as_mut_slice(), dy.as_slice()) };
    let width = dy.rows().ncols();
    for (dy, &row) in dy.as_slice().chunks_exact(width).zip(index) {
        let dx = &mut dx.as_mut_slice()[row as usize * width..][..width];
        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
    }
}

/// Copies the transpose of `w`. A loop over time multiplies by it, and a matrix product with a transposed view of long
/// rows takes three times as long as one with a copy.
pub(crate) fn transpose<T: Scalar>(w: &Tensor<T>, transposed: &mut Tensor<T>) {
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

    #[test]
    fn steps_are_found_in_arrays_with_and_without_time() {
        let with = random::<f64>(&[3, 5, 2], 2);
        for t in 0..5 {
            let rows: Vec<&[f64]> = rows_at(&with, t).collect();
            for (n, row) in rows.into_iter().enumerate() {
                assert_eq!(row, [with.view3()[[n, t, 0]], with.view3()[[n, t, 1]]]);
            }
        }
        let without = random::<f64>(&[3, 4], 3);
        let rows: Vec<&[f64]> = rows_at(&without, 0).collect();
        assert_eq!(rows.concat(), without.as_slice());
    }
}
