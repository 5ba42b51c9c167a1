//! The way back through time.

use std::ops::Range;

use engine_core::layer::context::Gradient;
use engine_core::{Backward, Scalar, Tensor};
use engine_kernels::matrix::{MatrixMut, MatrixRef, UnitBlocks};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{PanelLayout, Panels, width};
use engine_kernels::team;
use engine_kernels::{flops, lanes};

use super::{PanelRecurrence, sequences};
use crate::elementwise;
use crate::recurrent::cell::{Candidate, Cell};
use crate::recurrent::plain::{C, H};
use crate::recurrent::rows::{BackwardRows, FilterBackwardRows, RowsBefore};
use crate::recurrent::steps::{at_step, before};

/// The gradients of a step's gates, which products with the transpose of `wh` take to h before it.
#[derive(Clone, Copy)]
struct StepGradients<'a, T> {
    gates: MatrixRef<'a, T>,
    /// That of the last gate's product if it is apart.
    product: Option<MatrixRef<'a, T>>,
    wh: &'a Panels<T>,
    /// How many panels have gates that the state itself is multiplied for.
    direct: usize,
}

impl<T: Scalar> StepGradients<'_, T> {
    /// Counts the products of all panels of so many units.
    fn count(&self, units: usize, gates: usize) {
        flops::count_product(self.gates.columns() / width::<T>(), gates * units, units);
    }

    /// Adds to dh, panel `at` of units, what comes through the gates of these rows, the first of dh.
    fn add_through(&self, at: usize, dh: &mut [T]) {
        let columns = self.gates.columns();
        let (dh, (direct, last)) =
            (&mut dh[..columns], split_depth(self.wh.panel(at), self.direct));
        let left = Left::of_panels(self.gates.block(0..self.direct, 0..columns));
        multiply(left, direct, Target::panel(dh), true);
        if let Some(product) = self.product {
            multiply(Left::of_panels(product), last, Target::panel(dh), true);
        }
    }
}

impl<T: Scalar> StepGradients<'_, T> {
    /// Adds dh, and what comes through the gates of the first step, to the gradient of where h starts.
    fn add_start_gradient(&self, dh: MatrixMut<'_, T>, Gradient { array, fresh }: Gradient<'_, T>) {
        let (width, units) = (width::<T>(), array.rows().ncols());
        let start = MatrixMut::new(array.as_mut_slice(), units).column_blocks(width);
        team::for_each_disjoint((dh.row_blocks(1), start), |at, (dh, mut start)| {
            let dh = dh.into_slice();
            if !fresh {
                for (dh, start) in dh.chunks_exact_mut(width).zip(start.rows_mut()) {
                    dh.iter_mut().zip(start).for_each(|(dh, start)| *dh += *start);
                }
            }
            self.add_through(at, dh);
            for (dh, start) in dh.chunks_exact(width).zip(start.rows_mut()) {
                start.copy_from_slice(&dh[..start.len()]);
            }
        });
    }
}

/// The rows of a transposed panel that belong to the first panels of the other factor, and the others.
fn split_depth<T>(panel: &[T], panels: usize) -> (&[T], &[T]) {
    panel.split_at(panels * width::<T>() * width::<T>())
}

impl<C: Cell<GATES>, const GATES: usize> PanelRecurrence<C, GATES> {
    /// Goes back through time: leaves the gradients of preactivations in the gates' place, and that of a product that is
    /// apart in its place; adds those of where h and c start.
    pub(super) fn go_back<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let (h, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        let (rows, units) = cx.outputs[0].rows().dim();
        let sequences = sequences(&cx.outputs[0], cx.sequences);
        let (count, width, layout) = (sequences.count(), width::<T>(), Self::layout(units));
        let (candidate, panels) = (self.cell.candidate(), units.div_ceil(width));
        let ([gates], [kept, c]) = cx.saved.each_and([self.gates], [self.kept, self.c]);
        let mut product = kept.filter(|_| candidate == Candidate::Apart);
        let c = c.map(|c| c.as_slice());
        let ([dh], [mut dc, mut dfilter, mut dfiltered]) =
            cx.scratch.each_and([self.dh], [self.dc, self.dfilter, self.dfiltered]);
        for array in [Some(&mut *dh), dfilter.as_deref_mut(), dfiltered.as_deref_mut()] {
            array.into_iter().for_each(|array| array.reshape(&[panels, count, width]));
        }
        dh.fill(T::zero());
        dc.iter_mut().for_each(|dc| dc.fill(T::zero()));
        let (wh, direct) = (&cx.packed[self.back], self.direct_panels::<T>(units));
        let gates_of_products = GATES - usize::from(candidate == Candidate::Filtered);
        for t in (0..sequences.steps()).rev() {
            let (now, alive) = (sequences.at(t).range(), sequences.alive(t + 1));
            let split = |panels| split_panels(panels, rows, now.clone(), alive);
            let (gates, gates_after) = split(gates);
            let (product, product_after) = product.as_deref_mut().map(split).unzip();
            let after = StepGradients { gates: gates_after, product: product_after, wh, direct };
            after.count(units, gates_of_products);
            let step = StepBackward {
                cell: self.cell,
                layout,
                before: RowsBefore {
                    h: before(h, sequences, t, cx.inputs.get(H), units),
                    c: c.and_then(|c| before(c, sequences, t, cx.inputs.get(C), units)),
                },
                h: at_step(h, units, sequences.at(t)),
                c: c.map(|c| at_step(c, units, sequences.at(t))),
                dy: at_step(dy, units, sequences.at(t)),
                after,
            };
            step.run::<GATES>(Arrays {
                gates,
                product,
                dh: panels_of(dh),
                dc: dc.as_mut().map(|dc| MatrixMut::new(dc.as_mut_slice(), units)),
                dfilter: dfilter.as_mut().map(|x| panels_of(x)),
                dfiltered: dfiltered.as_mut().map(|x| panels_of(x)),
            });
        }
        if let Some(dh0) = cx.input_gradients.claim(H) {
            let first = |panels| split_panels(panels, rows, 0..0, count).1;
            let (gates, product) = (first(gates), product.map(first));
            let step = StepGradients { gates, product, wh, direct };
            step.count(units, gates_of_products);
            step.add_start_gradient(panels_of(dh), dh0);
        }
        if let (Some(dc), Some(dc0)) = (dc, cx.input_gradients.get(C)) {
            elementwise::add(dc0.as_mut_slice(), dc.as_slice());
        }
    }
}

/// A step's rows of panels, and so many rows of the step after it.
fn split_panels<'a, T: Scalar>(
    panels: &'a mut Tensor<T>,
    rows: usize,
    now: Range<usize>,
    after: usize,
) -> (MatrixMut<'a, T>, MatrixRef<'a, T>) {
    let width = width::<T>();
    let panels = MatrixMut::new(panels.as_mut_slice(), rows * width);
    let (now_and_before, later) = panels.split_at_column(now.end * width);
    let now = now_and_before.into_columns(now.start * width..now.end * width);
    (now, later.into_columns(0..after * width).into_ref())
}

/// The rows of a panel.
fn of_panel<T>(panel: MatrixMut<'_, T>) -> MatrixMut<'_, T> {
    MatrixMut::new(panel.into_slice(), width::<T>())
}

/// An array of panels, one a row.
fn panels_of<T: Scalar>(array: &mut Tensor<T>) -> MatrixMut<'_, T> {
    let size = array.dim(1) * array.dim(2);
    MatrixMut::new(array.as_mut_slice(), size)
}

/// A step's arrays; gradients of units are panels.
struct Arrays<'a, T> {
    gates: MatrixMut<'a, T>,
    product: Option<MatrixMut<'a, T>>,
    dh: MatrixMut<'a, T>,
    dc: Option<MatrixMut<'a, T>>,
    dfilter: Option<MatrixMut<'a, T>>,
    dfiltered: Option<MatrixMut<'a, T>>,
}

/// What threads read at a step.
struct StepBackward<'a, C, T> {
    cell: C,
    layout: PanelLayout,
    before: RowsBefore<'a, T>,
    h: MatrixRef<'a, T>,
    c: Option<MatrixRef<'a, T>>,
    dy: MatrixRef<'a, T>,
    after: StepGradients<'a, T>,
}

impl<C, T: Scalar> StepBackward<'_, C, T> {
    fn run<const GATES: usize>(&self, arrays: Arrays<'_, T>)
    where
        C: Cell<GATES>,
    {
        let Arrays { mut gates, product, mut dh, dc, mut dfilter, dfiltered } = arrays;
        let (rows, width, share) = (self.h.rows(), width::<T>(), self.layout.units_a_panel::<T>());
        let own = (
            UnitBlocks::<T, GATES>::new(gates.reborrow(), self.layout, width),
            product.map(|product| product.row_blocks(1)),
        );
        let filter = dfilter.as_mut().map(|filter| filter.reborrow().row_blocks(1));
        let carried = (dh.reborrow().row_blocks(1), dc.map(|dc| dc.column_blocks(width)), filter);
        team::for_each_disjoint((own, carried), |at, ((mut gates, product), (dh, dc, filter))| {
            let dh = dh.into_slice();
            self.after.add_through(at, dh);
            let (mut product, mut filter) = (product.map(of_panel), filter.map(of_panel));
            let (mut dh, mut dc, first) = (MatrixMut::new(dh, width), dc, at * width);
            let all = width.min(self.layout.units() - first);
            for from in (0..all).step_by(share) {
                let columns = from..all.min(from + share);
                let units = first + columns.start..first + columns.end;
                lanes::widest(BackwardRows {
                    cell: self.cell,
                    gates: gates.gates(from / share),
                    product: product.as_mut().map(MatrixMut::reborrow),
                    filter: filter.as_mut().map(MatrixMut::reborrow),
                    before: self.before.columns(units.clone()),
                    h: self.h.block(0..rows, units.clone()),
                    c: self.c.map(|c| c.block(0..rows, units.clone())),
                    dy: self.dy.block(0..rows, units.clone()),
                    dh: dh.block(0..rows, columns.clone()),
                    dc: dc.as_mut().map(|dc| dc.block(0..rows, columns.clone())),
                });
            }
        });
        let (Some(filter), Some(filtered)) = (dfilter, dfiltered) else { return };
        let units = self.layout.units();
        flops::count_product(rows, units, units);
        let (others, last) = gates.split_at_row(self.after.direct);
        let gate = others.into_rows(0..dh.rows()).row_blocks(1);
        let (last, d) = (last.into_ref(), (filter.row_blocks(1), filtered.row_blocks(1)));
        team::for_each_disjoint(
            (gate, dh.row_blocks(1), d),
            |at, (gate, dh, (filter, filtered))| {
                let [gate, dh, filter] = [gate, dh, filter].map(of_panel);
                let filtered = &mut filtered.into_slice()[..rows * width];
                let wh = split_depth(self.after.wh.panel(at), self.after.direct).1;
                multiply(Left::of_panels(last), wh, Target::panel(filtered), false);
                let columns = at * width..units.min((at + 1) * width);
                lanes::widest(FilterBackwardRows {
                    gate,
                    filter,
                    h_before: self.before.columns(columns.clone()).h,
                    filtered: MatrixMut::new(filtered, width),
                    dh: dh.into_block(0..rows, 0..columns.len()),
                });
            },
        );
    }
}
