//! Work on one element at a time, shared among threads. No element depends on how the work is shared.

use engine_core::Scalar;
use rayon::prelude::*;

/// The fewest elements that are worth a thread's while.
const PIECE: usize = 1 << 13;

/// The fewest rows of this width that are worth a thread's while.
pub(crate) fn rows_a_piece(width: usize) -> usize {
    PIECE.div_ceil(width)
}

/// y = f(x), where f changes elements in place.
pub(crate) fn apply<T: Scalar>(x: &[T], y: &mut [T], f: impl Fn(&mut [T]) + Sync) {
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
        y.copy_from_slice(x);
        f(y);
    });
}

/// dx = dx + dy.
pub(crate) fn add<T: Scalar>(dx: &mut [T], dy: &[T]) {
    dx.par_chunks_mut(PIECE).zip(dy.par_chunks(PIECE)).for_each(|(dx, dy)| {
        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
    });
}

/// y = y x.
pub(crate) fn multiply<T: Scalar>(y: &mut [T], x: &[T]) {
    y.par_chunks_mut(PIECE).zip(x.par_chunks(PIECE)).for_each(|(y, x)| {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y *= x);
    });
}

/// dx = dx + dy slope(y).
pub(crate) fn add_scaled<T: Scalar>(
    dx: &mut [T],
    dy: &[T],
    y: &[T],
    slope: impl Fn(T) -> T + Sync,
) {
    let pieces = (dx.par_chunks_mut(PIECE), dy.par_chunks(PIECE), y.par_chunks(PIECE));
    pieces.into_par_iter().for_each(|(dx, dy, y)| {
        dx.iter_mut().zip(dy).zip(y).for_each(|((dx, &dy), &y)| *dx += dy * slope(y));
    });
}

/// y = max(0, y). Not a number stays not a number, so that a run that diverges shows it.
pub(crate) fn relu<T: Scalar>(ys: &mut [T]) {
    ys.iter_mut().for_each(|y| *y = if *y < T::zero() { T::zero() } else { *y });
}

/// The slope of [`relu`] where its value is `y`; 0 at the kink.
pub(crate) fn relu_slope<T: Scalar>(y: T) -> T {
    if y > T::zero() { T::one() } else { T::zero() }
}

/// The slope of tanh where its value is `y`.
pub(crate) fn tanh_slope<T: Scalar>(y: T) -> T {
    T::one() - y * y
}

/// The slope of the logistic function where its value is `y`.
pub(crate) fn sigmoid_slope<T: Scalar>(y: T) -> T {
    y * (T::one() - y)
}
