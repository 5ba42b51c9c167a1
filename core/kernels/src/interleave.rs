//! Numbers that take turns, four at a time: apart, and together again.

use pulp::Simd;

/// Numbers of each of the four.
pub const EACH: usize = 16;
/// All numbers.
pub const ALL: usize = 4 * EACH;

/// Takes `a0 b0 c0 d0 a1 b1 ..` apart, to all of a, then all of b, c and d.
#[inline(always)]
pub fn apart<S: Simd>(simd: S, together: &[f32; ALL], apart: &mut [f32; ALL]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V4>() {
        let evens: [i32; EACH] = std::array::from_fn(|i| 2 * i as i32);
        let odds: [i32; EACH] = std::array::from_fn(|i| 2 * i as i32 + 1);
        *apart = x86::halve_twice(*avx512, together, evens, odds);
        return;
    }
    let _ = simd;
    for (at, group) in together.as_chunks::<4>().0.iter().enumerate() {
        for (kind, x) in group.iter().enumerate() {
            apart[kind * EACH + at] = *x;
        }
    }
}

/// Puts all of a, b, c and d, one after the other, together as `a0 b0 c0 d0 a1 b1 ..`.
#[inline(always)]
pub fn together<S: Simd>(simd: S, apart: &[f32; ALL], together: &mut [f32; ALL]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(avx512) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V4>() {
        let half = EACH as i32 / 2;
        let turns = |from: i32| -> [i32; EACH] {
            std::array::from_fn(|i| from + i as i32 / 2 + (i as i32 % 2) * EACH as i32)
        };
        *together = x86::join_twice(*avx512, apart, turns(0), turns(half));
        return;
    }
    let _ = simd;
    for (at, group) in together.as_chunks_mut::<4>().0.iter_mut().enumerate() {
        for (kind, x) in group.iter_mut().enumerate() {
            *x = apart[kind * EACH + at];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use pulp::x86::V4;
    use pulp::{cast, f32x16};
    use std::arch::x86_64::{__m512, __m512i};

    use super::{ALL, EACH};

    #[inline(always)]
    fn four(numbers: &[f32; ALL]) -> [__m512; 4] {
        let [a, b, c, d]: [f32x16; 4] = cast(*numbers);
        [cast(a), cast(b), cast(c), cast(d)]
    }

    #[inline(always)]
    fn all(four: [__m512; 4]) -> [f32; ALL] {
        let four: [f32x16; 4] = [cast(four[0]), cast(four[1]), cast(four[2]), cast(four[3])];
        cast(four)
    }

    /// Every second number, and the others; of both the same again.
    #[inline(always)]
    pub(super) fn halve_twice(
        simd: V4,
        numbers: &[f32; ALL],
        evens: [i32; EACH],
        odds: [i32; EACH],
    ) -> [f32; ALL] {
        let (evens, odds): (__m512i, __m512i) = (cast(evens), cast(odds));
        let simd = simd.avx512f;
        let [p, q, r, s] = four(numbers);
        let even = |a, b| simd._mm512_permutex2var_ps(a, evens, b);
        let odd = |a, b| simd._mm512_permutex2var_ps(a, odds, b);
        let (ac, ac2) = (even(p, q), even(r, s));
        let (bd, bd2) = (odd(p, q), odd(r, s));
        all([even(ac, ac2), even(bd, bd2), odd(ac, ac2), odd(bd, bd2)])
    }

    /// The numbers of two by turns, those of two others, and those of the results.
    #[inline(always)]
    pub(super) fn join_twice(
        simd: V4,
        numbers: &[f32; ALL],
        low: [i32; EACH],
        high: [i32; EACH],
    ) -> [f32; ALL] {
        let (low, high): (__m512i, __m512i) = (cast(low), cast(high));
        let simd = simd.avx512f;
        let [a, b, c, d] = four(numbers);
        let lower = |a, b| simd._mm512_permutex2var_ps(a, low, b);
        let upper = |a, b| simd._mm512_permutex2var_ps(a, high, b);
        let (ac, ac2) = (lower(a, c), upper(a, c));
        let (bd, bd2) = (lower(b, d), upper(b, d));
        all([lower(ac, bd), upper(ac, bd), lower(ac2, bd2), upper(ac2, bd2)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::{WithSimd, on_each_form};

    #[derive(Clone)]
    struct Both;

    impl WithSimd for Both {
        type Output = ([f32; ALL], [f32; ALL]);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let numbers: [f32; ALL] = std::array::from_fn(|i| i as f32);
            let (mut sorted, mut again) = ([0.0; ALL], [0.0; ALL]);
            apart(simd, &numbers, &mut sorted);
            together(simd, &sorted, &mut again);
            (sorted, again)
        }
    }

    #[test]
    fn numbers_are_sorted_by_turn_and_back_in_every_form() {
        for (form, (sorted, again)) in on_each_form(Both) {
            for at in 0..ALL {
                assert_eq!(sorted[at], (4 * (at % EACH) + at / EACH) as f32, "{form}");
                assert_eq!(again[at], at as f32, "{form}");
            }
        }
    }
}
