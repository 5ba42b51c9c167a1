//! The gated recurrent unit over sequences of unequal length, its gates in panels.
//!
//! As in [`recurrence`](super::recurrence), the arrays of a step are neighbouring rows, and a thread owns the same panels
//! at every step. Here each gate has panels of its own: those of r first, then those of z, then those of n. A panel of
//! units has its three gates in panels that are equally far into these.
//!
//! With `reset: Before`, n waits for the state that r lets through, so that threads meet twice a step.

use std::ops::Range;

use engine_core::layer::context::Gradient;
use engine_core::{
    Backward, Forward, Kernel, Lowered, Memory, Packed, Saved, Scalar, Scratch, Shape, State, Step,
    Tensor, Weight,
};
use engine_kernels::lanes;
use engine_kernels::math;
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

use super::gru_gates::{Blend, BlendGradient, LetThrough, LetThroughGradient, ResetAfter};
use super::over_time::{
    Span, bias_gradient, gather, rows_before, stand_before, sums_gradient, weight_gradient,
};
use crate::recurrent::gru::Reset;

/// The GRU from `x wx + b` on, which is its first port.
#[derive(Debug)]
pub(crate) struct GatedRecurrence {
    wh: Weight,
    /// The bias of the recurrent product of n, with `reset: After`.
    bn: Option<Weight>,
    /// `wh` for the forward pass, its transpose for the backward pass.
    forward: Packed,
    back: Packed,
    /// The gates, later the gradients of their sums, as panels.
    a: Saved,
    /// What r works on: `r * h` before each step, row by row (`Before`), or `h wh_n + bn`, later its gradient, as panels
    /// (`After`).
    seen: Saved,
    /// The gradients of h and of `r * h`, by panels of units; the columns of h before each step as rows.
    dh: Scratch,
    dseen: Scratch,
    before: Scratch,
    carried: State,
    reset: Reset,
}

/// Ports: the input's part of the sums, and where h starts.
const SUMS: usize = 0;
const H0: usize = 1;

const GATES: usize = 3;

impl GatedRecurrence {
    /// Arrays of panels take on their shape when they are written.
    pub(crate) fn lower(reset: Reset, memory: &mut Memory<'_>) -> Lowered {
        let over_time = memory.output().clone();
        let units = over_time.last();
        let now = Shape::new([over_time[0], units]);
        Lowered::new(GatedRecurrence {
            wh: memory.backward_weight("wh"),
            bn: memory.weight_if(reset == Reset::After, "bn"),
            forward: memory.packed("wh", false, GATES),
            back: memory.packed("wh", true, GATES),
            a: memory.saved(over_time.with_last(units.times(GATES))),
            seen: memory.saved(over_time.clone()),
            dh: memory.scratch(now.clone()),
            dseen: memory.scratch(now.clone()),
            before: memory.scratch(over_time),
            carried: memory.state(now),
            reset,
        })
        .indexed(SUMS)
    }
}

impl<T: Scalar> Kernel<T> for GatedRecurrence {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let start = cx.inputs.get(H0);
        self.advance(cx, start);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let start =
            if cx.first { cx.forward.inputs.get(H0) } else { Some(&cx.state[self.carried]) };
        self.advance(&mut cx.forward, start);
        cx.state[self.carried].as_mut_slice().copy_from_slice(cx.forward.outputs[0].as_slice());
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (rows, units) = cx.outputs[0].rows().dim();
        let span = Span { steps: cx.sequences, rows };
        self.go_back(cx, span, units);
        let (a, cut) =
            (cx.saved[self.a].as_slice(), PanelLayout { length: units * GATES, gates: GATES });
        if let Some(gradient) = cx.input_gradients.claim(SUMS) {
            sums_gradient(a, rows, cut, cx.inputs.index(SUMS), gradient);
        }
        self.weight_gradients(cx, span, cut);
        if let Some(bn) = self.bn {
            bias_gradient(cx.saved[self.seen].as_slice(), rows, cx.parameter_gradients.claim(bn));
        }
    }
}

impl GatedRecurrence {
    /// Runs over time from where h starts.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>, start: Option<&Tensor<T>>) {
        let h = &mut cx.outputs[0];
        let (rows, units) = h.rows().dim();
        let span = Span { steps: cx.sequences, rows };
        let panels = units.div_ceil(width::<T>());
        let [a, seen] = cx.saved.each([self.a, self.seen]);
        a.reshape(&[GATES * panels, rows, width::<T>()]);
        if self.reset == Reset::After {
            seen.reshape(&[panels, rows, width::<T>()]);
        }
        let (a, seen) = (Shared::new(a.as_mut_slice()), Shared::new(seen.as_mut_slice()));
        for t in 0..span.len() {
            let now = span.at(t);
            let (past, h) = h.as_mut_slice().split_at_mut(now.start * units);
            let h_before = rows_before(span, t, past, start, units);
            if h_before.is_some() {
                flops::count_product(now.len(), units, GATES * units);
            }
            let step = StepForward {
                sums: &cx.inputs[SUMS],
                index: cx.inputs.index(SUMS),
                wh: &cx.packed[self.forward],
                a: &a,
                seen: &seen,
                h: &Shared::new(h),
                h_before,
                now: now.clone(),
                rows,
                units,
                panels,
            };
            match self.reset {
                Reset::Before => {
                    team::for_each(2 * panels, |panel| step.open_before(panel));
                    let seen_now = now.start * units..now.end * units;
                    // SAFETY: nobody writes what r lets through until the next step.
                    let seen_now = h_before.map(|_| unsafe { &*seen.part(seen_now) });
                    team::for_each(panels, |at| step.blend_before(at, seen_now));
                }
                Reset::After => {
                    let bn = self.bn.map(|bn| cx.parameters[bn].as_slice()).unwrap_or_default();
                    team::for_each(panels, |at| step.blend_after(at, bn));
                }
            }
        }
    }

    /// Goes back through time: leaves the gradients of the gates' sums in the gates' place, with `reset: After` that of
    /// what r works on in its place, and adds that of where h starts.
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>, span: Span<'_>, units: usize) {
        let (h, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        let [a, seen] = cx.saved.each([self.a, self.seen]);
        let [dh, dseen] = cx.scratch.each([self.dh, self.dseen]);
        let (sequences, panels) = (span.at(0).len(), units.div_ceil(width::<T>()));
        dh.reshape(&[panels, sequences, width::<T>()]);
        dseen.reshape(&[panels, sequences, width::<T>()]);
        dh.fill(T::zero());
        let (rz, n) = a.as_mut_slice().split_at_mut(2 * panels * span.rows * width::<T>());
        let way = WayBack {
            reset: self.reset,
            wh: &cx.packed[self.back],
            rz: &Shared::new(rz),
            n: &Shared::new(n),
            seen: &Shared::new(seen.as_mut_slice()),
            rows: span.rows,
            units,
            panels,
        };
        let chunk = sequences * width::<T>();
        for t in (0..span.len()).rev() {
            let (now, going_on) = (span.at(t), span.going_on(t));
            let h_before = rows_before(span, t, h, cx.inputs.get(H0), units);
            let dy = &dy[now.start * units..now.end * units];
            way.count_through(going_on);
            team::for_each_chunk_mut(dh.as_mut_slice(), chunk, |at, dh| {
                way.through(at, now.end..now.end + going_on, dh);
                way.close(at, now.clone(), h_before, dy, dh);
            });
            if self.reset == Reset::Before {
                flops::count_product(now.len(), units, units);
                let arrays = ((dh.as_mut_slice(), chunk), (dseen.as_mut_slice(), chunk));
                team::for_each_chunk_mut2(arrays.0, arrays.1, |at, dh, dseen| {
                    way.close_reset(at, now.clone(), h_before, dh, dseen);
                });
            }
        }
        let Some(Gradient { array, fresh }) = cx.input_gradients.claim(H0) else { return };
        let to = Shared::new(array.as_mut_slice());
        way.count_through(sequences);
        team::for_each_chunk_mut(dh.as_mut_slice(), chunk, |at, dh| {
            way.through(at, span.at(0), dh);
            let columns = columns::<T>(at, units);
            for (row, dh) in dh.chunks_exact(width::<T>()).enumerate() {
                // SAFETY: each call has the columns of a panel of its own.
                let to = unsafe { to.part(row * units + columns.start..row * units + columns.end) };
                match fresh {
                    true => to.copy_from_slice(&dh[..columns.len()]),
                    false => to.iter_mut().zip(dh).for_each(|(to, &dh)| *to += dh),
                }
            }
        });
    }

    /// Adds the gradient of `wh`: for r and z with h before each step, for n with what its product was of.
    fn weight_gradients<T: Scalar>(
        &self,
        cx: &mut Backward<'_, T>,
        span: Span<'_>,
        cut: PanelLayout,
    ) {
        let (units, panels) = (cut.units(), cut.panels::<T>() / GATES);
        let (rz, n) = cx.saved[self.a].as_slice().split_at(2 * panels * span.rows * width::<T>());
        let (h, h0) = (cx.outputs[0].as_slice(), cx.inputs.get(H0));
        let (seen, standing) = (cx.saved[self.seen].as_slice(), &mut cx.scratch[self.before]);
        let Gradient { array, fresh } = cx.parameter_gradients.claim(self.wh);
        let depth = stand_before(span, |t| rows_before(span, t, h, h0, units), units, standing);
        let dwh = Gradient { array: &mut *array, fresh };
        weight_gradient((standing, depth), (rz, span.rows), (cut, 0), dwh);
        let dn = match self.reset {
            Reset::After => seen,
            Reset::Before => {
                let seen_at = |t: usize| {
                    let now = span.at(t);
                    (t > 0 || h0.is_some()).then(|| &seen[now.start * units..now.end * units])
                };
                stand_before(span, seen_at, units, standing);
                n
            }
        };
        let dwh = Gradient { array, fresh };
        weight_gradient((standing, depth), (dn, span.rows), (cut, 2 * panels), dwh);
    }
}

/// The units of panel `at`.
fn columns<T>(at: usize, units: usize) -> Range<usize> {
    at * width::<T>()..units.min((at + 1) * width::<T>())
}

/// Where the rows `rows` of panel `at` lie among panels of `rows_a_panel` rows.
fn place<T>(at: usize, rows_a_panel: usize, rows: &Range<usize>) -> Range<usize> {
    let first = at * rows_a_panel;
    (first + rows.start) * width::<T>()..(first + rows.end) * width::<T>()
}

/// A step forward, whose panels threads compute side by side.
struct StepForward<'a, T> {
    sums: &'a Tensor<T>,
    index: Option<&'a [u32]>,
    wh: &'a Panels<T>,
    /// The panels of all gates, and what r works on.
    a: &'a Shared<'a, T>,
    seen: &'a Shared<'a, T>,
    /// h from this step on.
    h: &'a Shared<'a, T>,
    h_before: Option<&'a [T]>,
    /// The step's rows, and how many there are of all steps.
    now: Range<usize>,
    rows: usize,
    units: usize,
    /// How many panels a gate has.
    panels: usize,
}

impl<T: Scalar> StepForward<'_, T> {
    /// The step's rows of a panel of gates.
    ///
    /// # Safety
    /// As long as the part lives, nobody else has any of them.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    unsafe fn gate(&self, panel: usize) -> &mut [T] {
        // SAFETY: the caller's promise.
        unsafe { self.a.part(place::<T>(panel, self.rows, &self.now)) }
    }

    /// What the input adds to the sums of a panel, and with `left` the product of that and `wh`.
    fn sum(&self, panel: usize, left: Option<&[T]>, to: &mut [T]) {
        let cut = PanelLayout { length: self.units * GATES, gates: GATES };
        gather(self.sums, self.index, self.now.clone(), cut, panel, to);
        if let Some(left) = left {
            let left = Left::rows(left, self.units);
            multiply(left, self.wh.panel(panel), Target::panel(to), true);
        }
    }

    /// `Before`: opens a panel of r or z, and computes `r * h` in the units of one of r.
    fn open_before(&self, panel: usize) {
        // SAFETY: each call has a panel of its own.
        let gate = unsafe { self.gate(panel) };
        self.sum(panel, self.h_before, gate);
        math::sigmoid(gate);
        if let (Some(h_before), true) = (self.h_before, panel < self.panels) {
            let (units, columns) = (self.units, columns::<T>(panel, self.units));
            let rows = self.now.start * units..self.now.end * units;
            lanes::widest(LetThrough { r: gate, h_before, rows, columns, units, seen: self.seen });
        }
    }

    /// `Before`: opens n and computes h for a panel of units, given `r * h` of all units.
    fn blend_before(&self, at: usize, seen: Option<&[T]>) {
        // SAFETY: each call has the gates of units of its own.
        let (z, n) = unsafe { (self.gate(self.panels + at), self.gate(2 * self.panels + at)) };
        self.sum(2 * self.panels + at, seen, n);
        self.blend(at, z, n, None);
    }

    /// `After`: everything for a panel of units.
    fn blend_after(&self, at: usize, bn: &[T]) {
        let of = |gate: usize| gate * self.panels + at;
        // SAFETY: each call has the gates of units of its own, and what r works on likewise.
        let [r, z, n] = unsafe { [self.gate(of(0)), self.gate(of(1)), self.gate(of(2))] };
        // SAFETY: as above.
        let seen = unsafe { self.seen.part(place::<T>(at, self.rows, &self.now)) };
        self.sum(of(0), self.h_before, r);
        self.sum(of(1), self.h_before, z);
        self.sum(of(2), None, n);
        match self.h_before {
            Some(h) => {
                let left = Left::rows(h, self.units);
                multiply(left, self.wh.panel(of(2)), Target::panel(seen), false);
            }
            None => seen.fill(T::zero()),
        }
        let bn = &bn[columns::<T>(at, self.units)];
        self.blend(at, z, n, Some(ResetAfter { r, seen, bn }));
    }

    fn blend(&self, at: usize, z: &mut [T], n: &mut [T], reset: Option<ResetAfter<'_, T>>) {
        let (units, columns) = (self.units, columns::<T>(at, self.units));
        let (h_before, h) = (self.h_before, self.h);
        lanes::widest(Blend { z, n, reset, h_before, h, units, columns });
    }
}

/// What steps back share.
struct WayBack<'a, T> {
    reset: Reset,
    wh: &'a Panels<T>,
    /// The panels of r and z, those of n, and what r works on.
    rz: &'a Shared<'a, T>,
    n: &'a Shared<'a, T>,
    seen: &'a Shared<'a, T>,
    /// How many rows all steps have.
    rows: usize,
    units: usize,
    /// How many panels a gate has.
    panels: usize,
}

impl<T: Scalar> WayBack<'_, T> {
    /// Counts the products that bring gradients of so many rows [`through`](Self::through) sums.
    fn count_through(&self, rows: usize) {
        let blocks = if self.reset == Reset::After { GATES } else { GATES - 1 };
        flops::count_product(rows, blocks * self.units, self.units);
    }

    /// The rows of panel `at` of the transpose of `wh` that belong to r and z, and those that belong to n.
    fn wh(&self, at: usize) -> (&[T], &[T]) {
        self.wh.panel(at).split_at(2 * self.panels * width::<T>() * width::<T>())
    }

    /// Adds to dh what comes to a panel of units through the sums of the step after, whose first rows `after` go on from
    /// the first of this one.
    fn through(&self, at: usize, after: Range<usize>, dh: &mut [T]) {
        let dh = &mut dh[..after.len() * width::<T>()];
        let (wh_rz, wh_n) = self.wh(at);
        // SAFETY: at this time threads write gates of other steps only.
        let left = unsafe { Left::shared_panels(self.rz, self.rows, after.clone()) };
        multiply(left, wh_rz, Target::panel(dh), true);
        if self.reset == Reset::After {
            // SAFETY: as above, and what r works on likewise.
            let left = unsafe { Left::shared_panels(self.seen, self.rows, after) };
            multiply(left, wh_n, Target::panel(dh), true);
        }
    }

    /// Takes gradients through z and n of a panel of units at a step, with `reset: After` through r as well.
    fn close(&self, at: usize, now: Range<usize>, h_before: Option<&[T]>, dy: &[T], dh: &mut [T]) {
        let place = |panel| place::<T>(panel, self.rows, &now);
        // SAFETY: each call has the gates of units of its own, and products read those of other steps only.
        let (z, n) = unsafe { (self.rz.part(place(self.panels + at)), self.n.part(place(at))) };
        let reset = (self.reset == Reset::After).then(|| {
            // SAFETY: as above, and what r works on likewise.
            let (r, seen) = unsafe { (self.rz.part(place(at)), self.seen.part(place(at))) };
            ResetAfter { r, seen, bn: &[] }
        });
        let (units, columns) = (self.units, columns::<T>(at, self.units));
        lanes::widest(BlendGradient { z, n, reset, h_before, dy, dh, units, columns });
    }

    /// `Before`: takes gradients through r of a panel of units at a step. `d` is room for that of `r * h`.
    fn close_reset(
        &self,
        at: usize,
        now: Range<usize>,
        h_before: Option<&[T]>,
        dh: &mut [T],
        d: &mut [T],
    ) {
        let d = &mut d[..now.len() * width::<T>()];
        // SAFETY: each call has a panel of r of its own.
        let r = unsafe { self.rz.part(place::<T>(at, self.rows, &now)) };
        // SAFETY: nobody writes n at this time.
        let left = unsafe { Left::shared_panels(self.n, self.rows, now) };
        multiply(left, self.wh(at).1, Target::panel(d), false);
        let (units, columns) = (self.units, columns::<T>(at, self.units));
        lanes::widest(LetThroughGradient { r, h_before, d, dh, units, columns });
    }
}
