//! Vectors of numbers: kernels written once, compiled for every instruction set that a processor may have.
//!
//! A kernel is a type with [`WithSimd`]; its `with_simd`, and every function that it calls per vector, is
//! `#[inline(always)]`, so that all of it is compiled with the instructions of `S`; closures are not, unless they happen
//! to be inlined, so loops are better. [`widest`] runs it.
//!
//! The forms differ in bits where a product and a sum meet: [`Lanes::mul_add`] rounds once with AVX-512 and AVX2, twice
//! in the portable form. Sums over vectors ([`Lanes::reduce_add`]) depend on the number of lanes too.
//!
//! ```
//! use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
//!
//! /// y = y + a x, for slices of one length.
//! struct AddScaled<'a>(f32, &'a [f32], &'a mut [f32]);
//!
//! impl WithSimd for AddScaled<'_> {
//!     type Output = ();
//!
//!     #[inline(always)]
//!     fn with_simd<S: Simd>(self, simd: S) {
//!         let (a, lanes) = (f32::splat(simd, self.0), f32::lanes(simd));
//!         for (x, y) in self.1.chunks(lanes).zip(self.2.chunks_mut(lanes)) {
//!             let (x, before) = (f32::load_part(simd, x), f32::load_part(simd, y));
//!             // A plain `f32::mul_add` is that of single numbers.
//!             let sum = <f32 as Lanes>::mul_add(simd, a, x, before);
//!             f32::store_part(simd, y, sum);
//!         }
//!     }
//! }
//!
//! let mut y = [1.0; 21];
//! lanes::widest(AddScaled(2.0, &[3.0; 21], &mut y));
//! assert_eq!(y, [7.0; 21]);
//! ```

use pulp::bytemuck::{cast, cast_slice_mut};
use pulp::{Arch, MemMask, Scalar};
pub use pulp::{Simd, WithSimd};

/// A type of number that vectors are made of.
///
/// Every operation works lane by lane and rounds as the same operation on single numbers does.
pub trait Lanes: Copy + Send + Sync + 'static {
    /// 3/2 of the power of two beyond which only whole numbers exist: adding and then subtracting it rounds to the
    /// nearest whole number, for numbers of at most a third of it.
    const ROUND: Self;

    /// A vector in the registers of `S`.
    type Vector<S: Simd>: Copy;

    /// How many numbers a vector holds: 16 of `f32` with AVX-512, 1 in the portable form.
    fn lanes<S: Simd>(simd: S) -> usize;

    /// x in every lane.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;

    /// The numbers at `from` and after it.
    ///
    /// # Safety
    /// `from` points to [`lanes`](Self::lanes) readable numbers, of any alignment.
    unsafe fn load<S: Simd>(simd: S, from: *const Self) -> Self::Vector<S>;

    /// Writes the numbers of `v` to `to` and after it.
    ///
    /// # Safety
    /// `to` points to [`lanes`](Self::lanes) writable numbers, of any alignment.
    unsafe fn store<S: Simd>(simd: S, to: *mut Self, v: Self::Vector<S>);

    /// The first numbers of `from`, as many as a vector holds, and 0 in the lanes that are left.
    fn load_part<S: Simd>(simd: S, from: &[Self]) -> Self::Vector<S>;

    /// Writes the first numbers of `v`, as many as `to` holds.
    fn store_part<S: Simd>(simd: S, to: &mut [Self], v: Self::Vector<S>);

    /// a + b.
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a - b.
    fn sub<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a b.
    fn mul<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a / b.
    fn div<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a where a < b, elsewhere b: b where either is NaN.
    fn min<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a where a > b, elsewhere b: b where either is NaN.
    fn max<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;

    /// a b + c, rounded once where the instruction set can, after the product too where it cannot.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// The square root; NaN below 0.
    fn sqrt<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;

    /// a without its sign.
    fn abs<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;

    /// -a.
    fn neg<S: Simd>(simd: S, a: Self::Vector<S>) -> Self::Vector<S>;

    /// |a| with the sign of `sign`, be it that of a zero or a NaN.
    fn copy_sign<S: Simd>(simd: S, a: Self::Vector<S>, sign: Self::Vector<S>) -> Self::Vector<S>;

    /// `if_less` where a < b, elsewhere `otherwise`: so where either is NaN.
    fn select_less<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        if_less: Self::Vector<S>,
        otherwise: Self::Vector<S>,
    ) -> Self::Vector<S>;

    /// The sum of the lanes, in an order that follows from their number.
    fn reduce_add<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;

    /// The greatest of the lanes; any of them when one is NaN.
    fn reduce_max<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;

    /// x 2^n for whole n between -252 and 254, in double precision between -2044 and 2046; NaN where x is NaN.
    ///
    /// Rounds once where |x| is between 1/2 and 4; outside of that, an x may round twice on its way to below the
    /// smallest normal number.
    fn scale_by_power_of_two<S: Simd>(
        simd: S,
        x: Self::Vector<S>,
        n: Self::Vector<S>,
    ) -> Self::Vector<S>;
}

macro_rules! lanes {
    (
        $type:ident, $bits:ident, $vector:ident, $lanes:ident,
        $splat:ident, $mask:ident, $load:ident, $store:ident,
        $add:ident, $sub:ident, $mul:ident, $div:ident, $min:ident, $max:ident, $mul_add:ident,
        $sqrt:ident, $abs:ident, $neg:ident, $and:ident, $or:ident, $less:ident, $select:ident,
        $reduce_add:ident, $reduce_max:ident, $avx512:ident, $scale:ident
    ) => {
        impl Lanes for $type {
            const ROUND: Self = 1.5 / <$type>::EPSILON;

            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn lanes<S: Simd>(_: S) -> usize {
                S::$lanes
            }

            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }

            #[inline(always)]
            unsafe fn load<S: Simd>(_: S, from: *const Self) -> S::$vector {
                // SAFETY: a vector is as many numbers as it has lanes, and the caller vouches for those.
                unsafe { from.cast::<S::$vector>().read_unaligned() }
            }

            #[inline(always)]
            unsafe fn store<S: Simd>(_: S, to: *mut Self, v: S::$vector) {
                // SAFETY: a vector is as many numbers as it has lanes, and the caller vouches for those.
                unsafe { to.cast::<S::$vector>().write_unaligned(v) }
            }

            #[inline(always)]
            fn load_part<S: Simd>(simd: S, from: &[Self]) -> S::$vector {
                if from.len() >= S::$lanes {
                    // SAFETY: the slice holds as many numbers as a vector.
                    return unsafe { Self::load(simd, from.as_ptr()) };
                }
                let count = from.len().min(S::$lanes) as $bits;
                // A mask without its table of routines: those cannot be inlined.
                let mask = MemMask::new(simd.$mask(0, count).mask());
                // SAFETY: the mask holds no lane at or beyond the end of the slice.
                unsafe { simd.$load(mask, from.as_ptr()) }
            }

            #[inline(always)]
            fn store_part<S: Simd>(simd: S, to: &mut [Self], v: S::$vector) {
                if to.len() >= S::$lanes {
                    // SAFETY: the slice has room for as many numbers as a vector holds.
                    return unsafe { Self::store(simd, to.as_mut_ptr(), v) };
                }
                let count = to.len().min(S::$lanes) as $bits;
                let mask = MemMask::new(simd.$mask(0, count).mask());
                // SAFETY: the mask holds no lane at or beyond the end of the slice.
                unsafe { simd.$store(mask, to.as_mut_ptr(), v) }
            }

            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn sub<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$sub(a, b)
            }

            #[inline(always)]
            fn mul<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }

            #[inline(always)]
            fn div<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$div(a, b)
            }

            #[inline(always)]
            fn min<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                // Only the vector instructions of x86 treat NaN as promised.
                if cfg!(target_arch = "x86_64") && !S::IS_SCALAR {
                    simd.$min(a, b)
                } else {
                    Self::select_less(simd, a, b, a, b)
                }
            }

            #[inline(always)]
            fn max<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                if cfg!(target_arch = "x86_64") && !S::IS_SCALAR {
                    simd.$max(a, b)
                } else {
                    Self::select_less(simd, b, a, a, b)
                }
            }

            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }

            #[inline(always)]
            fn sqrt<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                simd.$sqrt(a)
            }

            #[inline(always)]
            fn abs<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                simd.$abs(a)
            }

            #[inline(always)]
            fn neg<S: Simd>(simd: S, a: S::$vector) -> S::$vector {
                simd.$neg(a)
            }

            #[inline(always)]
            fn copy_sign<S: Simd>(simd: S, a: S::$vector, sign: S::$vector) -> S::$vector {
                let sign = simd.$and(sign, simd.$splat(-0.0));
                simd.$or(simd.$abs(a), sign)
            }

            #[inline(always)]
            fn select_less<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                if_less: S::$vector,
                otherwise: S::$vector,
            ) -> S::$vector {
                simd.$select(simd.$less(a, b), if_less, otherwise)
            }

            #[inline(always)]
            fn reduce_add<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$reduce_add(a)
            }

            #[inline(always)]
            fn reduce_max<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$reduce_max(a)
            }

            #[inline(always)]
            fn scale_by_power_of_two<S: Simd>(simd: S, x: S::$vector, n: S::$vector) -> S::$vector {
                /// 2^n for whole n whose results are normal numbers.
                #[inline(always)]
                fn powers_of_two<S: Simd>(mut n: S::$vector) -> S::$vector {
                    const BIAS: $bits = <$type>::MAX_EXP as $bits - 1;
                    const MANTISSA: u32 = <$type>::MANTISSA_DIGITS - 1;
                    let lanes: &mut [$type] = cast_slice_mut(std::slice::from_mut(&mut n));
                    for n in lanes {
                        // After adding ROUND, the low bits are the whole number itself.
                        let bits = (*n + <$type>::ROUND).to_bits();
                        *n = <$type>::from_bits(bits.wrapping_add(BIAS) << MANTISSA);
                    }
                    n
                }

                #[cfg(target_arch = "x86_64")]
                if let Some(avx512) = (&simd as &dyn std::any::Any).downcast_ref::<pulp::x86::V4>()
                {
                    let (x, n): (pulp::$avx512, pulp::$avx512) = (cast(x), cast(n));
                    let scaled = avx512.avx512f.$scale(pulp::cast(x), pulp::cast(n));
                    return cast(pulp::cast::<_, pulp::$avx512>(scaled));
                }
                // In two factors, so that neither of them leaves the range of normal numbers.
                let round = simd.$splat(<$type>::ROUND);
                let half = simd.$sub(simd.$mul_add(n, simd.$splat(0.5), round), round);
                let rest = simd.$sub(n, half);
                simd.$mul(simd.$mul(x, powers_of_two::<S>(half)), powers_of_two::<S>(rest))
            }
        }
    };
}

lanes!(
    f32,
    u32,
    f32s,
    F32_LANES,
    splat_f32s,
    mask_between_m32s,
    mask_load_ptr_f32s,
    mask_store_ptr_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    div_f32s,
    min_f32s,
    max_f32s,
    mul_add_e_f32s,
    sqrt_f32s,
    abs_f32s,
    neg_f32s,
    and_f32s,
    or_f32s,
    less_than_f32s,
    select_f32s,
    reduce_sum_f32s,
    reduce_max_f32s,
    f32x16,
    _mm512_scalef_ps
);
lanes!(
    f64,
    u64,
    f64s,
    F64_LANES,
    splat_f64s,
    mask_between_m64s,
    mask_load_ptr_f64s,
    mask_store_ptr_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    div_f64s,
    min_f64s,
    max_f64s,
    mul_add_e_f64s,
    sqrt_f64s,
    abs_f64s,
    neg_f64s,
    and_f64s,
    or_f64s,
    less_than_f64s,
    select_f64s,
    reduce_sum_f64s,
    reduce_max_f64s,
    f64x8,
    _mm512_scalef_pd
);

/// Runs `work` compiled for the widest instruction set that the processor has.
#[inline]
pub fn widest<W: WithSimd>(work: W) -> W::Output {
    Arch::new().dispatch(work)
}

/// Runs `work` in every form that the processor can run, for tests: the name of each form and what came of it.
pub fn on_each_form<W: WithSimd + Clone>(work: W) -> Vec<(&'static str, W::Output)> {
    let mut outputs = vec![("portable", Scalar.vectorize(work.clone()))];
    #[cfg(target_arch = "x86_64")]
    {
        use pulp::x86::{V3, V4};
        outputs.extend(V3::try_new().map(|avx2| ("AVX2", Simd::vectorize(avx2, work.clone()))));
        outputs.extend(V4::try_new().map(|avx512| ("AVX-512", Simd::vectorize(avx512, work))));
    }
    #[cfg(not(target_arch = "x86_64"))]
    outputs.push(("widest", widest(work)));
    outputs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Applies an operation to x, y and z, in whole vectors and in a part of one.
    #[derive(Clone)]
    struct Apply<F>(F);

    trait Operation<T: Lanes>: Clone {
        fn of<S: Simd>(simd: S, x: T::Vector<S>, y: T::Vector<S>, z: T::Vector<S>) -> T::Vector<S>;
    }

    /// What the tests feed to an operation, at every combination.
    const NUMBERS: [f32; 13] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.3,
        -2.5,
        7e-42,
        3e38,
        -3e38,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1e-20,
    ];

    fn triples() -> Vec<[f32; 3]> {
        let pairs = NUMBERS.iter().flat_map(|x| NUMBERS.map(|y| [*x, y]));
        pairs.flat_map(|[x, y]| NUMBERS.map(|z| [x, y, z])).collect()
    }

    impl<F: Operation<f32> + Operation<f64>> WithSimd for Apply<F> {
        type Output = (Vec<f32>, Vec<f64>);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            (apply::<f32, F, S>(simd, |x| x), apply::<f64, F, S>(simd, f64::from))
        }
    }

    #[inline(always)]
    fn apply<T: Lanes, F: Operation<T>, S: Simd>(simd: S, of: fn(f32) -> T) -> Vec<T> {
        let column = |i: usize| triples().iter().map(|t| of(t[i])).collect::<Vec<_>>();
        let (x, y, z, lanes) = (column(0), column(1), column(2), T::lanes(simd));
        let (mut whole, mut part) = (x.clone(), x.clone());
        for from in (0..=x.len() - lanes).step_by(lanes) {
            // SAFETY: `lanes` numbers from `from` on are within each column.
            unsafe {
                let v = |column: &[T]| T::load(simd, column.as_ptr().add(from));
                T::store(simd, whole.as_mut_ptr().add(from), F::of(simd, v(&x), v(&y), v(&z)));
            }
        }
        let width = lanes.div_ceil(2);
        for from in (0..x.len()).step_by(width) {
            let chunk = from..x.len().min(from + width);
            let v = |column: &[T]| T::load_part(simd, &column[chunk.clone()]);
            T::store_part(simd, &mut part[chunk.clone()], F::of(simd, v(&x), v(&y), v(&z)));
        }
        let tail = x.len() / lanes * lanes;
        whole[tail..].copy_from_slice(&part[tail..]);
        let bits = |v: &[T]| {
            // SAFETY: every bit pattern of a number is so many bytes.
            let bytes = unsafe {
                std::slice::from_raw_parts(v.as_ptr().cast::<u8>(), std::mem::size_of_val(v))
            };
            bytes.to_vec()
        };
        assert_eq!(bits(&whole), bits(&part), "whole vectors and parts");
        whole
    }

    /// Defines an operation and asserts that each form computes `single` of one number at a time.
    macro_rules! assert_operation {
        ($vector:expr, $single:expr) => {{
            #[derive(Clone)]
            struct Tested;
            impl<T: Lanes> Operation<T> for Tested {
                #[inline(always)]
                fn of<S: Simd>(
                    simd: S,
                    x: T::Vector<S>,
                    y: T::Vector<S>,
                    z: T::Vector<S>,
                ) -> T::Vector<S> {
                    let f = $vector;
                    f(simd, x, y, z)
                }
            }
            for (form, (singles, doubles)) in on_each_form(Apply(Tested)) {
                for (i, [x, y, z]) in triples().into_iter().enumerate() {
                    let f: fn(f32, f32, f32) -> Vec<f32> = $single;
                    let right = f(x, y, z);
                    let same = |r: &f32| {
                        r.to_bits() == singles[i].to_bits() || (r.is_nan() && singles[i].is_nan())
                    };
                    assert!(right.iter().any(same), "{form} {x} {y} {z}: {} {right:?}", singles[i]);
                    let f: fn(f64, f64, f64) -> Vec<f64> = $single;
                    let right = f(x.into(), y.into(), z.into());
                    let same = |r: &f64| {
                        r.to_bits() == doubles[i].to_bits() || (r.is_nan() && doubles[i].is_nan())
                    };
                    assert!(right.iter().any(same), "{form} {x} {y} {z}: {} {right:?}", doubles[i]);
                }
            }
        }};
    }

    #[test]
    fn operations_are_those_of_single_numbers_in_every_form() {
        assert_operation!(|s, x, y, _| T::add(s, x, y), |x, y, _| vec![x + y]);
        assert_operation!(|s, x, y, _| T::sub(s, x, y), |x, y, _| vec![x - y]);
        assert_operation!(|s, x, y, _| T::mul(s, x, y), |x, y, _| vec![x * y]);
        assert_operation!(|s, x, y, _| T::div(s, x, y), |x, y, _| vec![x / y]);
        assert_operation!(|s, x, y, _| T::min(s, x, y), |x, y, _| vec![if x < y { x } else { y }]);
        assert_operation!(|s, x, y, _| T::max(s, x, y), |x, y, _| vec![if x > y { x } else { y }]);
        assert_operation!(|s, x, y, z| T::mul_add(s, x, y, z), |x, y, z| {
            vec![x.mul_add(y, z), x * y + z]
        });
        assert_operation!(|s, x, _, _| T::sqrt(s, x), |x, _, _| vec![x.sqrt()]);
        assert_operation!(|s, x, _, _| T::abs(s, x), |x, _, _| vec![x.abs()]);
        assert_operation!(|s, x, _, _| T::neg(s, x), |x, _, _| vec![-x]);
        assert_operation!(|s, x, y, _| T::copy_sign(s, x, y), |x, y, _| vec![x.copysign(y)]);
        assert_operation!(|s, x, y, z| T::select_less(s, x, y, z, x), |x, y, z| {
            vec![if x < y { z } else { x }]
        });
    }

    /// x 2^n in single and double precision, of one number in every lane.
    #[derive(Clone)]
    struct Scale(f64, i32);

    impl WithSimd for Scale {
        type Output = (f32, f64);

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> (f32, f64) {
            let Self(x, n) = self;
            let single = f32::scale_by_power_of_two(
                simd,
                f32::splat(simd, x as f32),
                f32::splat(simd, n as f32),
            );
            let double =
                f64::scale_by_power_of_two(simd, f64::splat(simd, x), f64::splat(simd, n.into()));
            (f32::reduce_max(simd, single), f64::reduce_max(simd, double))
        }
    }

    #[test]
    fn powers_of_two_scale_with_one_rounding_in_every_form() {
        for n in -252..=254 {
            for x in [1.0, 0.5, 1.2345678, -1.9999999, 3.9, f64::INFINITY, 0.0] {
                for (form, (single, double)) in on_each_form(Scale(x, n)) {
                    let right = f64::from(x as f32) * 2f64.powi(n);
                    assert_eq!(single, right as f32, "{form}: {x} 2^{n}");
                    assert_eq!(double, x * 2f64.powi(n), "{form}: {x} 2^{n}");
                }
            }
        }
        for (form, (_, double)) in on_each_form(Scale(1.9, -1060)) {
            assert_eq!(double, 1.9 * 2f64.powi(-530) * 2f64.powi(-530), "{form}");
        }
        for (form, (single, double)) in on_each_form(Scale(f64::NAN, 3)) {
            assert!(single.is_nan() && double.is_nan(), "{form}");
        }
    }

    /// The sum and the greatest of the first numbers from 1 on, as many as there are lanes.
    #[derive(Clone)]
    struct Reduce;

    impl WithSimd for Reduce {
        type Output = [f64; 5];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> [f64; 5] {
            let single: Vec<f32> = (0..f32::lanes(simd)).map(|x| x as f32 + 1.0).collect();
            let double: Vec<f64> = (0..f64::lanes(simd)).map(|x| x as f64 + 1.0).collect();
            let (x, y) = (f32::load_part(simd, &single), f64::load_part(simd, &double));
            [
                single.len() as f64,
                f32::reduce_add(simd, x).into(),
                f32::reduce_max(simd, x).into(),
                f64::reduce_add(simd, y),
                f64::reduce_max(simd, y),
            ]
        }
    }

    #[test]
    fn every_lane_is_reduced() {
        for (form, [lanes, single, single_max, double, double_max]) in on_each_form(Reduce) {
            let half = (lanes / 2.0).max(1.0);
            assert_eq!((single, single_max), (lanes * (lanes + 1.0) / 2.0, lanes), "{form}");
            assert_eq!((double, double_max), (half * (half + 1.0) / 2.0, half), "{form}");
        }
    }
}
