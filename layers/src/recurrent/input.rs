//! What the input adds to the preactivations of all gates, over all steps at once.

use engine_core::layer::context::Gradient;
use engine_core::{
    Backward, Forward, GradientRequest, Memory, Saved, Scalar, Tensor, Weight, WeightOrder,
};
use engine_kernels::matrix::MatrixMut;

use super::weights::{Weights, all_rows};
use crate::elementwise;
use crate::linear::map;

/// The port of the input.
pub(super) const X: usize = 0;

/// Where the input's part of preactivations comes from.
#[derive(Debug)]
pub(super) enum Input {
    /// Port x holds it, its rows perhaps to be looked up.
    Ready,
    /// x wx + b.
    Map { wx: Weights, b: Option<Weight> },
}

impl Input {
    /// The map of port x.
    pub(super) fn map(order: WeightOrder, bias: bool, memory: &mut Memory<'_>) -> Self {
        Input::Map { wx: Weights::new("wx", order, 1, memory), b: memory.weight_if(bias, "b") }
    }

    /// Sets preactivations to the input's part.
    pub(super) fn forward<T: Scalar>(&self, cx: &mut Forward<'_, T>, preactivations: Saved) {
        let (x, a) = (&cx.inputs[X], &mut cx.saved[preactivations]);
        match self {
            Input::Ready => look_up(x, cx.inputs.index(X), a),
            Input::Map { wx, b } => {
                let b = b.map(|b| &cx.parameters[b]);
                wx.of(&cx.parameters, &cx.packed).map(x, b, a);
            }
        }
    }

    /// Adds what gradients of preactivations imply to those of the input and the map, as far as they are requested.
    pub(super) fn backward<T: Scalar>(&self, cx: &mut Backward<'_, T>, preactivations: Saved) {
        let (da, index) = (&cx.saved[preactivations], cx.inputs.index(X));
        match self {
            Input::Ready => {
                if let Some(dx) = cx.input_gradients.get(X) {
                    add_look_up_gradient(da, index, dx);
                }
            }
            Input::Map { wx, b } => {
                if let Some(Gradient { array, fresh }) = cx.input_gradients.claim(X) {
                    let (wx, da) = (wx.of(&cx.parameters, &cx.packed), all_rows(da));
                    let width = array.rows().ncols();
                    let dx = MatrixMut::new(array.as_mut_slice(), width);
                    wx.multiply_transposed(da, 0..da.columns(), dx, !fresh);
                }
                if cx.requested == GradientRequest::Inputs {
                    return;
                }
                let (x, gradients) = (cx.inputs[X].rows(), &mut cx.parameter_gradients);
                map::add_weight_gradient(x, da, &mut gradients[wx.stored]);
                if let Some(b) = *b {
                    map::add_bias_gradient(da, &mut gradients[b]);
                }
            }
        }
    }
}

/// y = x, its rows looked up by `index` if there is one.
fn look_up<T: Scalar>(x: &Tensor<T>, index: Option<&[u32]>, y: &mut Tensor<T>) {
    let Some(index) = index else { return elementwise::copy(y.as_mut_slice(), x.as_slice()) };
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
