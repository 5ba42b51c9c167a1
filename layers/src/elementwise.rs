//! Work on one element at a time, shared among threads. No element depends on how the work is shared.

use engine_core::context::{Forward, Inputs};
use engine_core::pointwise::Pointwise;
use engine_core::{Backward, Scalar, Tensor, team};
use smallvec::SmallVec;

/// The fewest elements that are worth a thread's while.
const PIECE: usize = 1 << 13;

/// The fewest rows of this width that are worth a thread's while.
pub(crate) fn rows_a_piece(width: usize) -> usize {
    PIECE.div_ceil(width)
}

/// y = f(x), where f changes elements in place.
pub(crate) fn apply<T: Scalar>(x: &[T], y: &mut [T], f: impl Fn(&mut [T]) + Sync) {
    team::for_each_chunk_mut(y, PIECE, |at, y| {
        y.copy_from_slice(part(x, at, y));
        f(y);
    });
}

/// Changes elements in place.
pub(crate) fn change<T: Scalar>(y: &mut [T], f: impl Fn(&mut [T]) + Sync) {
    team::for_each_chunk_mut(y, PIECE, |_, y| f(y));
}

/// y = x.
pub(crate) fn copy<T: Scalar>(y: &mut [T], x: &[T]) {
    apply(x, y, |_| {});
}

/// dx = dx + dy.
pub(crate) fn add<T: Scalar>(dx: &mut [T], dy: &[T]) {
    team::for_each_chunk_mut(dx, PIECE, |at, dx| {
        let dy = part(dy, at, dx);
        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
    });
}

/// y = f(x), where f reads one array and writes another.
pub(crate) fn map<T: Scalar>(x: &[T], y: &mut [T], f: impl Fn(&[T], &mut [T]) + Sync) {
    team::for_each_chunk_mut(y, PIECE, |at, y| f(part(x, at, y), y));
}

/// y = y x.
pub(crate) fn multiply<T: Scalar>(y: &mut [T], x: &[T]) {
    team::for_each_chunk_mut(y, PIECE, |at, y| {
        let x = part(x, at, y);
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
    team::for_each_chunk_mut(dx, PIECE, |at, dx| {
        let (dy, y) = (part(dy, at, dx), part(y, at, dx));
        dx.iter_mut().zip(dy).zip(y).for_each(|((dx, &dy), &y)| *dx += dy * slope(y));
    });
}

/// As [`add_scaled`], by one thread.
pub(crate) fn add_slope<T: Scalar>(dx: &mut [T], dy: &[T], y: &[T], slope: impl Fn(T) -> T) {
    dx.iter_mut().zip(dy).zip(y).for_each(|((dx, &dy), &y)| *dx += dy * slope(y));
}

/// The forward pass of a layer that is a function of all its inputs, element by element.
pub(crate) fn forward<T: Scalar>(function: &impl Pointwise<T>, cx: &mut Forward<'_, T>) {
    let x = Arguments::of(&cx.inputs);
    team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), PIECE, |at, y| {
        function.value(&x.part(at, y.len()), y);
    });
}

/// Its backward pass.
pub(crate) fn backward<T: Scalar>(function: &impl Pointwise<T>, cx: &mut Backward<'_, T>) {
    let x = Arguments::of(&cx.inputs);
    let (y, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
    for port in 0..cx.inputs.len() {
        let Some(dx) = cx.input_gradients.get(port) else { continue };
        team::for_each_chunk_mut(dx.as_mut_slice(), PIECE, |at, dx| {
            let (y, dy) = (part(y, at, dx), part(dy, at, dx));
            function.add_slope(&x.part(at, dx.len()), y, dy, port, dx);
        });
    }
}

/// The arrays that a function is taken of. A handful takes no memory.
struct Arguments<'a, T>(SmallVec<[&'a [T]; 8]>);

impl<'a, T: Scalar> Arguments<'a, T> {
    fn of(inputs: &Inputs<'a, T>) -> Self {
        Arguments(
            (0..inputs.len()).filter_map(|port| inputs.get(port)).map(Tensor::as_slice).collect(),
        )
    }

    /// The part that belongs to a piece, by the piece's number.
    fn part(&self, at: usize, length: usize) -> SmallVec<[&'a [T]; 8]> {
        self.0.iter().map(|x| &x[at * PIECE..][..length]).collect()
    }
}

/// The part of an array that belongs to a piece of another, by the piece's number.
fn part<'a, T>(array: &'a [T], at: usize, piece: &[T]) -> &'a [T] {
    &array[at * PIECE..][..piece.len()]
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
