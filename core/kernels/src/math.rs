//! Exponentials over vectors and slices: the functions that gates and losses spend their time in.
//!
//! | function | relative error, single | double |
//! |---|---|---|
//! | e^x | 1e-7 | 3e-16 |
//! | tanh x | 2e-7 | 5e-16 |
//! | 1 / (1 + e^-x) | 2e-7 | 4e-16 |
//!
//! These hold for every finite x; results below the smallest normal number are off by at most that share of it. NaN
//! stays NaN. A result has the same bits wherever its x lies in a slice, and the same with AVX-512 and AVX2; the
//! portable form rounds its products, so it differs in the last bits.

use std::marker::PhantomData;

use crate::lanes::{Lanes, Simd, WithSimd, widest};

/// A type with element-wise transcendental functions: what they need to know of its precision.
pub trait Math: Lanes {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// 2.
    const TWO: Self;
    /// 1 / ln 2.
    const LOG2_E: Self;
    /// -ln 2 in few bits, so that its product with an exponent is exact.
    const MINUS_LN2_HIGH: Self;
    /// What -ln 2 has beyond [`MINUS_LN2_HIGH`](Self::MINUS_LN2_HIGH).
    const MINUS_LN2_LOW: Self;
    /// e^x is 0 here and below.
    const EXP_IS_ZERO: Self;
    /// e^x is infinite here and above.
    const EXP_IS_INFINITE: Self;
    /// tanh x is 1 here and above.
    const TANH_IS_ONE: Self;
    /// q with e^r = 1 + r + r^2 q(r) for |r| <= ln 2 / 2, from the highest power to the lowest.
    ///
    /// Interpolates at Chebyshev nodes, which is within a factor of two of the least greatest error. With mpmath, for
    /// 5 coefficients: `chebyfit(lambda r: hyp1f1(1, 3, r) / 2, [-log(2) / 2, log(2) / 2], 5)`.
    const EXP: &'static [Self];
}

impl Math for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TWO: Self = 2.0;
    const LOG2_E: Self = std::f32::consts::LOG2_E;
    const MINUS_LN2_HIGH: Self = -355.0 / 512.0;
    const MINUS_LN2_LOW: Self = 2.121_944_4e-4;
    const EXP_IS_ZERO: Self = -104.0;
    const EXP_IS_INFINITE: Self = 89.0;
    const TANH_IS_ONE: Self = 10.0;
    /// Relative error of e^r 1e-8.
    const EXP: &'static [Self] =
        &[0.001_392_617_6, 0.008_363_173, 0.041_666_556, 0.166_665_78, 0.5];
}

impl Math for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;
    const TWO: Self = 2.0;
    const LOG2_E: Self = std::f64::consts::LOG2_E;
    /// 33 bits of ln 2, and the rest (fdlibm, `e_exp.c`).
    const MINUS_LN2_HIGH: Self = -6.931_471_803_691_238e-1;
    const MINUS_LN2_LOW: Self = -1.908_214_929_270_587_7e-10;
    const EXP_IS_ZERO: Self = -746.0;
    const EXP_IS_INFINITE: Self = 710.0;
    const TANH_IS_ONE: Self = 20.0;
    /// Relative error of e^r 2e-17.
    const EXP: &'static [Self] = &[
        2.510_037_583_256_123_4e-8,
        2.762_007_587_998_336_7e-7,
        2.755_726_848_031_002_4e-6,
        2.480_152_132_236_869_2e-5,
        1.984_126_986_304_054_5e-4,
        1.388_888_891_719_671_9e-3,
        8.333_333_333_330_065e-3,
        4.166_666_666_662_416_4e-2,
        1.666_666_666_666_666_9e-1,
        0.500_000_000_000_000_1,
    ];
}

/// e^x in every lane; 0 for minus infinity.
#[inline(always)]
pub fn exp_v<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S> {
    // NaN passes: a bound comes back only where it is the greater or the smaller.
    exp_below_infinity::<T, S>(simd, T::min(simd, T::splat(simd, T::EXP_IS_INFINITE), x))
}

/// tanh x in every lane: an odd function to the last bit.
#[inline(always)]
pub fn tanh_v<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S> {
    let one = T::splat(simd, T::ONE);
    let two = T::splat(simd, T::TWO);
    let a = T::min(simd, T::splat(simd, T::TANH_IS_ONE), T::abs(simd, x));
    // With m = e^2a - 1, tanh a = m / (m + 2): near 0 it is as exact as m.
    let (n, p) = exp_reduced::<T, S>(simd, T::add(simd, a, a));
    let scale = T::scale_by_power_of_two(simd, one, n);
    let m = T::mul_add(simd, scale, p, T::sub(simd, scale, one));
    T::copy_sign(simd, T::div(simd, m, T::add(simd, m, two)), x)
}

/// 1 / (1 + e^-x) in every lane, with full precision as it approaches 0.
#[inline(always)]
pub fn sigmoid_v<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S> {
    let (zero, one) = (T::splat(simd, T::ZERO), T::splat(simd, T::ONE));
    // The exponent is never positive: neither end overflows or loses digits.
    let z = exp_below_infinity::<T, S>(simd, T::neg(simd, T::abs(simd, x)));
    let above = T::select_less(simd, x, zero, z, one);
    T::div(simd, above, T::add(simd, one, z))
}

/// e^x for x of at most [`Math::EXP_IS_INFINITE`].
#[inline(always)]
fn exp_below_infinity<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S> {
    let x = T::max(simd, T::splat(simd, T::EXP_IS_ZERO), x);
    let (n, p) = exp_reduced::<T, S>(simd, x);
    T::scale_by_power_of_two(simd, T::add(simd, p, T::splat(simd, T::ONE)), n)
}

/// n and p with e^x = 2^n (1 + p), n whole, p of full relative precision.
#[inline(always)]
fn exp_reduced<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> (T::Vector<S>, T::Vector<S>) {
    let round = T::splat(simd, T::ROUND);
    let n = T::sub(simd, T::mul_add(simd, x, T::splat(simd, T::LOG2_E), round), round);
    let r = T::mul_add(simd, n, T::splat(simd, T::MINUS_LN2_HIGH), x);
    let r = T::mul_add(simd, n, T::splat(simd, T::MINUS_LN2_LOW), r);
    // A loop, for a closure is not compiled with the instructions of S unless it happens to be inlined.
    let mut q = T::splat(simd, T::EXP[0]);
    for c in &T::EXP[1..] {
        q = T::mul_add(simd, q, r, T::splat(simd, *c));
    }
    (n, T::mul_add(simd, T::mul(simd, r, r), q, r))
}

/// x = e^x for every element; 0 for minus infinity.
pub fn exp<T: Math>(xs: &mut [T]) {
    widest(Each::<T, Exp>(xs, PhantomData));
}

/// x = tanh x for every element.
pub fn tanh<T: Math>(xs: &mut [T]) {
    widest(Each::<T, Tanh>(xs, PhantomData));
}

/// x = 1 / (1 + e^-x) for every element, without overflow at either end.
pub fn sigmoid<T: Math>(xs: &mut [T]) {
    widest(Each::<T, Sigmoid>(xs, PhantomData));
}

/// A function of one number, for vectors of them.
trait Function {
    fn of<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S>;
}

macro_rules! function {
    ($name:ident, $of:ident) => {
        struct $name;

        impl Function for $name {
            #[inline(always)]
            fn of<T: Math, S: Simd>(simd: S, x: T::Vector<S>) -> T::Vector<S> {
                $of::<T, S>(simd, x)
            }
        }
    };
}

function!(Exp, exp_v);
function!(Tanh, tanh_v);
function!(Sigmoid, sigmoid_v);

/// x = F(x) for every element.
struct Each<'a, T, F>(&'a mut [T], PhantomData<F>);

impl<T: Math, F: Function> WithSimd for Each<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut vectors = self.0.chunks_exact_mut(T::lanes(simd));
        for xs in &mut vectors {
            // SAFETY: a chunk holds as many numbers as a vector.
            unsafe {
                let x = T::load(simd, xs.as_ptr());
                T::store(simd, xs.as_mut_ptr(), F::of::<T, S>(simd, x));
            }
        }
        let xs = vectors.into_remainder();
        if !xs.is_empty() {
            let x = T::load_part(simd, xs);
            T::store_part(simd, xs, F::of::<T, S>(simd, x));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::lanes::on_each_form;

    /// Numbers that are computed at a time.
    const BLOCK: usize = 1024;

    /// Takes every so many-th point where the compiler does not optimize.
    const fn every(release: u64, debug: u64) -> u64 {
        if cfg!(debug_assertions) { debug } else { release }
    }

    /// The greatest of `work` over parts of `points`, one a processor.
    fn worst_on_threads(points: u64, work: impl Fn(Range<u64>) -> Worst + Sync) -> Worst {
        let parts = std::thread::available_parallelism().unwrap().get() as u64;
        let part = points.div_ceil(parts);
        std::thread::scope(|scope| {
            let work = &work;
            let starts = (0..parts).map(|i| i * part);
            let threads: Vec<_> = starts
                .map(|from| scope.spawn(move || work(from..points.min(from + part))))
                .collect();
            let worst = threads.into_iter().map(|thread| thread.join().unwrap());
            worst.max_by(|a, b| a.error.total_cmp(&b.error)).unwrap()
        })
    }

    /// The greatest relative error, and a number where it occurs.
    #[derive(Debug, Clone, Copy)]
    struct Worst {
        error: f64,
        x: f64,
    }

    impl Worst {
        fn of_block(&mut self, errors: &[f64; BLOCK], xs: &[f64; BLOCK]) {
            // Almost no block holds a new greatest error, and whether one does is asked of all at once.
            if errors.iter().any(|e| *e > self.error) {
                let pairs = errors.iter().zip(xs);
                let (error, x) = pairs.max_by(|a, b| a.0.total_cmp(b.0)).unwrap();
                *self = Self { error: *error, x: *x };
            }
        }
    }

    /// Relative to the smallest normal number where `exact` is smaller than that.
    #[inline(always)]
    fn relative_error(ours: f64, exact: f64, max: f64, min_positive: f64) -> f64 {
        let scale = exact.abs().max(min_positive);
        let error = (ours - exact).abs() / scale;
        let overflows = (ours == f64::INFINITY) & (exact > max);
        let same = (ours == exact) | (ours.is_nan() & exact.is_nan()) | overflows;
        if same {
            0.0
        } else if error.is_nan() {
            f64::INFINITY
        } else {
            error
        }
    }

    /// Applies F to a block, in the form that it is called in.
    #[inline(always)]
    fn apply<T: Math, F: Function, S: Simd>(simd: S, xs: &mut [T]) {
        Each::<T, F>(xs, PhantomData).with_simd(simd);
    }

    /// F in single precision against F in double precision, at every `stride`-th of the floats that `points` numbers.
    struct Singles<F> {
        points: Range<u64>,
        stride: u64,
        function: PhantomData<F>,
    }

    impl<F> Clone for Singles<F> {
        fn clone(&self) -> Self {
            Self { points: self.points.clone(), stride: self.stride, function: PhantomData }
        }
    }

    impl<F: Function> WithSimd for Singles<F> {
        type Output = Worst;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Worst {
            let mut worst = Worst { error: 0.0, x: 0.0 };
            let mut errors = [0.0; BLOCK];
            for from in self.points.clone().step_by(BLOCK) {
                let first = (from * self.stride) as u32;
                let float = |i| f32::from_bits(first.wrapping_add(i as u32 * self.stride as u32));
                let mut ours: [f32; BLOCK] = std::array::from_fn(float);
                let xs = ours.map(f64::from);
                let mut exact = xs;
                apply::<f32, F, S>(simd, &mut ours);
                apply::<f64, F, S>(simd, &mut exact);
                let (max, min_positive) = (f32::MAX.into(), f32::MIN_POSITIVE.into());
                for ((error, ours), exact) in errors.iter_mut().zip(&ours).zip(&exact) {
                    *error = relative_error((*ours).into(), *exact, max, min_positive);
                }
                worst.of_block(&errors, &xs);
            }
            worst
        }
    }

    fn assert_singles<F: Function + Send + Sync>(name: &str, bound: f64) {
        let points = |stride: u64| (1 << 32) / stride / BLOCK as u64 * BLOCK as u64;
        let singles = |points, stride| Singles { points, stride, function: PhantomData::<F> };
        let stride = every(1, 9973);
        let worst = worst_on_threads(points(stride), |part| widest(singles(part, stride)));
        println!("{name}, widest form: {:.2e} at {:e}", worst.error, worst.x);
        assert!(worst.error <= bound, "{name}: {worst:?}");
        let stride = every(61, 99_991);
        for (form, worst) in on_each_form(singles(0..points(stride), stride)) {
            println!("{name}, {form}: {:.2e} at {:e}", worst.error, worst.x);
            assert!(worst.error <= bound, "{name}, {form}: {worst:?}");
        }
    }

    #[test]
    fn exp_of_every_float_is_right() {
        assert_singles::<Exp>("exp", 5e-7);
    }

    #[test]
    fn tanh_of_every_float_is_right() {
        assert_singles::<Tanh>("tanh", 5e-7);
    }

    #[test]
    fn sigmoid_of_every_float_is_right() {
        assert_singles::<Sigmoid>("sigmoid", 5e-7);
    }

    /// F in double precision against the standard library's functions, which are right to about 5e-16.
    struct Doubles<F> {
        points: Range<u64>,
        exact: fn(f64) -> f64,
        function: PhantomData<F>,
    }

    impl<F> Clone for Doubles<F> {
        fn clone(&self) -> Self {
            Self { points: self.points.clone(), exact: self.exact, function: PhantomData }
        }
    }

    impl<F: Function> WithSimd for Doubles<F> {
        type Output = Worst;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Worst {
            let mut worst = Worst { error: 0.0, x: 0.0 };
            for from in self.points.clone().step_by(BLOCK) {
                let xs: [f64; BLOCK] = std::array::from_fn(|i| point(from + i as u64));
                let mut ours = xs;
                apply::<f64, F, S>(simd, &mut ours);
                let errors = std::array::from_fn(|i| {
                    relative_error(ours[i], (self.exact)(xs[i]), f64::MAX, f64::MIN_POSITIVE)
                });
                worst.of_block(&errors, &xs);
            }
            worst
        }
    }

    /// The i-th of a sequence of numbers: in turn any bit pattern, numbers where gates work, numbers where e^x is
    /// finite, neighbours of where the reduced argument changes sides, numbers near 0, and neighbours of bounds.
    fn point(i: u64) -> f64 {
        // SplitMix64 (Steele, Lea and Flood 2014).
        let z = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let random = z ^ (z >> 31);
        let unit = (random >> 11) as f64 / (1u64 << 52) as f64 - 1.0;
        let near = |x: f64| f64::from_bits(x.to_bits().wrapping_add(random % 65) - 32);
        let sign = if i.is_multiple_of(2) { 1.0 } else { -1.0 };
        match random.rotate_left(32) % 6 {
            0 => f64::from_bits(random),
            1 => unit * 24.0,
            2 => unit * 750.0,
            3 => near(sign * ((random >> 20) % 2200 + 1) as f64 * (std::f64::consts::LN_2 / 4.0)),
            4 => unit * 2f64.powi(-((random >> 20) as i32 & 127)),
            _ => {
                let bounds =
                    [20.0, 708.396_418_532_264_1, 709.782_712_893_384, 710.0, 745.2, 746.0];
                near(sign * bounds[(random >> 20) as usize % bounds.len()])
            }
        }
    }

    fn assert_doubles<F: Function + Send + Sync>(name: &str, exact: fn(f64) -> f64) {
        let points = every(24 << 20, 1 << 16);
        let doubles = |points| Doubles { points, exact, function: PhantomData::<F> };
        let worst = worst_on_threads(points, |part| widest(doubles(part)));
        println!("{name}, widest form: {:.2e} at {:e}", worst.error, worst.x);
        assert!(worst.error <= 1e-14, "{name}: {worst:?}");
        for (form, worst) in on_each_form(doubles(0..points / 4)) {
            println!("{name}, {form}: {:.2e} at {:e}", worst.error, worst.x);
            assert!(worst.error <= 1e-14, "{name}, {form}: {worst:?}");
        }
    }

    #[test]
    fn double_precision_is_that_of_the_standard_library() {
        assert_doubles::<Exp>("exp", f64::exp);
        assert_doubles::<Tanh>("tanh", f64::tanh);
        assert_doubles::<Sigmoid>("sigmoid", |x| {
            // Below 0, 1 / (1 + e^-x) would overflow on its way to a tiny result.
            if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) }
        });
    }

    /// The three functions of numbers, in the form that it runs in.
    #[derive(Clone)]
    struct All<T>(Vec<T>);

    impl<T: Math> WithSimd for All<T> {
        type Output = [Vec<T>; 3];

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Self::Output {
            let mut all = [self.0.clone(), self.0.clone(), self.0];
            apply::<T, Exp, S>(simd, &mut all[0]);
            apply::<T, Tanh, S>(simd, &mut all[1]);
            apply::<T, Sigmoid, S>(simd, &mut all[2]);
            all
        }
    }

    /// Every 99991st float, which meets every exponent of either sign.
    fn floats() -> Vec<f32> {
        (0..=u32::MAX).step_by(99_991).map(f32::from_bits).filter(|x| !x.is_nan()).collect()
    }

    /// Asserts that parts of `xs`, of every length up to several vectors, give the bits of the whole.
    fn assert_places<T: Math + PartialEq>(xs: &[T]) {
        let whole = on_each_form(All(xs.to_vec()));
        for count in 0..40 {
            for at in (0..xs.len() - count).step_by(37) {
                let part = on_each_form(All(xs[at..at + count].to_vec()));
                for ((form, whole), (_, part)) in whole.iter().zip(&part) {
                    let same = whole.iter().zip(part).all(|(w, p)| w[at..at + count] == *p);
                    assert!(same, "{form}: {count} numbers from {at} on");
                }
            }
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_place_in_a_slice() {
        let xs: Vec<f32> = floats().into_iter().step_by(101).collect();
        assert_places(&xs);
        assert_places(&xs.into_iter().map(f64::from).collect::<Vec<_>>());
    }

    fn assert_fused_forms_agree<T: Math + PartialEq>(xs: Vec<T>) {
        let mut forms = on_each_form(All(xs));
        forms.retain(|(form, _)| *form != "portable");
        assert!(forms.windows(2).all(|pair| pair[0].1 == pair[1].1));
    }

    #[test]
    fn forms_that_fuse_products_and_sums_have_the_same_bits() {
        assert_fused_forms_agree(floats());
        let doubles = (0..every(1 << 16, 1 << 12)).map(point);
        assert_fused_forms_agree(doubles.filter(|x| !x.is_nan()).collect());
    }

    /// Asserts what the three functions of each number are, in every form.
    fn assert_ends<T: Math + PartialEq + std::fmt::Debug>(xs: &[T], right: [&[T]; 3]) {
        for (form, ours) in on_each_form(All(xs.to_vec())) {
            for (ours, right) in ours.iter().zip(right) {
                assert_eq!(ours, right, "{form}");
            }
        }
    }

    #[test]
    fn ends_are_exact() {
        const INF: f32 = f32::INFINITY;
        assert_ends(
            &[-INF, -1e30, -0.0, 0.0, 1e30, INF],
            [
                &[0.0, 0.0, 1.0, 1.0, INF, INF],
                &[-1.0, -1.0, -0.0, 0.0, 1.0, 1.0],
                &[0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
            ],
        );
        const INFINITE: f64 = f64::INFINITY;
        assert_ends(
            &[-INFINITE, -1e300, -0.0, 0.0, 1e300, INFINITE],
            [
                &[0.0, 0.0, 1.0, 1.0, INFINITE, INFINITE],
                &[-1.0, -1.0, -0.0, 0.0, 1.0, 1.0],
                &[0.0, 0.0, 0.5, 0.5, 1.0, 1.0],
            ],
        );
    }

    #[test]
    fn nan_stays_nan() {
        for (form, all) in on_each_form(All(vec![f32::NAN, -f32::NAN])) {
            assert!(all.iter().flatten().all(|y| y.is_nan()), "{form}");
        }
        for (form, all) in on_each_form(All(vec![f64::NAN, -f64::NAN])) {
            assert!(all.iter().flatten().all(|y| y.is_nan()), "{form}");
        }
    }

    #[test]
    fn tanh_is_odd_to_the_last_bit() {
        let negative = floats().into_iter().map(|x| -x).collect();
        for ((form, plus), (_, minus)) in
            on_each_form(All(floats())).into_iter().zip(on_each_form(All(negative)))
        {
            let odd = plus[1].iter().zip(&minus[1]).all(|(p, m)| p.to_bits() == (-m).to_bits());
            assert!(odd, "{form}");
        }
    }
}
