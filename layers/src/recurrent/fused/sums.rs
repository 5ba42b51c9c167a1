//! The sums of a cell's step over weights in panels: those of [`sums`](crate::sums).

use engine_core::{Backward, Forward, Memory, Packed, Scalar};

use crate::linear::panels::{Start, products};
use crate::recurrent::shared::X;
use crate::recurrent::sums::{H, Sums, add_parameter_gradients};

/// The weights in panels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PanelSums {
    pub(crate) sums: Sums,
    /// wx and wh for the forward pass, their transposes for the backward pass.
    forward: [Packed; 2],
    back: [Packed; 2],
}

impl PanelSums {
    pub(crate) fn of(sums: Sums, memory: &mut Memory<'_>) -> Self {
        let mut packed = |transposed| ["wx", "wh"].map(|w| memory.packed(w, transposed, 1));
        let (forward, back) = (packed(false), packed(true));
        PanelSums { sums, forward, back }
    }

    /// a = x wx + h wh + b.
    pub(crate) fn forward<T: Scalar>(&self, cx: &mut Forward<'_, T>) {
        let factors = [X, H].map(|at| (&cx.inputs[at], &cx.packed[self.forward[at]]));
        let start = match self.sums.b {
            Some(b) => Start::Row(cx.parameters[b].as_slice()),
            None => Start::Zero,
        };
        products(factors, start, &mut cx.saved[self.sums.a]);
    }

    /// The gradients of [`forward`](Self::forward), given da.
    pub(crate) fn backward<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let da = &cx.saved[self.sums.a];
        for port in [X, H] {
            if let Some(gradient) = cx.input_gradients.claim(port) {
                let start = if gradient.fresh { Start::Zero } else { Start::There };
                products([(da, &cx.packed[self.back[port]])], start, gradient.array);
            }
        }
        add_parameter_gradients(&self.sums, cx);
    }
}
