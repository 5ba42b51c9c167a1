//! A cell over arrays in the batch's own order, one step after the other: the mathematics as it is written.
//!
//! One step by itself is a time of length 1 that begins at the states at the ports.

use engine_core::{
    Backward, Dim, Forward, GradientRequest, Kernel, Memory, PackedSequence, Saved, Scalar,
    Scratch, Sequences, Shape, State, Step, Tensor, Weight,
};
use engine_kernels::gemm::add_product;
use engine_kernels::lanes;
use engine_kernels::matrix::MatrixMut;
use engine_kernels::team;
use ndarray::Axis;

use super::cell::{Candidate, Cell};
use super::input::Input;
use super::rows::{BackwardRows, FilterBackwardRows, FilterRows, ForwardRows, RowsBefore};
use super::steps::{at_step, at_step_mut, before, split_at_step, start_rows};
use super::weights::Weights;
use crate::elementwise::{self, rows_a_piece};
use crate::linear::map;

/// The ports of the state before the first step.
pub(super) const H: usize = 1;
pub(super) const C: usize = 2;

/// A cell run over time, or one step of it.
#[derive(Debug)]
pub(super) struct Plain<C, const GATES: usize> {
    cell: C,
    input: Input,
    wh: Weights,
    bn: Option<Weight>,
    /// Preactivations, then gates, then the gradients of preactivations.
    gates: Saved,
    /// What the first gate lets through, or the product of the last gate that is apart.
    kept: Option<Saved>,
    /// c after each step, where it is no output.
    c: Option<Saved>,
    over_time: Option<OverTime>,
    /// Room for products with `wh`.
    products: Scratch,
    dh: Scratch,
    dc: Option<Scratch>,
    /// The gradients of the first gate's value and of what it lets through.
    dfilter: Option<Scratch>,
    dfiltered: Option<Scratch>,
}

/// What one step by itself does not need.
#[derive(Debug)]
struct OverTime {
    /// h before each step.
    before: Saved,
    /// The transpose of `wh`.
    transpose: Scratch,
    h: State,
    c: Option<State>,
}

impl<C: Cell<GATES>, const GATES: usize> Plain<C, GATES> {
    /// The cell over time.
    pub(super) fn over_time(
        (cell, input, wh, bn): (C, Input, Weights, Option<Weight>),
        units: Dim,
        memory: &mut Memory<'_>,
    ) -> Self {
        let now = Shape::new([memory.output()[0], units]);
        let over_time = OverTime {
            before: memory.saved(memory.output().clone()),
            transpose: memory.scratch([units.times(GATES), units]),
            h: memory.state(now.clone()),
            c: C::HAS_CELL_STATE.then(|| memory.state(now.clone())),
        };
        let c = C::HAS_CELL_STATE.then(|| memory.saved(memory.output().clone()));
        let plain = Self::one_step((cell, input, wh, bn), now, memory);
        Plain { c, over_time: Some(over_time), ..plain }
    }

    /// One step of it; `now` is the shape of one step's state.
    pub(super) fn one_step(
        (cell, input, wh, bn): (C, Input, Weights, Option<Weight>),
        now: Shape,
        memory: &mut Memory<'_>,
    ) -> Self {
        let (output, wide) = (memory.output().clone(), now.last().times(GATES));
        let (candidate, filtered) = (cell.candidate(), cell.candidate() == Candidate::Filtered);
        Plain {
            cell,
            input,
            wh,
            bn,
            gates: memory.saved(output.with_last(wide)),
            kept: (candidate != Candidate::State).then(|| memory.saved(output)),
            c: None,
            over_time: None,
            products: memory.scratch(now.with_last(wide)),
            dh: memory.scratch(now.clone()),
            dc: C::HAS_CELL_STATE.then(|| memory.scratch(now.clone())),
            dfilter: filtered.then(|| memory.scratch(now.clone())),
            dfiltered: filtered.then(|| memory.scratch(now)),
        }
    }

    fn sequences<'a, T: Scalar>(
        &self,
        h: &Tensor<T>,
        packed: Option<&'a PackedSequence>,
    ) -> Sequences<'a> {
        match self.over_time {
            Some(_) => Sequences::of(h, packed),
            None => Sequences::Padded { count: h.rows().nrows(), steps: 1 },
        }
    }

    /// The columns of `wh` that are multiplied by the state as part of preactivations.
    fn direct(&self, units: usize) -> usize {
        (GATES - usize::from(self.cell.candidate() != Candidate::State)) * units
    }

    /// Runs over time from where h and c start, on the input's part of preactivations.
    fn advance<T: Scalar>(&self, cx: &mut Forward<'_, T>, start: [Option<&Tensor<T>>; 2]) {
        let Some((h, others)) = cx.outputs.split_first_mut() else { return };
        let (cell, candidate, units) = (self.cell, self.cell.candidate(), h.rows().ncols());
        let (direct, wide, piece) = (self.direct(units), GATES * units, rows_a_piece(units));
        let sequences = self.sequences(h, cx.sequences);
        let copy = self.over_time.as_ref().map(|own| own.before);
        let ([gates], [mut kept, c, mut copy]) =
            cx.saved.each_and([self.gates], [self.kept, self.c, copy]);
        let mut c = c.or(others.first_mut());
        let products = &mut cx.scratch[self.products];
        let wh = self.wh.of(&cx.parameters, &cx.packed);
        let bn = self.bn.map(|bn| cx.parameters[bn].as_slice());
        for step in 0..sequences.steps() {
            let now = sequences.at(step);
            let (h_before, h) = split_at_step(h.as_mut_slice(), units, sequences, step);
            let c = c.as_mut().map(|c| split_at_step(c.as_mut_slice(), units, sequences, step));
            let (c_before, c) = c.map_or((None, None), |(before, c)| (before, Some(c)));
            let [h0, c0] = start.map(|start| start.map(|start| start_rows(start, now.count)));
            let before = RowsBefore { h: h_before.or(h0), c: c_before.or(c0) };
            if let Some(copy) = &mut copy {
                let mut copy = at_step_mut(copy.as_mut_slice(), units, now);
                for (row, copy) in copy.rows_mut().enumerate() {
                    match before.h {
                        Some(h) => copy.copy_from_slice(h.row(row)),
                        None => copy.fill(T::zero()),
                    }
                }
            }
            let mut gates = at_step_mut(gates.as_mut_slice(), wide, now);
            let mut kept = kept.as_mut().map(|kept| at_step_mut(kept.as_mut_slice(), units, now));
            if let Some(h) = before.h {
                wh.multiply_add(h, 0..direct, gates.block(0..now.count, 0..direct), products);
            }
            match (candidate, &mut kept, before.h) {
                (Candidate::Apart, Some(product), Some(h)) => {
                    wh.multiply(h, direct..wide, product.reborrow());
                }
                (Candidate::Apart, Some(product), None) => {
                    product.rows_mut().for_each(|row| row.fill(T::zero()));
                }
                (Candidate::Filtered, Some(filtered), h) => {
                    let gate = gates.block(0..now.count, 0..units).row_blocks(piece);
                    let blocks = (gate, filtered.reborrow().row_blocks(piece));
                    team::for_each_disjoint(blocks, |at, (gate, filtered)| {
                        let rows = at * piece..at * piece + gate.rows();
                        let h_before = before.rows(rows).h;
                        lanes::widest(FilterRows { gate, h_before, from: None, filtered });
                    });
                    if h.is_some() {
                        let last = gates.block(0..now.count, direct..wide);
                        wh.multiply_add(filtered.as_ref(), direct..wide, last, products);
                    }
                }
                _ => {}
            }
            let product = kept.filter(|_| candidate == Candidate::Apart);
            let gates = (gates.row_blocks(piece), product.map(|x| x.row_blocks(piece)));
            let state = (h.row_blocks(piece), c.map(|c| c.row_blocks(piece)));
            team::for_each_disjoint((gates, state), |at, ((gates, product), (h, c))| {
                let before = before.rows(at * piece..at * piece + h.rows());
                let gates = split_gates(gates, units);
                lanes::widest(ForwardRows { cell, gates, product, bn, before, from: None, h, c });
            });
        }
    }

    /// Goes back through time: leaves the gradients of preactivations in the gates' place, that of a product that is apart
    /// in its place, and adds those of where h and c start.
    fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let (h, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        let (cell, candidate, units) =
            (self.cell, self.cell.candidate(), cx.outputs[0].rows().ncols());
        let (direct, wide, piece) = (self.direct(units), GATES * units, rows_a_piece(units));
        let sequences = self.sequences(&cx.outputs[0], cx.sequences);
        let (copy, transpose) = match &self.over_time {
            Some(own) => (Some(own.before), Some(own.transpose)),
            None => (None, None),
        };
        let ([gates], [mut kept, c, copy]) =
            cx.saved.each_and([self.gates], [self.kept, self.c, copy]);
        let c = c.map(|c| &*c).or(cx.outputs.get(1)).map(Tensor::as_slice);
        let h_before = copy.map(|copy| &*copy).or(cx.inputs.get(H));
        let h_before = h_before.map(Tensor::as_slice).unwrap_or_default();
        let ([dh], [mut dc, mut dfilter, mut dfiltered, transpose]) =
            cx.scratch.each_and([self.dh], [self.dc, self.dfilter, self.dfiltered, transpose]);
        let wh = self.wh.of(&cx.parameters, &cx.packed).with_transpose(transpose);
        dh.fill(T::zero());
        if let Some(dc) = &mut dc {
            match cx.output_gradients.get(1) {
                Some(gradient) => elementwise::copy(dc.as_mut_slice(), gradient.as_slice()),
                None => dc.fill(T::zero()),
            }
        }
        for step in (0..sequences.steps()).rev() {
            let now = sequences.at(step);
            let before = RowsBefore {
                h: Some(at_step(h_before, units, now)),
                c: c.and_then(|c| before(c, sequences, step, cx.inputs.get(C), units)),
            };
            let (h, dy) = (at_step(h, units, now), at_step(dy, units, now));
            let c = c.map(|c| at_step(c, units, now));
            let mut gates = at_step_mut(gates.as_mut_slice(), wide, now);
            let product = kept.as_mut().filter(|_| candidate == Candidate::Apart);
            let mut product = product.map(|x| at_step_mut(x.as_mut_slice(), units, now));
            let mut dh = first_rows(dh, now.count);
            let mut dfilter = dfilter.as_mut().map(|x| first_rows(x, now.count));
            let arrays = (
                (
                    gates.reborrow().row_blocks(piece),
                    product.as_mut().map(|x| x.reborrow().row_blocks(piece)),
                ),
                (
                    dh.reborrow().row_blocks(piece),
                    (
                        dc.as_mut().map(|x| first_rows(x, now.count).row_blocks(piece)),
                        dfilter.as_mut().map(|x| x.reborrow().row_blocks(piece)),
                    ),
                ),
            );
            team::for_each_disjoint(arrays, |at, ((gates, product), (dh, (dc, filter)))| {
                let rows = at * piece..at * piece + dh.rows();
                lanes::widest(BackwardRows {
                    cell,
                    gates: split_gates(gates, units),
                    product,
                    filter,
                    before: before.rows(rows.clone()),
                    h: h.block(rows.clone(), 0..units),
                    c: c.map(|c| c.block(rows.clone(), 0..units)),
                    dy: dy.block(rows.clone(), 0..units),
                    dh,
                    dc,
                });
            });
            if let (Some(filter), Some(dfiltered)) = (dfilter, &mut dfiltered) {
                let mut dfiltered = first_rows(dfiltered, now.count);
                let last = gates.block(0..now.count, direct..wide);
                wh.multiply_transposed(last.as_ref(), direct..wide, dfiltered.reborrow(), false);
                let gate = gates.block(0..now.count, 0..units).row_blocks(piece);
                let d = (filter.row_blocks(piece), dfiltered.row_blocks(piece));
                let arrays = (gate, dh.reborrow().row_blocks(piece), d);
                team::for_each_disjoint(arrays, |at, (gate, dh, (filter, filtered))| {
                    let rows = at * piece..at * piece + dh.rows();
                    let h_before = before.rows(rows).h;
                    lanes::widest(FilterBackwardRows { gate, filter, h_before, filtered, dh });
                });
            }
            let da = gates.block(0..now.count, 0..direct);
            wh.multiply_transposed(da.as_ref(), 0..direct, dh.reborrow(), true);
            if let Some(product) = product {
                wh.multiply_transposed(product.as_ref(), direct..wide, dh, true);
            }
        }
        for (port, gradient) in [(H, Some(&*dh)), (C, dc.as_deref())] {
            if let (Some(gradient), Some(to)) = (gradient, cx.input_gradients.get(port)) {
                elementwise::add(to.as_mut_slice(), gradient.as_slice());
            }
        }
    }

    /// The gradients of `wh` and `bn`, over all steps at once.
    fn add_weight_gradients<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let units = cx.outputs[0].rows().ncols();
        let direct = self.direct(units);
        let before = match &self.over_time {
            Some(own) => cx.saved[own.before].rows(),
            None => cx.inputs[H].rows(),
        };
        let da = cx.saved[self.gates].rows();
        let dwh = &mut cx.parameter_gradients[self.wh.stored];
        let (dwh, dwh_last) = dwh.rows_mut().split_at(Axis(1), direct);
        add_product(before.reversed_axes(), da.slice_axis(Axis(1), (..direct).into()), dwh);
        let Some(kept) = self.kept.map(|kept| &cx.saved[kept]) else { return };
        match self.cell.candidate() {
            Candidate::Filtered => {
                add_product(
                    kept.rows().reversed_axes(),
                    da.slice_axis(Axis(1), (direct..).into()),
                    dwh_last,
                );
            }
            _ => add_product(before.reversed_axes(), kept.rows(), dwh_last),
        }
        if let Some(bn) = self.bn {
            map::add_bias_gradient(kept, &mut cx.parameter_gradients[bn]);
        }
    }
}

impl<T: Scalar, C: Cell<GATES>, const GATES: usize> Kernel<T> for Plain<C, GATES> {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.input.forward(cx, self.gates);
        let start = [H, C].map(|port| cx.inputs.get(port));
        self.advance(cx, start);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        let Some(own) = &self.over_time else { return self.forward(&mut cx.forward) };
        let (inputs, first) = (cx.forward.inputs, cx.first);
        self.input.forward(&mut cx.forward, self.gates);
        let before = match first {
            true => [H, C].map(|port| inputs.get(port)),
            false => [Some(&cx.state[own.h]), own.c.map(|c| &cx.state[c])],
        };
        self.advance(&mut cx.forward, before);
        elementwise::copy(cx.state[own.h].as_mut_slice(), cx.forward.outputs[0].as_slice());
        if let (Some(to), Some(c)) = (own.c, self.c) {
            elementwise::copy(cx.state[to].as_mut_slice(), cx.forward.saved[c].as_slice());
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if cx.requested != GradientRequest::Parameters {
            self.go_back(cx);
        }
        self.input.backward(cx, self.gates);
        if cx.requested != GradientRequest::Inputs {
            self.add_weight_gradients(cx);
        }
    }
}

/// The first rows of an array.
fn first_rows<T: Scalar>(array: &mut Tensor<T>, count: usize) -> MatrixMut<'_, T> {
    let width = array.rows().ncols();
    MatrixMut::new(array.as_mut_slice(), width).into_rows(0..count)
}

/// The columns of each gate.
fn split_gates<T, const GATES: usize>(
    gates: MatrixMut<'_, T>,
    units: usize,
) -> [MatrixMut<'_, T>; GATES] {
    let mut rest = Some(gates);
    std::array::from_fn(|_| {
        let all = rest.take().expect("as many columns as gates have");
        let (gate, others) = all.split_at_column(units);
        rest = Some(others);
        gate
    })
}
