//! One step of a recurrence, as sentences are written.
//!
//! As in [`recurrence`](super::recurrence), a thread owns panels of gates. Several sequences can go on from one state,
//! which is multiplied once for all of them: where a search follows three continuations of each sentence, about half of
//! the products are spared.

use engine_core::{Forward, Scalar, Tensor};
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

use super::cell::{Cell, Open, share};
use super::recurrence::{Recurrence, SUMS, gates_and_memory};

impl<C: Cell> Recurrence<C> {
    /// Makes one step, from h and c before it; `from` says which of their rows each sequence goes on from. A row is
    /// multiplied once, however many go on from it, so the input's part of the sums comes last.
    pub(super) fn advance_once<T: Scalar>(
        &self,
        cx: &mut Forward<'_, T>,
        before: [Option<&Tensor<T>>; 2],
        from: Option<&[usize]>,
    ) {
        let (sums, index) = (&cx.inputs[SUMS], cx.inputs.index(SUMS));
        let h = &mut cx.outputs[0];
        let (rows, units) = h.rows().dim();
        let cut = PanelLayout { length: units * C::GATES, gates: C::GATES };
        let (gates, c) = gates_and_memory(&mut cx.saved, self.gates, self.memory);
        gates.reshape(&[cut.panels::<T>(), rows, width::<T>()]);
        let wh = &cx.packed[self.forward];
        let stems = from.map_or(rows, |from| from.iter().max().map_or(0, |last| last + 1));
        let [h_before, c_before] = before.map(|x| x.map(|x| &x.as_slice()[..stems * units]));
        let (h_now, c_now) = (Shared::new(h.as_mut_slice()), Shared::new(c));
        if h_before.is_some() {
            flops::count_product(stems, units, cut.length);
        }
        team::for_each_chunk_mut(gates.as_mut_slice(), rows * width::<T>(), |at, gates| {
            let products = &mut gates[..stems * width::<T>()];
            match h_before {
                Some(h) => {
                    multiply(Left::rows(h, units), wh.panel(at), Target::panel(products), false);
                }
                None => products.fill(T::zero()),
            }
            let (sums, h, c) = (sums.as_slice(), &h_now, &c_now);
            lanes::widest(StepRows {
                cell: self.cell,
                gates,
                from,
                sums,
                index,
                cut,
                panel: at,
                c_before,
                h,
                c,
            });
        });
    }
}

/// Makes the step of a panel at every row, from the products of the state: each row takes the product that it goes on
/// from, adds the input's part and opens its gates.
struct StepRows<'a, C, T> {
    cell: C,
    /// The products, then the gates.
    gates: &'a mut [T],
    from: Option<&'a [usize]>,
    sums: &'a [T],
    index: Option<&'a [u32]>,
    cut: PanelLayout,
    panel: usize,
    c_before: Option<&'a [T]>,
    h: &'a Shared<'a, T>,
    c: &'a Shared<'a, T>,
}

impl<C: Cell, T: Scalar> WithSimd for StepRows<'_, C, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let StepRows { cell, gates, from, sums, index, cut, panel, c_before, h, c } = self;
        let (lanes, width, units) = (T::lanes(simd), width::<T>(), cut.units());
        let first = panel * share::<T, C>();
        let columns = first..units.min(first + share::<T, C>());
        let zeros = [T::zero(); 64];
        // A row goes on from itself or from one before it, so that from the last to the first no product is lost.
        for row in (0..gates.len() / width).rev() {
            let stem = match from {
                Some(from) => from[row],
                None => row,
            };
            if stem != row {
                gates.copy_within(stem * width..(stem + 1) * width, row * width);
            }
            let gates = &mut gates[row * width..(row + 1) * width];
            let input = match index {
                Some(index) => index[row] as usize,
                None => row,
            };
            let input = &sums[input * cut.length..][..cut.length];
            for (place, source, length) in cut.pieces::<T>(panel) {
                for at in (0..length).step_by(lanes) {
                    let to = &mut gates[place..][at..length];
                    let x = T::load_part(simd, &input[source..][at..length]);
                    let sum = <T as Lanes>::add(simd, T::load_part(simd, to), x);
                    T::store_part(simd, to, sum);
                }
            }
            let of = |row: usize| row * units + columns.start..row * units + columns.end;
            let nothing = if C::REMEMBERS { of(row) } else { 0..0 };
            let c_before = match c_before {
                Some(before) => &before[of(stem)],
                None => &zeros[..columns.len()],
            };
            // SAFETY: each panel has units of its own, so nobody else has these columns of any row of h and c.
            let (h, c) = unsafe { (h.part(of(row)), c.part(nothing)) };
            cell.open(simd, gates, Open { c_before, c, h });
        }
    }
}
