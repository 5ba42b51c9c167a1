//! Scores and their loss, a block of positions at a time.

use engine_core::layer::context::Gradient;
use engine_core::{
    Backward, Forward, Kernel, Lowered, Memory, Mode, Packed, Saved, Scalar, Scratch, Sequences,
    Shape, Tensor, Weight,
};
use engine_kernels::flops;
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::math::exp_v;
use engine_kernels::matrix::MatrixMut;
use engine_kernels::panel_product::{Left, ROWS, Target, multiply, stand};
use engine_kernels::panels::{copy_piece, width};
use engine_kernels::team::{self, Chunks};

use super::objective::{Objective, within_range};
use crate::counted::TARGETS;

/// [`SoftmaxLoss`](crate::SoftmaxLoss) of `x w + b`: its first port is x.
///
/// In training, the forward pass continues to the gradients of x, w and b while the scores of a block are at hand, for a
/// loss whose gradient is 1; the backward pass multiplies by what it is.
#[derive(Debug)]
pub(super) struct AffineLoss {
    objective: Objective,
    w: Weight,
    b: Weight,
    /// w for the scores, its transpose for the gradient of x.
    forward: Packed,
    back: Packed,
    /// The gradients of x, w and b for a gradient of 1.
    dx: Saved,
    dw: Saved,
    db: Saved,
    /// Scores of a block as panels, later their gradients; x of a block, its columns as rows; the loss of each position.
    scores: Scratch,
    columns: Scratch,
    losses: Scratch,
}

const X: usize = 0;

/// Positions of a block: as many as make the gradient of w, which is read and written once a block, worth its way from
/// memory; their scores stay in a cache.
const BLOCK: usize = 128 * ROWS;
/// Positions whose scores one thread computes, from the first word to the last, and then their softmax.
const PIECE: usize = 16 * ROWS;

impl AffineLoss {
    /// The objective over the input of an affine map that has a bias.
    pub(super) fn lower(objective: Objective, memory: &mut Memory<'_>) -> Option<Lowered> {
        if !memory.has("b") {
            return None;
        }
        // Arrays take on their shapes when they are written: those of a block and of the map's parameters.
        let later = Shape::scalar;
        Some(Lowered::new(AffineLoss {
            objective,
            w: memory.weight("w"),
            b: memory.weight("b"),
            forward: memory.packed("w", false, 1),
            back: memory.packed("w", true, 1),
            dx: memory.saved(memory.input(X).clone()),
            dw: memory.saved(later()),
            db: memory.saved(later()),
            scores: memory.scratch(later()),
            columns: memory.scratch(later()),
            losses: memory.scratch(memory.input(TARGETS).clone()),
        }))
    }
}

impl<T: Scalar> Kernel<T> for AffineLoss {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = cx.inputs[X].rows();
        let (rows, classes) = (x.nrows(), cx.parameters[self.w].dim(1));
        let [dx, dw, db] = cx.saved.each([self.dx, self.dw, self.db]);
        dx.reshape(&[rows, x.ncols()]);
        dw.reshape(&[x.ncols(), classes]);
        db.reshape(&[classes]);
        let positions = self.objective.positions(&cx.inputs);
        let sequences = Sequences::of(&cx.inputs[X], cx.sequences).count();
        let divisor = self.objective.divisor(&positions, sequences);
        for first in (0..rows).step_by(BLOCK) {
            let last = rows.min(first + BLOCK);
            self.scores_and_losses(cx, first, last, T::of(1.0 / divisor));
            if let Mode::Train { .. } = cx.mode {
                self.weight_gradients(cx, first, last);
            }
        }
        let sum: f64 = cx.scratch[self.losses].as_slice().iter().map(|loss| loss.f64()).sum();
        cx.outputs[0].fill(within_range(sum / divisor));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let by = cx.output_gradients[0].as_slice()[0];
        let [dx, dw, db] = cx.saved.each([self.dx, self.dw, self.db]);
        if let Some(gradient) = cx.input_gradients.claim(X) {
            hand_over(dx, by, gradient);
        }
        hand_over(dw, by, cx.parameter_gradients.claim(self.w));
        hand_over(db, by, cx.parameter_gradients.claim(self.b));
    }
}

impl AffineLoss {
    /// Scores of the positions `first..last`, their losses, and in training the gradients of both the scores, which stay
    /// in their place, and x.
    fn scores_and_losses<T: Scalar>(
        &self,
        cx: &mut Forward<'_, T>,
        first: usize,
        last: usize,
        weight: T,
    ) {
        let x = &cx.inputs[X];
        let (depth, rows) = (x.rows().ncols(), last - first);
        let b = cx.parameters[self.b].as_slice();
        let width = width::<T>();
        let panels = b.len().div_ceil(width);
        let positions = self.objective.positions(&cx.inputs);
        let training = matches!(cx.mode, Mode::Train { .. });
        let [scores, losses] = cx.scratch.each([self.scores, self.losses]);
        scores.reshape(&[panels, rows, width]);
        let x = &x.as_slice()[first * depth..last * depth];
        let dx = &mut cx.saved[self.dx].as_mut_slice()[first * depth..last * depth];
        let losses = &mut losses.as_mut_slice()[first..last];
        flops::count_product(rows, depth, b.len());
        if training {
            flops::count_product(rows, b.len(), depth);
        }
        // A row of the view is a panel, so that columns are positions.
        let scores = MatrixMut::new(scores.as_mut_slice(), rows * width);
        let pieces = (
            Chunks::new(dx, PIECE * depth),
            Chunks::new(losses, PIECE),
            scores.column_blocks(PIECE * width),
        );
        team::for_each_disjoint(pieces, |at, (dx, losses, mut scores)| {
            let piece = at * PIECE..at * PIECE + losses.len();
            for panel in 0..panels {
                let scores = scores.row_mut(panel);
                fill_rows(scores, &b[panel * width..b.len().min((panel + 1) * width)]);
                let left = Left::rows(&x[piece.start * depth..piece.end * depth], depth);
                multiply(left, cx.packed[self.forward].panel(panel), Target::panel(scores), true);
            }
            lanes::widest(Softmax {
                scores: scores.reborrow(),
                classes: b.len(),
                losses,
                target: &|at| {
                    let at = first + piece.start + at;
                    positions.counts(at).then(|| positions.targets[at] as usize)
                },
                weight,
                training,
            });
            if training {
                let mut dx = MatrixMut::new(dx, depth);
                for (panel, first) in (0..depth).step_by(width).enumerate() {
                    let columns = first..depth.min(first + width);
                    let target = Target::view(dx.block(0..piece.len(), columns));
                    let left = Left::of_panels(scores.as_ref());
                    multiply(left, cx.packed[self.back].panel(panel), target, false);
                }
            }
        });
    }

    /// dw = dw + x^T (gradients of scores), and db likewise, for the positions of a block.
    fn weight_gradients<T: Scalar>(&self, cx: &mut Forward<'_, T>, first: usize, last: usize) {
        /// Columns that are brought into order together: whole cache lines, and whole blocks of rows.
        const COLUMNS: usize = 16 * ROWS;
        let (x, rows, width) = (cx.inputs[X].rows(), last - first, width::<T>());
        let depth = x.ncols();
        let x = &cx.inputs[X].as_slice()[first * depth..last * depth];
        let [scores, columns] = cx.scratch.each([self.scores, self.columns]);
        let [dw, db] = cx.saved.each([self.dw, self.db]);
        columns.reshape(&[depth.next_multiple_of(ROWS), rows]);
        team::for_each_chunk_mut(columns.as_mut_slice(), COLUMNS * rows, |at, columns| {
            stand(rows, x.chunks_exact(depth), at * COLUMNS, columns);
        });
        let (scores, columns) = (scores.as_slice(), columns.as_slice());
        let classes = db.as_slice().len();
        flops::count_product(depth, rows, classes);
        let dw = MatrixMut::new(dw.as_mut_slice(), classes);
        let pieces = (dw.column_blocks(width), Chunks::new(db.as_mut_slice(), width));
        team::for_each_disjoint(pieces, |at, (dw, db)| {
            let panel = &scores[at * rows * width..][..rows * width];
            let left = Left::standing(columns, depth, rows);
            multiply(left, panel, Target::view(dw), first > 0);
            if first == 0 {
                db.fill(T::zero());
            }
            for row in panel.chunks_exact(width) {
                db.iter_mut().zip(row).for_each(|(db, &x)| *db += x);
            }
        });
    }
}

/// Every row = b, with zeros where it ends before them.
fn fill_rows<T: Scalar>(rows: &mut [T], b: &[T]) {
    for row in rows.chunks_exact_mut(width::<T>()) {
        let (numbers, rest) = row.split_at_mut(b.len());
        copy_piece(numbers, b);
        rest.fill(T::zero());
    }
}

/// gradient = gradient + by * unit.
fn hand_over<T: Scalar>(unit: &mut Tensor<T>, by: T, gradient: Gradient<'_, T>) {
    let Gradient { array, fresh } = gradient;
    if fresh && by == T::one() {
        std::mem::swap(array, unit);
        return array.reshape(unit.shape());
    }
    let to = Gradient { array, fresh }.or_zero().as_mut_slice();
    to.iter_mut().zip(unit.as_slice()).for_each(|(to, &unit)| *to += by * unit);
}

/// Losses of some rows of scores, and in training their gradients in the scores' place.
struct Softmax<'a, T> {
    /// A panel in each row of the view, with a row of its own for each loss.
    scores: MatrixMut<'a, T>,
    classes: usize,
    losses: &'a mut [T],
    /// The target of a row; `None` where it does not count.
    target: &'a dyn Fn(usize) -> Option<usize>,
    /// What the gradient of a loss is multiplied by.
    weight: T,
    training: bool,
}

impl<T: Scalar> WithSimd for Softmax<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Softmax { mut scores, classes, losses, target, weight, training } = self;
        let (lanes, width) = (T::lanes(simd), width::<T>());
        let panels = classes.div_ceil(width);
        let words = |row: usize, panel: usize| {
            row * width..row * width + width.min(classes - panel * width)
        };
        for (row, loss) in losses.iter_mut().enumerate() {
            let Some(target) = target(row) else {
                *loss = T::zero();
                let whole = row * width..(row + 1) * width;
                scores.rows_mut().for_each(|panel| panel[whole.clone()].fill(T::zero()));
                continue;
            };
            let mut most = T::splat(simd, T::neg_infinity());
            for panel in 0..panels {
                for chunk in scores.row(panel)[words(row, panel)].chunks(lanes) {
                    most = match chunk.len() == lanes {
                        true => <T as Lanes>::max(simd, most, T::load_part(simd, chunk)),
                        false => T::splat(
                            simd,
                            chunk.iter().fold(T::reduce_max(simd, most), |most, &x| {
                                if x > most { x } else { most }
                            }),
                        ),
                    };
                }
            }
            let largest = T::reduce_max(simd, most);
            let most = T::splat(simd, largest);
            let of_target = words(row, target / width);
            let score = scores.row(target / width)[of_target.clone()][target % width];
            let mut sum = T::splat(simd, T::zero());
            let mut rest = T::zero();
            for panel in 0..panels {
                for chunk in scores.row_mut(panel)[words(row, panel)].chunks_mut(lanes) {
                    let x = <T as Lanes>::sub(simd, T::load_part(simd, chunk), most);
                    let e = exp_v::<T, S>(simd, x);
                    T::store_part(simd, chunk, e);
                    match chunk.len() == lanes {
                        true => sum = <T as Lanes>::add(simd, sum, e),
                        false => chunk.iter().for_each(|&e| rest += e),
                    }
                }
            }
            let sum = T::reduce_add(simd, sum) + rest;
            *loss = T::of(sum.f64().ln() + (largest.f64() - score.f64()));
            if training {
                let scale = T::splat(simd, weight / sum);
                for panel in 0..panels {
                    for chunk in scores.row_mut(panel)[words(row, panel)].chunks_mut(lanes) {
                        let p = <T as Lanes>::mul(simd, T::load_part(simd, chunk), scale);
                        T::store_part(simd, chunk, p);
                    }
                }
                let last = &mut scores.row_mut(panels - 1)[row * width..(row + 1) * width];
                last[classes - (panels - 1) * width..].fill(T::zero());
                scores.row_mut(target / width)[of_target][target % width] -= weight;
            }
        }
    }
}
