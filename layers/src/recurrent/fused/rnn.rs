//! The one sum of a plain recurrence.

use engine_kernels::lanes::Simd;
use engine_kernels::math::{Math, tanh_v};

use super::cell::{Cell, Close, Open};
use crate::recurrent::rnn::Activation;

/// The cell of [`Rnn`](crate::Rnn).
#[derive(Debug, Clone, Copy)]
pub(crate) struct RnnCell(pub(crate) Activation);

impl Cell for RnnCell {
    const GATES: usize = 1;
    const REMEMBERS: bool = false;

    #[inline(always)]
    fn open<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Open<'_, T>) {
        let (lanes, zero) = (T::lanes(simd), T::splat(simd, T::ZERO));
        for (h, sum) in step.h.chunks_mut(lanes).zip(gates.chunks(lanes)) {
            let sum = T::load_part(simd, sum);
            let value = match self.0 {
                Activation::Tanh => tanh_v::<T, S>(simd, sum),
                // Not a number is not less, and stays.
                Activation::Relu => T::select_less(simd, sum, zero, zero, sum),
            };
            T::store_part(simd, h, value);
        }
    }

    #[inline(always)]
    fn close<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Close<'_, T>) {
        let (lanes, one) = (T::lanes(simd), T::splat(simd, T::ONE));
        let zero = T::splat(simd, T::ZERO);
        let rows = step.h.chunks(lanes).zip(step.dh.chunks(lanes)).zip(gates.chunks_mut(lanes));
        for ((h, dh), gradient) in rows {
            let (h, dh) = (T::load_part(simd, h), T::load_part(simd, dh));
            let slope = match self.0 {
                Activation::Tanh => T::sub(simd, one, T::mul(simd, h, h)),
                Activation::Relu => T::select_less(simd, zero, h, one, zero),
            };
            T::store_part(simd, gradient, T::mul(simd, dh, slope));
        }
    }
}
