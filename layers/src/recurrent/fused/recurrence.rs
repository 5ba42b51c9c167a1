//! A recurrence over sequences of unequal length, its gates in panels.
//!
//! The arrays of a step are neighbouring rows ([`Steps`](engine_core::Steps)). A thread owns panels of gates, the same
//! ones at every step: it computes their sums, opens them while they are in its cache, and writes its units' columns of h and c. All threads
//! meet after each step. Going back, it owns panels of units, and the panels of gates that belong to these.

use std::ops::Range;

use engine_core::layer::context::Gradient;
use engine_core::layer::memory::Arrays;
use engine_core::{
    Backward, Forward, Kernel, Lowered, Memory, Packed, Saved, Scalar, Scratch, Shape, State, Step,
    Tensor, Weight,
};
use engine_kernels::lanes::{self, Simd, WithSimd};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

use super::cell::{Cell, Close, Open, share};
use super::over_time::{Span, gather, rows_before, stand_before, sums_gradient, weight_gradient};
use crate::elementwise;

/// A cell run over time, from `x wx + b` on, which is its first port.
#[derive(Debug)]
pub(crate) struct Recurrence<C> {
    pub(super) cell: C,
    wh: Weight,
    /// `wh` for the forward pass, its transpose for the backward pass.
    pub(super) forward: Packed,
    back: Packed,
    /// The gates, later the gradients of their sums, as panels.
    pub(super) gates: Saved,
    /// c after each step, where there is one.
    pub(super) memory: Option<Saved>,
    /// The gradients of h, by panels of units; that of c; the columns of h before each step as rows.
    dh: Scratch,
    dc: Scratch,
    before: Scratch,
    carried_h: State,
    carried_c: Option<State>,
}

/// Ports: the input's part of the sums, and where h and c start.
pub(super) const SUMS: usize = 0;
const H0: usize = 1;
const C0: usize = 2;

impl<C: Cell> Recurrence<C> {
    /// Arrays of panels take on their shape when they are written.
    pub(crate) fn lower(cell: C, memory: &mut Memory<'_>) -> Lowered {
        let over_time = memory.output().clone();
        let units = over_time.last();
        let now = Shape::new([over_time[0], units]);
        let recurrence = Recurrence {
            cell,
            wh: memory.backward_weight("wh"),
            forward: memory.packed("wh", false, C::GATES),
            back: memory.packed("wh", true, C::GATES),
            gates: memory.saved(over_time.with_last(units.times(C::GATES))),
            memory: C::REMEMBERS.then(|| memory.saved(over_time.clone())),
            dh: memory.scratch(now.clone()),
            dc: memory.scratch(now.clone()),
            before: memory.scratch(over_time),
            carried_h: memory.state(now.clone()),
            carried_c: C::REMEMBERS.then(|| memory.state(now)),
        };
        Lowered::new(recurrence).indexed(SUMS).branches()
    }
}

impl<T: Scalar, C: Cell> Kernel<T> for Recurrence<C> {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let start = [cx.inputs.get(H0), cx.inputs.get(C0)];
        self.advance(cx, start);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let inputs = cx.forward.inputs;
        let before = match cx.first {
            true => [inputs.get(H0), inputs.get(C0)],
            false => [Some(&cx.state[self.carried_h]), self.carried_c.map(|c| &cx.state[c])],
        };
        self.advance_once(&mut cx.forward, before, cx.from);
        elementwise::copy(
            cx.state[self.carried_h].as_mut_slice(),
            cx.forward.outputs[0].as_slice(),
        );
        if let (Some(carried), Some(memory)) = (self.carried_c, self.memory) {
            std::mem::swap(&mut cx.state[carried], &mut cx.forward.saved[memory]);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (h, rows) = (&cx.outputs[0], cx.outputs[0].rows().nrows());
        let units = h.rows().ncols();
        let span = Span { steps: cx.sequences, rows };
        self.go_back(cx, span, units);
        let gates = cx.saved[self.gates].as_slice();
        let wh = &cx.packed[self.back];
        if let Some(dh0) = cx.input_gradients.claim(H0) {
            start_gradient(gates, rows, span.at(0), wh, dh0);
        }
        if let Some(dc0) = cx.input_gradients.get(C0) {
            elementwise::add(dc0.as_mut_slice(), cx.scratch[self.dc].as_slice());
        }
        let cut = PanelLayout { length: units * C::GATES, gates: C::GATES };
        if let Some(gradient) = cx.input_gradients.claim(SUMS) {
            sums_gradient(gates, rows, cut, cx.inputs.index(SUMS), gradient);
        }
        let before = |t| rows_before(span, t, h.as_slice(), cx.inputs.get(H0), units);
        let standing = &mut cx.scratch[self.before];
        let depth = stand_before(span, before, units, standing);
        let dwh = cx.parameter_gradients.claim(self.wh);
        weight_gradient((standing, depth), (gates, rows), (cut, 0), dwh);
    }
}

impl<C: Cell> Recurrence<C> {
    /// Runs over time from where h and c start.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>, start: [Option<&Tensor<T>>; 2]) {
        let (sums, index) = (&cx.inputs[SUMS], cx.inputs.index(SUMS));
        let h = &mut cx.outputs[0];
        let (rows, units) = h.rows().dim();
        let span = Span { steps: cx.sequences, rows };
        let cut = PanelLayout { length: units * C::GATES, gates: C::GATES };
        let (gates, memory) = gates_and_memory(&mut cx.saved, self.gates, self.memory);
        gates.reshape(&[cut.panels::<T>(), rows, width::<T>()]);
        let wh = &cx.packed[self.forward];
        for t in 0..span.len() {
            let now = span.at(t);
            let (h_past, h_now) = h.as_mut_slice().split_at_mut(now.start * units);
            let (c_past, c_now) =
                memory.split_at_mut(if C::REMEMBERS { now.start * units } else { 0 });
            let h_before = rows_before(span, t, h_past, start[0], units);
            let c_before = match C::REMEMBERS {
                true => rows_before(span, t, c_past, start[1], units),
                false => None,
            };
            let (h_now, c_now) = (Shared::new(h_now), Shared::new(c_now));
            if h_before.is_some() {
                flops::count_product(now.len(), units, cut.length);
            }
            let panel = rows * width::<T>();
            team::for_each_chunk_mut(gates.as_mut_slice(), panel, |at, gates| {
                let gates = &mut gates[now.start * width::<T>()..now.end * width::<T>()];
                gather(sums, index, now.clone(), cut, at, gates);
                if let Some(before) = h_before {
                    let left = Left::rows(before, units);
                    multiply(left, wh.panel(at), Target::panel(gates), true);
                }
                let first = at * share::<T, C>();
                let columns = first..units.min(first + share::<T, C>());
                let (h, c) = (&h_now, &c_now);
                lanes::widest(OpenRows { cell: self.cell, gates, c_before, units, columns, h, c });
            });
        }
    }

    /// Goes back through time: leaves the gradients of the gates' sums in the gates' place, and that of c before the
    /// first step in that of c.
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>, span: Span<'_>, units: usize) {
        let (h, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        let (gates, memory) = gates_and_memory(&mut cx.saved, self.gates, self.memory);
        let [dh, dc] = cx.scratch.each([self.dh, self.dc]);
        let c = &*memory;
        let width = width::<T>();
        let (sequences, panels) = (span.at(0).len(), units.div_ceil(width));
        dh.reshape(&[panels, sequences, width]);
        dc.fill(T::zero());
        let (gates, dc) = (Shared::new(gates.as_mut_slice()), Shared::new(dc.as_mut_slice()));
        for t in (0..span.len()).rev() {
            let (now, going_on) = (span.at(t), span.going_on(t));
            let c_before = match C::REMEMBERS {
                true => rows_before(span, t, c, cx.inputs.get(C0), units),
                false => None,
            };
            flops::count_product(going_on, units * C::GATES, units);
            let chunk = sequences * width;
            team::for_each_chunk_mut(dh.as_mut_slice(), chunk, |at, dh| {
                let (through, rest) = dh[..now.len() * width].split_at_mut(going_on * width);
                if going_on > 0 {
                    let after = now.end..now.end + going_on;
                    // SAFETY: at this step threads write gates of the step's own rows only, and `after` are those of the
                    // step after it.
                    let left = unsafe { Left::shared_panels(&gates, span.rows, after) };
                    multiply(left, cx.packed[self.back].panel(at), Target::panel(through), false);
                }
                rest.fill(T::zero());
                let columns = at * width..units.min((at + 1) * width);
                lanes::widest(CloseRows {
                    cell: self.cell,
                    gates: &gates,
                    rows: span.rows,
                    now: now.clone(),
                    h,
                    c,
                    c_before,
                    dy,
                    dh: &mut dh[..now.len() * width],
                    dc: &dc,
                    units,
                    columns,
                });
            });
        }
    }
}

/// The gates, and the numbers of c after each step, none without a cell state.
pub(super) fn gates_and_memory<'a, T: Scalar>(
    saved: &'a mut Arrays<'_, T, Saved>,
    gates: Saved,
    memory: Option<Saved>,
) -> (&'a mut Tensor<T>, &'a mut [T]) {
    match memory {
        Some(memory) => {
            let [gates, memory] = saved.each([gates, memory]);
            (gates, memory.as_mut_slice())
        }
        None => (&mut saved[gates], &mut []),
    }
}

/// dh0 = dh0 + (gradients of the first step's sums) wh^T.
fn start_gradient<T: Scalar>(
    gates: &[T],
    rows: usize,
    first: Range<usize>,
    wh: &Panels<T>,
    dh0: Gradient<'_, T>,
) {
    let cut = PanelLayout { length: dh0.array.rows().ncols(), gates: 1 };
    flops::count_product(first.len(), wh.depth(), cut.length);
    let to = Shared::new(dh0.array.as_mut_slice());
    team::for_each(cut.panels::<T>(), |at| {
        let left = Left::panels(gates, rows, first.clone());
        // SAFETY: each call has the columns of a panel of its own.
        let target = unsafe { Target::columns(&to, cut, at) };
        multiply(left, wh.panel(at), target, !dh0.fresh);
    });
}

/// Opens the gates of a panel at every row of a step.
struct OpenRows<'a, C, T> {
    cell: C,
    gates: &'a mut [T],
    c_before: Option<&'a [T]>,
    /// Units of the cell, and those of the panel.
    units: usize,
    columns: Range<usize>,
    h: &'a Shared<'a, T>,
    c: &'a Shared<'a, T>,
}

impl<C: Cell, T: Scalar> WithSimd for OpenRows<'_, C, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let OpenRows { cell, gates, c_before, units, columns, h, c } = self;
        let zeros = [T::zero(); 64];
        for (row, gates) in gates.chunks_exact_mut(width::<T>()).enumerate() {
            let here = row * units + columns.start..row * units + columns.end;
            let nothing = if C::REMEMBERS { here.clone() } else { 0..0 };
            let c_before = match c_before {
                Some(before) => &before[here.clone()],
                None => &zeros[..columns.len()],
            };
            // SAFETY: each panel has units of its own, so nobody else has these columns of any row of h and c.
            let (h, c) = unsafe { (h.part(here), c.part(nothing)) };
            cell.open(simd, gates, Open { c_before, c, h });
        }
    }
}

/// Takes gradients through the gates of a panel of units at every row of a step.
struct CloseRows<'a, C, T> {
    cell: C,
    /// All panels of gates, with so many rows each.
    gates: &'a Shared<'a, T>,
    rows: usize,
    /// The step's rows.
    now: Range<usize>,
    h: &'a [T],
    c: &'a [T],
    c_before: Option<&'a [T]>,
    dy: &'a [T],
    /// What comes from the step after, one row of the panel after the other.
    dh: &'a mut [T],
    dc: &'a Shared<'a, T>,
    /// Units of the cell, and those of the panel.
    units: usize,
    columns: Range<usize>,
}

impl<C: Cell, T: Scalar> WithSimd for CloseRows<'_, C, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let CloseRows { cell, gates, rows, now, h, c, c_before, dy, dh, dc, units, columns } = self;
        let zeros = [T::zero(); 64];
        for (place, (row, dh)) in now.zip(dh.chunks_exact_mut(width::<T>())).enumerate() {
            let of = |row: usize| row * units + columns.start..row * units + columns.end;
            dh.iter_mut().zip(&dy[of(row)]).for_each(|(dh, &dy)| *dh += dy);
            for first in columns.clone().step_by(share::<T, C>()) {
                let last = columns.end.min(first + share::<T, C>());
                let of = |row: usize| row * units + first..row * units + last;
                let memory = |row| if C::REMEMBERS { of(row) } else { 0..0 };
                let panel = (first / share::<T, C>() * rows + row) * width::<T>();
                // SAFETY: each panel of units has panels of gates and columns of dc of its own, and the rows are those of
                // this step, which no product reads at this step.
                let (gates, dc) =
                    unsafe { (gates.part(panel..panel + width::<T>()), dc.part(memory(place))) };
                let c_before = match c_before {
                    Some(before) => &before[of(place)],
                    None => &zeros[..last - first],
                };
                let (h, c) = (&h[of(row)], &c[memory(row)]);
                let dh = &dh[first - columns.start..last - columns.start];
                cell.close(simd, gates, Close { h, c_before, c, dh, dc });
            }
        }
    }
}
