//! The sums of a cell's step over weights in panels: those of [`sums`](crate::sums).

use engine_core::context::Forward;
use engine_kernels::panel_product::{Target, multiply};
use engine_kernels::panels::{Panels, width};
use engine_kernels::shared::Shared;
use engine_core::{Backward, LayerPlan, Packing, Scalar, Tensor};
use engine_kernels::flops;

use super::affine::{cut, fill_columns, for_each_tile, left};
use crate::recurrent::{A, B, WH, WX, X};
use crate::sums::{H, add_parameter_gradients};

/// Packed: wx and wh for the way forward, their transposes for the way back.
const FORWARD: [usize; 2] = [0, 1];
const BACK: [usize; 2] = [2, 3];

/// Asks for the weights in panels.
pub(crate) fn packed(plan: LayerPlan) -> LayerPlan {
    let packing = |parameter, transposed| Packing { parameter, transposed, gates: 1 };
    plan.packed(packing(WX, false))
        .packed(packing(WH, false))
        .packed(packing(WX, true))
        .packed(packing(WH, true))
}

/// a = x wx + h wh + b.
pub(crate) fn forward<T: Scalar>(cx: &mut Forward<'_, T>, bias: bool) {
    let factors = [X, H].map(|at| (&cx.inputs[at], &cx.packed[FORWARD[at]]));
    let start = if bias { Start::Row(cx.parameters[B].as_slice()) } else { Start::Zero };
    products(factors, start, &mut cx.saved[A]);
}

/// The gradients of [`forward`], given da.
pub(crate) fn backward<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let da = &cx.saved[A];
    for port in [X, H] {
        if let Some(gradient) = cx.input_gradients.claim(port) {
            let start = if gradient.fresh { Start::Zero } else { Start::There };
            products([(da, &cx.packed[BACK[port]])], start, gradient.array);
        }
    }
    add_parameter_gradients(cx, bias);
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
