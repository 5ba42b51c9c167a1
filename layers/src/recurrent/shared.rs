//! What recurrent layers share: one time step of an array, values carried through time, transposed weights.
//!
//! All arrays are `[Batch, Time, width]`, or `[Batch, width]` for one step. The products with the input are one matrix
//! product over all steps (see [`map`]); the loop over time is left with one product and one pass over
//! the gates a step.

use engine_core::layer::signature::Facts;
use engine_core::sequence::StepRows;
use engine_core::{
    Backward, Dependence, Form, Forward, Lowered, Meaning, Memory, Part, Saved, Scalar, Tensor,
    Weight,
};
use engine_kernels::gemm::add_product;
use engine_kernels::team;
use ndarray::{ArrayView2, ArrayViewMut2, s};

use crate::elementwise;
use crate::linear::{lower, map};

/// The rows of a step, one for each sequence that has it.
pub(super) fn rows_at<T: Scalar>(tensor: &Tensor<T>, rows: StepRows) -> impl Iterator<Item = &[T]> {
    let width = tensor.rows().ncols();
    rows.iter().map(move |row| &tensor.as_slice()[row * width..][..width])
}

/// As [`rows_at`], to be changed.
pub(super) fn rows_at_mut<T: Scalar>(
    tensor: &mut Tensor<T>,
    rows: StepRows,
) -> impl Iterator<Item = &mut [T]> {
    let width = tensor.rows().ncols();
    let rest = &mut tensor.as_mut_slice()[rows.first * width..];
    rest.chunks_mut(rows.stride.max(1) * width).map(move |row| &mut row[..width]).take(rows.count)
}

/// The rows of a step as a matrix.
pub(super) fn matrix_at<T: Scalar>(tensor: &Tensor<T>, rows: StepRows) -> ArrayView2<'_, T> {
    let StepRows { first, stride, count } = rows;
    tensor.rows().slice_move(s![first..first + (count - 1) * stride + 1; stride.max(1), ..])
}

/// The first rows of an array over the batch.
pub(super) fn first(count: usize) -> StepRows {
    StepRows { first: 0, stride: 1, count }
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

/// The port of the input, or of what it adds to the gates' sums.
pub(super) const X: usize = 0;

/// The part of the gates' sums that the input makes: computed here, or by another node at port x.
#[derive(Debug, Clone, Copy)]
pub(super) enum InputPart {
    /// x wx + b.
    Map { wx: Weight, b: Weight },
    /// What lies at port x, its rows perhaps to be looked up.
    There,
}

impl InputPart {
    pub(super) fn of(part: Part, memory: &mut Memory<'_>) -> Self {
        match part {
            Part::Recurrence => InputPart::There,
            _ => InputPart::Map { wx: memory.weight("wx"), b: memory.weight("b") },
        }
    }

    /// Puts it where the gates are.
    pub(super) fn forward<T: Scalar>(self, cx: &mut Forward<'_, T>, gates: Saved) {
        match self {
            InputPart::Map { wx, b } => {
                let (x, b) = (cx.inputs[X].rows(), Some(&cx.parameters[b]));
                map::forward(x, &cx.parameters[wx], b, &mut cx.saved[gates]);
            }
            InputPart::There => {
                look_up(&cx.inputs[X], cx.inputs.index(X), &mut cx.saved[gates]);
            }
        }
    }

    /// The gradients, given those of the sums in the gates' place.
    pub(super) fn backward<T: Scalar>(self, cx: &mut Backward<'_, T>, gates: Saved) {
        let da = &cx.saved[gates];
        match self {
            InputPart::Map { wx, b } => {
                if let Some(dx) = cx.input_gradients.get(X) {
                    map::add_input_gradient(da, &cx.parameters[wx], dx.rows_mut());
                }
                let gradients = &mut cx.parameter_gradients;
                map::add_weight_gradient(cx.inputs[X].rows(), da, &mut gradients[wx]);
                map::add_bias_gradient(da, &mut gradients[b]);
            }
            InputPart::There => {
                let index = cx.inputs.index(X);
                if let Some(dx) = cx.input_gradients.get(X) {
                    add_look_up_gradient(da, index, dx);
                }
            }
        }
    }
}

/// The part of a recurrence of `gates` gates that depends on its input alone.
pub(super) fn lower_input(form: Form, gates: usize, memory: &mut Memory<'_>) -> Lowered {
    let wide = memory.output().last().times(gates);
    let output = memory.output().with_last(wide);
    lower(form, ["wx", "b"], true, memory)
        .output(output)
        .facts(Facts::new(Dependence::Row).meaning(Meaning::Affine))
}

/// What of a recurrence depends on where it starts, at these ports: the first step alone.
pub(super) fn recurrence_facts(starts: &[usize]) -> Facts {
    starts
        .iter()
        .fold(Facts::new(Dependence::Past), |facts, port| facts.port(*port, Dependence::StartOnly))
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
}
