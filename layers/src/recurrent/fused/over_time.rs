//! What recurrences in panels share: rows of steps, the input's part of sums, gradients over all steps at once.

use std::ops::Range;

use engine_core::layer::context::Gradient;
use engine_core::{PackedSequence, Scalar, Tensor};
use engine_kernels::panel_product::{Left, ROWS, Target, multiply, stand};
use engine_kernels::panels::{PanelLayout, copy_piece, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

/// Which rows of arrays over time belong to which step.
#[derive(Clone, Copy)]
pub(super) struct Span<'a> {
    pub(super) steps: Option<&'a PackedSequence>,
    /// All rows. Where nothing arranges them, they are those of one step.
    pub(super) rows: usize,
}

impl Span<'_> {
    pub(super) fn len(&self) -> usize {
        self.steps.map_or(1, PackedSequence::len)
    }

    pub(super) fn at(&self, t: usize) -> Range<usize> {
        self.steps.map_or(0..self.rows, |steps| steps.at(t))
    }

    /// The rows of the step before that go on at step `t`; `None` for the first step.
    pub(super) fn before(&self, t: usize) -> Option<Range<usize>> {
        self.steps.filter(|_| t > 0).map(|steps| steps.before(t))
    }

    /// How many of a step's rows go on at the step after it.
    pub(super) fn going_on(&self, t: usize) -> usize {
        if t + 1 < self.len() { self.at(t + 1).len() } else { 0 }
    }
}

/// The rows before step `t` of an array over time, else the first of where it starts; `None` for zeros.
pub(super) fn rows_before<'a, T>(
    span: Span<'_>,
    t: usize,
    over_time: &'a [T],
    start: Option<&'a Tensor<T>>,
    units: usize,
) -> Option<&'a [T]>
where
    T: Scalar,
{
    match span.before(t) {
        Some(rows) => Some(&over_time[rows.start * units..rows.end * units]),
        None => start.map(|start| &start.as_slice()[..span.at(t).len() * units]),
    }
}

/// Copies what the input adds to the gates' sums at rows `now` into a panel, looked up by `index` if there is one. What
/// lies beyond a block's edge becomes 0.
pub(super) fn gather<T: Scalar>(
    sums: &Tensor<T>,
    index: Option<&[u32]>,
    now: Range<usize>,
    cut: PanelLayout,
    panel: usize,
    to: &mut [T],
) {
    let sums = sums.as_slice();
    for (position, to) in now.zip(to.chunks_exact_mut(width::<T>())) {
        let row = index.map_or(position, |index| index[position] as usize);
        let from = &sums[row * cut.length..][..cut.length];
        for (place, source, length) in cut.pieces::<T>(panel) {
            copy_piece(&mut to[place..][..length], &from[source..][..length]);
            if length < cut.units_a_panel::<T>() {
                to[place..][length..cut.units_a_panel::<T>()].fill(T::zero());
            }
        }
    }
}

/// Adds the gradients of the gates' sums to those of what the input adds to these; with an index, those of all positions
/// of a row to that row.
pub(super) fn sums_gradient<T: Scalar>(
    gates: &[T],
    rows: usize,
    cut: PanelLayout,
    index: Option<&[u32]>,
    Gradient { array, fresh }: Gradient<'_, T>,
) {
    let to = Shared::new(array.as_mut_slice());
    let all = to.len() / cut.length;
    team::for_each(cut.panels::<T>(), |at| {
        let panel = &gates[at * rows * width::<T>()..][..rows * width::<T>()];
        for (place, source, length) in cut.pieces::<T>(at) {
            let piece = |row: usize| {
                let first = row * cut.length + source;
                // SAFETY: each call has the columns of a panel of its own, and one piece of them at a time.
                unsafe { to.part(first..first + length) }
            };
            if fresh {
                (0..all).for_each(|row| piece(row).fill(T::zero()));
            }
            for (position, gradient) in panel.chunks_exact(width::<T>()).enumerate() {
                let row = index.map_or(position, |index| index[position] as usize);
                let gradient = &gradient[place..][..length];
                piece(row).iter_mut().zip(gradient).for_each(|(to, &x)| *to += x);
            }
        }
    });
}

/// Brings h before each step into the order that products over all steps read, and returns how many rows have one: without
/// a state to begin with, those of the first step have none.
pub(super) fn stand_before<'a, T: Scalar>(
    span: Span<'_>,
    before: impl Fn(usize) -> Option<&'a [T]> + Sync,
    units: usize,
    standing: &mut Tensor<T>,
) -> usize {
    /// Columns that are brought into order together: whole cache lines, and whole blocks of rows.
    const COLUMNS: usize = 16 * ROWS;
    let first = usize::from(before(0).is_none());
    let depth = span.rows - if first > 0 { span.at(0).len() } else { 0 };
    standing.reshape(&[units.next_multiple_of(ROWS), depth]);
    if depth > 0 {
        team::for_each_chunk_mut(standing.as_mut_slice(), COLUMNS * depth, |at, standing| {
            let before = |t| before(t).unwrap_or_default().chunks_exact(units);
            stand(depth, (first..span.len()).flat_map(before), at * COLUMNS, standing);
        });
    }
    depth
}

/// dwh = dwh + (what stands)^T (gradients of sums), over the last `depth` of all rows at once, for the columns of `wh` that
/// belong to the panels from `first` on: those that `gradients` has.
pub(super) fn weight_gradient<T: Scalar>(
    (standing, depth): (&Tensor<T>, usize),
    (gradients, rows): (&[T], usize),
    (cut, first): (PanelLayout, usize),
    dwh: Gradient<'_, T>,
) {
    if depth == 0 {
        dwh.or_zero();
        return;
    }
    let (units, width) = (dwh.array.rows().nrows(), width::<T>());
    let panels = gradients.len() / (rows * width);
    flops::count_product(units, depth, cut.length * panels / cut.panels::<T>());
    let (standing, to) = (standing.as_slice(), Shared::new(dwh.array.as_mut_slice()));
    team::for_each(panels, |at| {
        let panel = &gradients[(at * rows + rows - depth) * width..(at + 1) * rows * width];
        let left = Left::standing(standing, units, depth);
        // SAFETY: each call has the columns of a panel of its own.
        let target = unsafe { Target::columns(&to, cut, first + at) };
        multiply(left, panel, target, !dwh.fresh);
    });
}

/// dbn = dbn + the sum of the rows of the gradient of `h wh_n + bn`, one row after the other.
pub(super) fn bias_gradient<T: Scalar>(gradients: &[T], rows: usize, dbn: Gradient<'_, T>) {
    team::for_each_chunk_mut(dbn.or_zero().as_mut_slice(), width::<T>(), |at, dbn| {
        let panel = &gradients[at * rows * width::<T>()..][..rows * width::<T>()];
        for row in panel.chunks_exact(width::<T>()) {
            dbn.iter_mut().zip(row).for_each(|(dbn, &x)| *dbn += x);
        }
    });
}
