//! Scores and their loss, a block of positions at a time.

use engine_core::layer::context::Gradient;
use engine_core::{
    Backward, Forward, Kernel, Lowered, Memory, Mode, Packed, Saved, Scalar, Scratch, Sequences,
    Shape, Tensor, Weight,
};
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::math::exp_v;
use engine_kernels::panel_product::{Left, ROWS, Target, multiply, stand};
use engine_kernels::panels::{PanelLayout, copy_piece, width};
use engine_kernels::shared::Shared;
use engine_kernels::{flops, team};

use super::positions::TARGETS;
use super::softmax_loss::{SoftmaxLoss, within_range};

/// [`SoftmaxLoss`] of `x w + b`: its first port is x.
///
/// In training, the forward pass continues to the gradients of x, w and b while the scores of a block are at hand, for a
/// loss whose gradient is 1; the backward pass multiplies by what it is.
#[derive(Debug)]
pub(super) struct AffineLoss {
    loss: SoftmaxLoss,
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
    pub(super) fn lower(loss: &SoftmaxLoss, memory: &mut Memory<'_>) -> Option<Lowered> {
        if !memory.has("b") {
            return None;
        }
        // Arrays take on their shapes when they are written: those of a block and of the map's parameters.
        let later = Shape::scalar;
        Some(Lowered::new(AffineLoss {
            loss: loss.clone(),
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
        let positions = self.loss.positions(&cx.inputs);
        let sequences = Sequences::of(&cx.inputs[X], cx.sequences).count();
        let divisor = self.loss.divisor(&positions, sequences);
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
        let (cut, width) = (PanelLayout { length: b.len(), gates: 1 }, width::<T>());
        let panels = cut.panels::<T>();
        let positions = self.loss.positions(&cx.inputs);
        let training = matches!(cx.mode, Mode::Train { .. });
        let [scores, losses] = cx.scratch.each([self.scores, self.losses]);
        scores.reshape(&[panels, rows, width]);
        let scores = Shared::new(scores.as_mut_slice());
        let x = &x.as_slice()[first * depth..last * depth];
        let dx = &mut cx.saved[self.dx].as_mut_slice()[first * depth..last * depth];
        let losses = &mut losses.as_mut_slice()[first..last];
        flops::count_product(rows, depth, cut.length);
        if training {
            flops::count_product(rows, cut.length, depth);
        }
        team::for_each_chunk_mut2((dx, PIECE * depth), (losses, PIECE), |at, dx, losses| {
            let piece = at * PIECE..at * PIECE + losses.len();
            for panel in 0..panels {
                let place = panel * rows;
                let place = (place + piece.start) * width..(place + piece.end) * width;
                // SAFETY: each call has positions of its own.
                let scores = unsafe { scores.part(place) };
                fill_rows(scores, &b[panel * width..b.len().min((panel + 1) * width)]);
                let left = Left::rows(&x[piece.start * depth..piece.end * depth], depth);
                multiply(left, cx.packed[self.forward].panel(panel), Target::panel(scores), true);
            }
            lanes::widest(Softmax {
                scores: &scores,
                rows,
                classes: cut.length,
                first: piece.start,
                losses,
                target: &|at| {
                    let at = first + at;
                    positions.counts(at).then(|| positions.targets[at] as usize)
                },
                weight,
                training,
            });
            if training {
                let to = Shared::new(dx);
                let cut = PanelLayout { length: depth, gates: 1 };
                for panel in 0..cut.panels::<T>() {
                    // SAFETY: the scores of these positions are this call's, and so are the rows of dx.
                    let (left, target) = unsafe {
                        (
                            Left::shared_panels(&scores, rows, piece.clone()),
                            Target::columns(&to, cut, panel),
                        )
                    };
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
        let cut = PanelLayout { length: db.as_slice().len(), gates: 1 };
        flops::count_product(depth, rows, cut.length);
        let dw = Shared::new(dw.as_mut_slice());
        team::for_each_chunk_mut(db.as_mut_slice(), width, |at, db| {
            let panel = &scores[at * rows * width..][..rows * width];
            let left = Left::standing(columns, depth, rows);
            // SAFETY: each call has the columns of a panel of its own.
            let target = unsafe { Target::columns(&dw, cut, at) };
            multiply(left, panel, target, first > 0);
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
    /// Panels of `rows` rows, of which those from `first` on, one for each loss, are the caller's.
    scores: &'a Shared<'a, T>,
    rows: usize,
    classes: usize,
    first: usize,
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
        let Softmax { scores, rows, classes, first, losses, target, weight, training } = self;
        let (lanes, width) = (T::lanes(simd), width::<T>());
        let panels = classes.div_ceil(width);
        for (row, loss) in (first..).zip(losses) {
            let part = |panel: usize, length: usize| {
                let place = (panel * rows + row) * width;
                // SAFETY: the row is the caller's, and one part of it is taken at a time.
                unsafe { scores.part(place..place + length) }
            };
            let words = |panel: usize| part(panel, width.min(classes - panel * width));
            let Some(target) = target(row) else {
                *loss = T::zero();
                (0..panels).for_each(|panel| part(panel, width).fill(T::zero()));
                continue;
            };
            let mut most = T::splat(simd, T::neg_infinity());
            for panel in 0..panels {
                for chunk in words(panel).chunks(lanes) {
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
            let score = words(target / width)[target % width];
            let mut sum = T::splat(simd, T::zero());
            let mut rest = T::zero();
            for panel in 0..panels {
                for chunk in words(panel).chunks_mut(lanes) {
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
                    for chunk in words(panel).chunks_mut(lanes) {
                        let p = <T as Lanes>::mul(simd, T::load_part(simd, chunk), scale);
                        T::store_part(simd, chunk, p);
                    }
                }
                part(panels - 1, width)[classes - (panels - 1) * width..].fill(T::zero());
                words(target / width)[target % width] -= weight;
            }
        }
    }
}
