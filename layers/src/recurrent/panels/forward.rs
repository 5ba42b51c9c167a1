//! The way forward through time.

use std::ops::Range;

use engine_core::{Forward, Scalar, Tensor};
use engine_kernels::matrix::{MatrixMut, UnitBlocks};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::{flops, lanes, team};

use super::input::InputRows;
use super::{PanelRecurrence, sequences};
use crate::recurrent::cell::{Candidate, Cell};
use crate::recurrent::rows::{FilterRows, ForwardRows, RowsBefore};
use crate::recurrent::steps::{split_at_step, start_rows};

/// A step's arrays.
struct Now<'a, T> {
    gates: MatrixMut<'a, T>,
    kept: Option<MatrixMut<'a, T>>,
    h: MatrixMut<'a, T>,
    c: Option<MatrixMut<'a, T>>,
}

/// What threads read at a step.
struct StepForward<'a, C, T> {
    cell: C,
    input: InputRows<'a, T>,
    wh: &'a Panels<T>,
    bn: Option<&'a [T]>,
    layout: PanelLayout,
    /// The step's rows.
    rows: Range<usize>,
    before: RowsBefore<'a, T>,
    /// How rows continue those before, where one may be continued several times.
    branches: Option<Branches<'a>>,
}

/// Which row of the state before each row continues, its own if nothing says otherwise.
///
/// A row is multiplied once, however many continue it, so that the input's part of preactivations comes last: where a
/// search follows three continuations of each sentence, about half of the products are spared.
#[derive(Clone, Copy)]
struct Branches<'a> {
    from: Option<&'a [usize]>,
}

impl Branches<'_> {
    /// How many rows of the state before are continued.
    fn stems(self, rows: usize) -> usize {
        self.from.map_or(rows, |from| from.iter().max().map_or(0, |last| last + 1))
    }
}

impl<C: Cell<GATES>, const GATES: usize> PanelRecurrence<C, GATES> {
    /// Runs over time from where h and c start. A single step may continue rows of them several times: `step` says which.
    pub(super) fn advance<T: Scalar>(
        &self,
        cx: &mut Forward<'_, T>,
        start: [Option<&Tensor<T>>; 2],
        step: Option<Option<&[usize]>>,
    ) {
        let h = &mut cx.outputs[0];
        let sequences = sequences(h, cx.sequences);
        let ((rows, units), width) = (h.rows().dim(), width::<T>());
        let layout = Self::layout(units);
        let apart = self.cell.candidate() == Candidate::Apart;
        let ([gates], [mut kept, mut c]) = cx.saved.each_and([self.gates], [self.kept, self.c]);
        gates.reshape(&[layout.panels::<T>(), rows, width]);
        if let Some(product) = kept.as_deref_mut().filter(|_| apart) {
            product.reshape(&[layout.panels::<T>() / GATES, rows, width]);
        }
        let branches = step.map(|from| Branches { from });
        for t in 0..sequences.steps() {
            let now = sequences.at(t).range();
            let panels = now.start * width..now.end * width;
            let (h_before, h) = split_at_step(h.as_mut_slice(), units, sequences, t);
            let c = c.as_mut().map(|c| split_at_step(c.as_mut_slice(), units, sequences, t));
            let (c_before, c) = c.map_or((None, None), |(before, c)| (before, Some(c)));
            let stems = branches.map_or(now.len(), |branches| branches.stems(rows));
            let [h0, c0] = start.map(|start| start.map(|start| start_rows(start, stems)));
            let kept = kept.as_mut().map(|kept| match apart {
                true => {
                    MatrixMut::new(kept.as_mut_slice(), rows * width).into_columns(panels.clone())
                }
                false => MatrixMut::new(kept.as_mut_slice(), units).into_rows(now.clone()),
            });
            let gates = MatrixMut::new(gates.as_mut_slice(), rows * width).into_columns(panels);
            let step = StepForward {
                cell: self.cell,
                input: InputRows::new(&cx.inputs, layout),
                wh: &cx.packed[self.forward],
                bn: self.bn.map(|bn| cx.parameters[bn].as_slice()),
                layout,
                rows: now,
                before: RowsBefore { h: h_before.or(h0), c: c_before.or(c0) },
                branches,
            };
            step.run::<GATES>(Now { gates, kept, h, c });
        }
    }
}

impl<C, T: Scalar> StepForward<'_, C, T> {
    fn run<const GATES: usize>(&self, Now { mut gates, mut kept, h, c }: Now<'_, T>)
    where
        C: Cell<GATES>,
    {
        let (cell, candidate) = (self.cell, self.cell.candidate());
        let (share, from) = (self.layout.units_a_panel::<T>(), self.branches.and_then(|b| b.from));
        if let Some(h) = self.before.h {
            flops::count_product(h.rows(), h.columns(), self.layout.length);
        }
        if let (Candidate::Filtered, Some(filtered)) = (candidate, &mut kept) {
            let gates = UnitBlocks::<T, GATES>::new(gates.reborrow(), self.layout, share);
            let filtered = filtered.reborrow().column_blocks(share);
            team::for_each_disjoint((gates, filtered), |at, (mut gates, filtered)| {
                for panel in 0..gates.panels() - 1 {
                    self.preactivate(gates.panel(panel), gates.panel_mut(panel));
                }
                let Some(gate) = gates.gates(0).into_iter().next() else { return };
                let h_before = self.before_of(at, share).h;
                lanes::widest(FilterRows { gate, h_before, from, filtered });
            });
        }
        let (product, filtered) = match candidate {
            Candidate::Apart => (kept.map(|product| product.row_blocks(1)), None),
            _ => (None, kept.map(MatrixMut::into_ref)),
        };
        let gates = UnitBlocks::<T, GATES>::new(gates, self.layout, share);
        let state = (h.column_blocks(share), c.map(|c| c.column_blocks(share)));
        team::for_each_disjoint(((gates, product), state), |at, ((mut gates, product), (h, c))| {
            let last = gates.panels() - 1;
            let (number, mut product) = (gates.panel(last), product.map(MatrixMut::into_slice));
            match (candidate, &mut product, self.before.h.and(filtered)) {
                (Candidate::State, ..) => {
                    for panel in 0..=last {
                        self.preactivate(gates.panel(panel), gates.panel_mut(panel));
                    }
                }
                (Candidate::Apart, Some(product), _) => {
                    for panel in 0..last {
                        self.preactivate(gates.panel(panel), gates.panel_mut(panel));
                    }
                    self.input.copy(self.rows.clone(), number, gates.panel_mut(last));
                    self.product(number, product);
                }
                (.., filtered) => {
                    let panel = gates.panel_mut(last);
                    self.input.copy(self.rows.clone(), number, panel);
                    if let Some(filtered) = filtered {
                        let left = Left::of_rows(filtered);
                        multiply(left, self.wh.panel(number), Target::panel(panel), true);
                    }
                }
            }
            let product = product.map(|product| MatrixMut::new(product, width::<T>()));
            let bn = self.bn.map(|bn| &bn[at * share..]);
            let (gates, before) = (gates.gates(0), self.before_of(at, share));
            lanes::widest(ForwardRows { cell, gates, product, bn, before, from, h, c });
        });
    }

    /// The state before, of block `at` of so many units.
    fn before_of(&self, at: usize, share: usize) -> RowsBefore<'_, T> {
        let units = at * share..self.layout.units().min((at + 1) * share);
        self.before.columns(units)
    }

    /// The input's part of a panel's preactivations plus the product of the state.
    fn preactivate(&self, number: usize, panel: &mut [T]) {
        if self.branches.is_some() {
            self.product(number, panel);
            return self.input.add(self.rows.clone(), number, panel);
        }
        self.input.copy(self.rows.clone(), number, panel);
        if let Some(h) = self.before.h {
            multiply(Left::of_rows(h), self.wh.panel(number), Target::panel(panel), true);
        }
    }

    /// The product of the state alone, of each row that of the row that it continues.
    fn product(&self, number: usize, panel: &mut [T]) {
        let width = width::<T>();
        let Some(h) = self.before.h else { return panel.fill(T::zero()) };
        let products = Target::panel(&mut panel[..h.rows() * width]);
        multiply(Left::of_rows(h), self.wh.panel(number), products, false);
        let Some(from) = self.branches.and_then(|branches| branches.from) else { return };
        // A row continues itself or one before it, so that from the last to the first no product is lost.
        for (row, &stem) in from.iter().enumerate().rev() {
            if stem != row {
                panel.copy_within(stem * width..(stem + 1) * width, row * width);
            }
        }
    }
}
