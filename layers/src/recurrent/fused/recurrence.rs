//! A recurrence over sequences of unequal length, its gates in panels.
//!
//! The arrays of a step are neighbouring rows ([`Steps`](engine_core::Steps)). A thread owns panels of gates, the same
//! ones at every step: it computes their sums, opens them while they are in its cache, and writes its units' columns of h and c. All threads
//! meet after each step. Going back, it owns panels of units, and the panels of gates that belong to these.

use std::ops::Range;

use engine_core::context::{Forward, Gradient};
use engine_kernels::lanes::{self, Simd, WithSimd};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::shared::Shared;
use engine_core::{Backward, Dim, Kernel, LayerPlan, Packing, Reach, Scalar, Shape, Step, Tensor};
use engine_kernels::{flops, team};

use super::cell::{Cell, Close, Open, share};
use super::over_time::{Span, gather, rows_before, stand_before, sums_gradient, weight_gradient};
use crate::elementwise;

/// A cell run over time, from `x wx + b` on: its first port is that, its only parameter `wh`.
#[derive(Debug)]
pub(crate) struct Recurrence<C> {
    pub(super) cell: C,
}

/// Ports: the input's part of the sums, and where h and c start.
pub(super) const SUMS: usize = 0;
const H0: usize = 1;
const C0: usize = 2;

const WH: usize = 0;

/// Packed: `wh` for the way forward, its transpose for the way back.
pub(super) const FORWARD: usize = 0;
const BACK: usize = 1;

/// Saved: the gates, later the gradients of their sums, as panels; c after each step, where there is one.
const GATES: usize = 0;
const MEMORY: usize = 1;

/// Scratch: the gradients of h, by panels of units, come first; then that of c, and h before each step, standing.
const DC: usize = 1;
const BEFORE: usize = 2;

/// State: h and c.
const H: usize = 0;
const C: usize = 1;

impl<C: Cell> Recurrence<C> {
    pub(crate) fn new(cell: C) -> Self {
        Recurrence { cell }
    }

    /// The memory that it takes. Arrays of panels take on their shape when they are written.
    pub(crate) fn plan(over_time: &Shape, units: Dim) -> LayerPlan {
        let now = Shape::new([over_time[0], units]);
        let packing = Packing { parameter: WH, transposed: false, gates: C::GATES };
        let plan = LayerPlan::output(over_time.clone())
            .saved(over_time.with_last(units.times(C::GATES)))
            .scratch(now.clone())
            .scratch(now.clone())
            .scratch(over_time.clone())
            .state(now.clone())
            .packed(packing)
            .packed(Packing { transposed: true, ..packing })
            .indexed(SUMS)
            .branches()
            .starts(H0)
            .starts(C0)
            .reach(Reach::Past);
        if C::REMEMBERS { plan.saved(over_time.clone()).state(now) } else { plan }
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
            false => [Some(&cx.state[H]), cx.state.get(C)],
        };
        self.advance_once(&mut cx.forward, before, cx.from);
        elementwise::copy(cx.state[H].as_mut_slice(), cx.forward.outputs[0].as_slice());
        if C::REMEMBERS {
            std::mem::swap(&mut cx.state[C], &mut cx.forward.saved[MEMORY]);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (h, rows) = (&cx.outputs[0], cx.outputs[0].rows().nrows());
        let units = h.rows().ncols();
        let span = Span { steps: cx.steps, rows };
        self.go_back(cx, span, units);
        let gates = cx.saved[GATES].as_slice();
        let wh = &cx.packed[BACK];
        if let Some(dh0) = cx.input_gradients.claim(H0) {
            start_gradient(gates, rows, span.at(0), wh, dh0);
        }
        if let Some(dc0) = cx.input_gradients.get(C0) {
            elementwise::add(dc0.as_mut_slice(), cx.scratch[DC].as_slice());
        }
        let cut = PanelLayout { length: units * C::GATES, gates: C::GATES };
        if let Some(gradient) = cx.input_gradients.claim(SUMS) {
            sums_gradient(gates, rows, cut, cx.inputs.index(SUMS), gradient);
        }
        let before = |t| rows_before(span, t, h.as_slice(), cx.inputs.get(H0), units);
        let standing = &mut cx.scratch[BEFORE];
        let depth = stand_before(span, before, units, standing);
        let dwh = cx.parameter_gradients.claim(WH);
        weight_gradient((standing, depth), (gates, rows), (cut, 0), dwh);
    }
}

impl<C: Cell> Recurrence<C> {
    /// Runs over time from where h and c start.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>, start: [Option<&Tensor<T>>; 2]) {
        let (sums, index) = (&cx.inputs[SUMS], cx.inputs.index(SUMS));
        let h = &mut cx.outputs[0];
        let (rows, units) = h.rows().dim();
        let span = Span { steps: cx.steps, rows };
        let cut = PanelLayout { length: units * C::GATES, gates: C::GATES };
        let [gates, memory @ ..] = &mut *cx.saved else { unreachable!("as planned") };
        gates.reshape(&[cut.panels::<T>(), rows, width::<T>()]);
        let memory = memory.first_mut().map(Tensor::as_mut_slice).unwrap_or_default();
        let wh = &cx.packed[FORWARD];
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
        let [gates, memory @ ..] = &mut *cx.saved else { unreachable!("as planned") };
        let [dh, dc, ..] = &mut *cx.scratch else { unreachable!("as planned") };
        let c = memory.first().map(Tensor::as_slice).unwrap_or_default();
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
                    multiply(left, cx.packed[BACK].panel(at), Target::panel(through), false);
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
