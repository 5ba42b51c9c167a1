//! The sums of a cell's step over weights in panels: those of [`sums`](crate::sums).

use engine_core::{Backward, Forward, Memory, Packed, Scalar, Tensor};
use engine_kernels::flops;
use engine_kernels::panel_product::{Target, multiply};
use engine_kernels::panels::{Panels, width};
use engine_kernels::shared::Shared;

use crate::linear::panels::{cut, fill_columns, for_each_tile, left};
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

/// What a sum of products begins with.
#[derive(Clone, Copy)]
enum Start<'a, T> {
    Zero,
    /// The same in every row.
    Row(&'a [T]),
    /// What the result's array holds.
    There,
}

/// y = start + the sum of all x w. A panel of a transpose has zeros beyond the matrix's last row, which x has no use for.
fn products<T: Scalar, const N: usize>(
    factors: [(&Tensor<T>, &Panels<T>); N],
    start: Start<'_, T>,
    y: &mut Tensor<T>,
) {
    let (rows, cut) = (y.rows().nrows(), cut(y));
    for (x, _) in factors {
        flops::count_product(rows, x.rows().ncols(), cut.length);
    }
    let y = Shared::new(y.as_mut_slice());
    for_each_tile::<T>(rows, cut, |rows, at| {
        let mut adds = !matches!(start, Start::Zero);
        if let Start::Row(b) = start {
            fill_columns(&y, rows.clone(), cut, at, b);
        }
        for (x, w) in factors {
            // SAFETY: each call has a tile of its own, and takes it for one product at a time.
            let target = unsafe { Target::block(&y, rows.clone(), cut, at) };
            let panel = &w.panel(at)[..x.rows().ncols() * width::<T>()];
            multiply(left(x, rows.clone()), panel, target, adds);
            adds = true;
        }
    });
}
