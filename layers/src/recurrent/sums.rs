//! The preactivations of a cell's gates, of one step: a = x wx + h wh + b. A cell's first ports are x and h.

use engine_core::{Backward, Forward, GradientRequest, Memory, Saved, Scalar, Weight};
use engine_kernels::gemm::add_product;

use super::shared::X;
use crate::linear::map;

/// The port of the state before the step.
pub(super) const H: usize = 1;

/// Where the parameters are, and a, in whose place gradients find da.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sums {
    pub(super) wx: Weight,
    pub(super) wh: Weight,
    pub(super) b: Option<Weight>,
    pub(super) a: Saved,
}

impl Sums {
    /// Those of a cell with so many gates; `stored` says whether the forward pass reads weights as they are stored.
    pub(super) fn of(gates: usize, bias: bool, stored: bool, memory: &mut Memory<'_>) -> Self {
        let wide = memory.output().last().times(gates);
        let mut weight = |name| match stored {
            true => memory.weight(name),
            false => memory.backward_weight(name),
        };
        let (wx, wh) = (weight("wx"), weight("wh"));
        let b = memory.weight_if(bias, "b");
        Sums { wx, wh, b, a: memory.saved(memory.output().with_last(wide)) }
    }

    /// a = x wx + h wh + b.
    pub(super) fn forward<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        self.forward_input(cx);
        let wh = cx.parameters[self.wh].rows();
        add_product(cx.inputs[H].rows(), wh, cx.saved[self.a].rows_mut());
    }

    /// a = x wx + b.
    pub(super) fn forward_input<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let b = self.b.map(|b| &cx.parameters[b]);
        map::forward(cx.inputs[X].rows(), &cx.parameters[self.wx], b, &mut cx.saved[self.a]);
    }

    /// The gradients of [`forward`](Self::forward), given da.
    pub(super) fn backward<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let da = &cx.saved[self.a];
        for (port, w) in [(X, self.wx), (H, self.wh)] {
            if let Some(gradient) = cx.input_gradients.get(port) {
                map::add_input_gradient(da, &cx.parameters[w], gradient.rows_mut());
            }
        }
        add_parameter_gradients(self, cx);
    }

    /// The gradients of [`forward_input`](Self::forward_input), given da.
    pub(super) fn backward_input<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        if let Some(dx) = cx.input_gradients.get(X) {
            let (da, wx) = (&cx.saved[self.a], &cx.parameters[self.wx]);
            map::add_input_gradient(da, wx, dx.rows_mut());
        }
        self.add_input_parameter_gradients(cx);
    }

    /// dwx = dwx + x^T da, and db.
    fn add_input_parameter_gradients<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let (da, gradients) = (&cx.saved[self.a], &mut cx.parameter_gradients);
        map::add_weight_gradient(cx.inputs[X].rows(), da, &mut gradients[self.wx]);
        if let Some(b) = self.b {
            map::add_bias_gradient(da, &mut gradients[b]);
        }
    }
}

/// dwx, dwh and db, where they are requested.
pub(super) fn add_parameter_gradients<T: Scalar>(sums: &Sums, cx: &mut Backward<'_, T>) {
    if cx.requested != GradientRequest::Inputs {
        let da = &cx.saved[sums.a];
        map::add_weight_gradient(cx.inputs[H].rows(), da, &mut cx.parameter_gradients[sums.wh]);
        sums.add_input_parameter_gradients(cx);
    }
}
