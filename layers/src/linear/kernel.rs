//! An affine map in all its forms: what layers with such a map are lowered to.

use engine_core::{Backward, Form, Forward, Kernel, Lowered, Memory, Scalar, Weight, WeightOrder};

use super::gradients::{add_parameter_gradients, rows, rows_mut};
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
