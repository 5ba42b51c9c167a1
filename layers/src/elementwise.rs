//! Work on one element at a time, shared among threads. No element depends on how the work is shared.

use std::fmt::Debug;
use std::sync::Arc;

use engine_core::layer::context::Inputs;
use engine_core::pointwise::{Function, Pointwise};
use engine_core::{
    Backward, Dependence, Forward, Kernel, Meaning, PortShapes, Scalar, Signature, Tensor,
};
use engine_kernels::team;
use smallvec::SmallVec;

/// Makes a function of arrays of one shape, element by element, a layer with these ports: `elementwise!(Subtract: "a", "b")`.
///
/// The type implements [`Function`] and [`Pointwise`].
macro_rules! elementwise {
    ($type:ident: $($port:literal),+) => {
        #[typetag::serde]
        impl engine_core::Layer for $type {
            fn ports(&self) -> Vec<engine_core::Port> {
                vec![$(engine_core::Port::real($port, [engine_core::Axis::Rest])),+]
            }

            fn signature(
                &self,
                inputs: &engine_core::PortShapes<'_>,
            ) -> Result<engine_core::Signature, engine_core::PlanError> {
                Ok($crate::elementwise::signature(self, inputs))
            }

            fn plain(&self, _: &mut engine_core::Memory<'_>) -> engine_core::Lowered {
                engine_core::Lowered::new($crate::elementwise::Elementwise(self.clone()))
            }
        }
    };
}

/// Makes a function of one number a layer: `activation!(Tanh: math::tanh, tanh_slope)`. The first is the function, in place
/// over a slice; the second its slope where its value is y. `is_relu` says that it is max(0, x).
macro_rules! activation {
    ($type:ident: $value:path, $slope:path $(, $is_relu:ident)?) => {
        $crate::elementwise::elementwise!($type: "x");

        impl engine_core::pointwise::Function for $type {
            fn looks_at(&self) -> engine_core::pointwise::LooksAt {
                engine_core::pointwise::LooksAt::Value
            }
            $(fn $is_relu(&self) -> bool {
                true
            })?
        }

        impl<T: engine_core::Scalar> engine_core::pointwise::Pointwise<T> for $type {
            fn value(&self, x: &[&[T]], y: &mut [T]) {
                y.copy_from_slice(x[0]);
                $value(y);
            }

            fn add_slope(&self, _: &[&[T]], y: &[T], dy: &[T], _: usize, dx: &mut [T]) {
                $crate::elementwise::add_slope(dx, dy, y, $slope);
            }
        }
    };
}

pub(crate) use {activation, elementwise};

/// The signature of a layer that is a function of all its inputs, element by element.
pub(crate) fn signature<F: Function + Clone + 'static>(
    function: &F,
    inputs: &PortShapes<'_>,
) -> Signature {
    Signature::output(inputs.shape(0).clone(), Dependence::Elementwise)
        .meaning(Meaning::Elementwise(Arc::new(function.clone())))
}

/// A function of all inputs, element by element.
#[derive(Debug)]
pub(crate) struct Elementwise<F>(pub(crate) F);

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

impl<T: Scalar, F: Pointwise<T> + Debug> Kernel<T> for Elementwise<F> {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = Arguments::of(&cx.inputs);
        team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), PIECE, |at, y| {
            self.0.value(&x.part(at, y.len()), y);
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let x = Arguments::of(&cx.inputs);
        let (y, dy) = (cx.outputs[0].as_slice(), cx.output_gradients[0].as_slice());
        for port in 0..cx.inputs.len() {
            let Some(dx) = cx.input_gradients.get(port) else { continue };
            team::for_each_chunk_mut(dx.as_mut_slice(), PIECE, |at, dx| {
                let (y, dy) = (part(y, at, dx), part(dy, at, dx));
                self.0.add_slope(&x.part(at, dx.len()), y, dy, port, dx);
            });
        }
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
