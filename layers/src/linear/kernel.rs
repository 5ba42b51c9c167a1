//! An affine map in all its forms: what layers with such a map are lowered to.

use engine_core::{
    Backward, Form, Forward, GradientRequest, Kernel, Lowered, Memory, Scalar, Tensor, Weight,
    WeightOrder,
};
use ndarray::{ArrayView2, ArrayViewMut2};

use super::map;
use super::panels::PanelAffine;
use crate::elementwise;

/// x w + b over the first port's rows in a form, where w and b have these names; `bias` says whether b is there.
pub(crate) fn lower(form: Form, [w, b]: [&str; 2], bias: bool, memory: &mut Memory<'_>) -> Lowered {
    let lowered = match form.weights {
        WeightOrder::Stored => {
            let (w, b) = (memory.weight(w), memory.weight_if(bias, b));
            Lowered::new(PlainAffine { w, b, relu: form.relu })
        }
        order => {
            let forward = memory.packed(w, false, 1);
            let back = (order == WeightOrder::PanelsBothWays).then(|| memory.packed(w, true, 1));
            let (w, b) = (memory.backward_weight(w), memory.weight_if(bias, b));
            Lowered::new(PanelAffine { forward, back, w, b, relu: form.relu })
        }
    };
    lowered.separable()
}

/// x w + b over the rows of the first port, or over all numbers of an example where w takes so many.
#[derive(Debug)]
struct PlainAffine {
    w: Weight,
    b: Option<Weight>,
    relu: bool,
}

impl<T: Scalar> Kernel<T> for PlainAffine {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (w, b) = (&cx.parameters[self.w], self.b.map(|b| &cx.parameters[b]));
        let y = &mut cx.outputs[0];
        map::forward(rows(&cx.inputs[0], w), w, b, y);
        if self.relu {
            elementwise::change(y.as_mut_slice(), elementwise::relu);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (dy, w) = (&cx.output_gradients[0], &cx.parameters[self.w]);
        if let Some(dx) = cx.input_gradients.get(0) {
            map::add_input_gradient(dy, w, rows_mut(dx, w));
        }
        add_parameter_gradients(cx, self.w, self.b);
    }
}

/// The gradients of w and b, where they are requested.
pub(super) fn add_parameter_gradients<T: Scalar>(
    cx: &mut Backward<'_, T>,
    w: Weight,
    b: Option<Weight>,
) {
    if cx.requested == GradientRequest::Inputs {
        return;
    }
    let (dy, x) = (&cx.output_gradients[0], rows(&cx.inputs[0], &cx.parameters[w]));
    map::add_weight_gradient(x, dy, &mut cx.parameter_gradients[w]);
    if let Some(b) = b {
        map::add_bias_gradient(dy, &mut cx.parameter_gradients[b]);
    }
}

/// The rows of x that w takes: those of its last dimension, or one for each example.
fn rows<'a, T: Scalar>(x: &'a Tensor<T>, w: &Tensor<T>) -> ArrayView2<'a, T> {
    if in_rows(x, w) { x.rows() } else { x.flat() }
}

/// As [`rows`], to be changed.
fn rows_mut<'a, T: Scalar>(x: &'a mut Tensor<T>, w: &Tensor<T>) -> ArrayViewMut2<'a, T> {
    if in_rows(x, w) { x.rows_mut() } else { x.flat_mut() }
}

fn in_rows<T: Scalar>(x: &Tensor<T>, w: &Tensor<T>) -> bool {
    x.rows().ncols() == w.dim(0)
}
