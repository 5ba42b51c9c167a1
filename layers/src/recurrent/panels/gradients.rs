//! Gradients of what all steps share, over all steps at once.

use engine_core::layer::context::Gradient;
use engine_core::{Backward, Scalar, Sequences, Tensor};
use engine_kernels::matrix::{MatrixMut, MatrixRef};
use engine_kernels::panel_product::{Left, ROWS, Target, multiply, stand};
use engine_kernels::panels::{PanelLayout, width};
use engine_kernels::{flops, team};

use super::input::add_input_gradient;
use super::{PanelRecurrence, sequences};
use crate::recurrent::cell::{Candidate, Cell};
use crate::recurrent::input::X;
use crate::recurrent::plain::H;
use crate::recurrent::steps::{at_step, before};

impl<C: Cell<GATES>, const GATES: usize> PanelRecurrence<C, GATES> {
    /// Adds the gradients of the input's part, of `wh` and of `bn`, given those of preactivations.
    pub(super) fn add_gradients<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let (h, (rows, units)) = (cx.outputs[0].as_slice(), cx.outputs[0].rows().dim());
        let sequences = sequences(&cx.outputs[0], cx.sequences);
        let ([gates], [kept]) = cx.saved.each_and([self.gates], [self.kept]);
        let gates = gates.as_slice();
        if let Some(gradient) = cx.input_gradients.claim(X) {
            add_input_gradient(gates, rows, Self::layout(units), cx.inputs.index(X), gradient);
        }
        let (standing, start) = (&mut cx.scratch[self.standing], cx.inputs.get(H));
        let h_before = |t| before(h, sequences, t, start, units);
        let Gradient { array, fresh } = cx.parameter_gradients.claim(self.wh);
        let dwh = MatrixMut::new(array.as_mut_slice(), GATES * units);
        let factor = Standing::new(sequences, h_before, units, standing);
        let Some(kept) = kept else {
            return factor.add_weight_gradient(gates, Self::layout(units), dwh, fresh);
        };
        let (direct, last) = gates.split_at(self.direct_panels::<T>(units) * rows * width::<T>());
        let (dwh, dwh_last) = dwh.split_at_column((GATES - 1) * units);
        let layout = PanelLayout { length: (GATES - 1) * units, gates: GATES - 1 };
        factor.add_weight_gradient(direct, layout, dwh, fresh);
        let layout = PanelLayout { length: units, gates: 1 };
        if self.cell.candidate() == Candidate::Filtered {
            let filtered = |t| {
                let there = t > 0 || start.is_some();
                there.then(|| at_step(kept.as_slice(), units, sequences.at(t)))
            };
            let factor = Standing::new(sequences, filtered, units, standing);
            return factor.add_weight_gradient(last, layout, dwh_last, fresh);
        }
        factor.add_weight_gradient(kept.as_slice(), layout, dwh_last, fresh);
        if let Some(bn) = self.bn {
            add_bias_gradient(kept.as_slice(), rows, cx.parameter_gradients.claim(bn));
        }
    }
}

/// What weights were multiplied by at all steps, in the order that products over all steps read.
struct Standing<'a, T> {
    rows: &'a [T],
    units: usize,
    /// How many rows there are: without a state to begin with, those of the first step have none.
    depth: usize,
}

impl<'a, T: Scalar> Standing<'a, T> {
    fn new<'b>(
        sequences: Sequences<'_>,
        factor: impl Fn(usize) -> Option<MatrixRef<'b, T>> + Sync,
        units: usize,
        to: &'a mut Tensor<T>,
    ) -> Self
    where
        T: 'b,
    {
        /// Columns that are brought into order together: whole cache lines, and whole blocks of rows.
        const COLUMNS: usize = 16 * ROWS;
        let first = usize::from(factor(0).is_none());
        let depth = sequences.rows() - if first > 0 { sequences.at(0).count } else { 0 };
        to.reshape(&[units.next_multiple_of(ROWS), depth]);
        if depth > 0 {
            team::for_each_chunk_mut(to.as_mut_slice(), COLUMNS * depth, |at, to| {
                let of_step = |t| {
                    factor(t).into_iter().flat_map(|x| (0..x.rows()).map(move |row| x.row(row)))
                };
                stand(depth, (first..sequences.steps()).flat_map(of_step), at * COLUMNS, to);
            });
        }
        Standing { rows: to.as_slice(), units, depth }
    }

    /// dw = dw + (what stands)^T (gradients), where gradients are panels of the columns of w.
    fn add_weight_gradient(
        &self,
        gradients: &[T],
        layout: PanelLayout,
        mut dw: MatrixMut<'_, T>,
        fresh: bool,
    ) {
        let &Standing { rows, units, depth } = self;
        if depth == 0 {
            if fresh {
                dw.rows_mut().for_each(|row| row.fill(T::zero()));
            }
            return;
        }
        flops::count_product(units, depth, layout.length);
        let size = gradients.len() / layout.panels::<T>();
        team::for_each_disjoint(dw.panel_blocks(layout, units), |at, mut dw| {
            let panel = &gradients[(at + 1) * size - depth * width::<T>()..(at + 1) * size];
            let left = Left::standing(rows, units, depth);
            multiply(left, panel, Target::pieces(&mut dw), !fresh);
        });
    }
}

/// dbn = dbn + the sum of the rows of the gradient of `h wh_n + bn`, one row after the other.
fn add_bias_gradient<T: Scalar>(gradients: &[T], rows: usize, dbn: Gradient<'_, T>) {
    team::for_each_chunk_mut(dbn.or_zero().as_mut_slice(), width::<T>(), |at, dbn| {
        let panel = &gradients[at * rows * width::<T>()..][..rows * width::<T>()];
        for row in panel.chunks_exact(width::<T>()) {
            dbn.iter_mut().zip(row).for_each(|(dbn, &x)| *dbn += x);
        }
    });
}
