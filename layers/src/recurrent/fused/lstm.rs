//! The gates of the long short-term memory.

use engine_kernels::lanes::Simd;
use engine_kernels::math::{Math, sigmoid_v, tanh_v};

use super::cell::{Cell, Close, Open, share};

/// The cell of [`Lstm`](crate::Lstm), its gates in the order i, f, o, g.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LstmCell;

impl Cell for LstmCell {
    const GATES: usize = 4;
    const REMEMBERS: bool = true;

    #[inline(always)]
    fn open<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Open<'_, T>) {
        let lanes = T::lanes(simd);
        let Open { c_before, c, h } = step;
        for from in (0..h.len()).step_by(lanes) {
            let units = from..h.len().min(from + lanes);
            let sum = |gate: usize, gates: &[T]| {
                T::load_part(simd, &gates[gate * share::<T, Self>() + from..][..lanes])
            };
            let i = sigmoid_v::<T, S>(simd, sum(0, gates));
            let f = sigmoid_v::<T, S>(simd, sum(1, gates));
            let o = sigmoid_v::<T, S>(simd, sum(2, gates));
            let g = tanh_v::<T, S>(simd, sum(3, gates));
            let kept = T::mul(simd, f, T::load_part(simd, &c_before[units.clone()]));
            let now = T::mul_add(simd, i, g, kept);
            T::store_part(simd, &mut c[units.clone()], now);
            T::store_part(simd, &mut h[units], T::mul(simd, o, tanh_v::<T, S>(simd, now)));
            for (gate, value) in [i, f, o, g].into_iter().enumerate() {
                let to = &mut gates[gate * share::<T, Self>() + from..][..lanes];
                T::store_part(simd, to, value);
            }
        }
    }

    #[inline(always)]
    fn close<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Close<'_, T>) {
        let (lanes, one) = (T::lanes(simd), T::splat(simd, T::ONE));
        let Close { c_before, c, dh, dc, .. } = step;
        for from in (0..dh.len()).step_by(lanes) {
            let units = from..dh.len().min(from + lanes);
            let gate = |gate: usize| {
                T::load_part(simd, &gates[gate * share::<T, Self>() + from..][..lanes])
            };
            let [i, f, o, g] = [gate(0), gate(1), gate(2), gate(3)];
            let dh = T::load_part(simd, &dh[units.clone()]);
            let tanh_c = tanh_v::<T, S>(simd, T::load_part(simd, &c[units.clone()]));
            let times = |a, b| T::mul(simd, a, b);
            // The slopes of sigmoid and tanh where their values are y.
            let of_sigmoid = |y| times(y, T::sub(simd, one, y));
            let of_tanh = |y| T::sub(simd, one, times(y, y));
            let after = T::load_part(simd, &dc[units.clone()]);
            let d = T::mul_add(simd, times(dh, o), of_tanh(tanh_c), after);
            let before = T::load_part(simd, &c_before[units.clone()]);
            T::store_part(simd, &mut dc[units], times(d, f));
            let gradients = [
                times(times(d, g), of_sigmoid(i)),
                times(times(d, before), of_sigmoid(f)),
                times(times(dh, tanh_c), of_sigmoid(o)),
                times(times(d, i), of_tanh(g)),
            ];
            for (gate, gradient) in gradients.into_iter().enumerate() {
                let to = &mut gates[gate * share::<T, Self>() + from..][..lanes];
                T::store_part(simd, to, gradient);
            }
        }
    }
}
