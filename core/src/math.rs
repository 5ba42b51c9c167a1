//! Exponentials over slices: the functions that gates and losses spend their time in.
//!
//! Single precision uses polynomials without branches, which compilers turn into vector instructions; double precision
//! uses the standard library's functions, for it serves to check mathematics.

/// A type with element-wise transcendental functions.
pub trait Math: Copy + 'static {
    /// e^x; 0 for minus infinity.
    fn exp_of(self) -> Self;
    /// The hyperbolic tangent.
    fn tanh_of(self) -> Self;
    /// The logistic function 1 / (1 + e^-x), without overflow at either end.
    fn sigmoid_of(self) -> Self;
}

impl Math for f64 {
    #[inline]
    fn exp_of(self) -> Self {
        self.exp()
    }
    #[inline]
    fn tanh_of(self) -> Self {
        self.tanh()
    }
    #[inline]
    fn sigmoid_of(self) -> Self {
        // The exponent is never positive: neither end overflows or loses digits.
        let z = (-self.abs()).exp();
        (if self >= 0.0 { 1.0 } else { z }) / (1.0 + z)
    }
}

impl Math for f32 {
    /// Relative error at most 2e-7. Reduction to |r| <= ln 2 / 2 and a minimax polynomial of degree 7
    /// (Cephes, `expf`).
    #[inline]
    fn exp_of(self) -> Self {
        // Adding and subtracting 1.5 * 2^23 rounds to the nearest whole number in two additions.
        const ROUND: f32 = 12_582_912.0;
        const LN2_HIGH: f32 = 0.693_359_4;
        const LN2_LOW: f32 = -2.121_944_4e-4;
        // Beyond these bounds the result is 0 or infinite anyway. NaN passes through.
        let x = self.clamp(-104.0, 89.0);
        let n = (x * std::f32::consts::LOG2_E + ROUND) - ROUND;
        let r = (x - n * LN2_HIGH) - n * LN2_LOW;
        let p = 1.987_569_1e-4;
        let p = p * r + 1.398_2e-3;
        let p = p * r + 8.333_452e-3;
        let p = p * r + 4.166_579_6e-2;
        let p = p * r + 1.666_666_5e-1;
        let p = p * r + 0.5;
        let y = p * r * r + r + 1.0;
        // 2^n in two factors, so that results below the smallest normal number come out right.
        let half = (n * 0.5 + ROUND) - ROUND;
        y * power_of_two(half) * power_of_two(n - half)
    }

    /// Relative error at most 3e-7: an odd polynomial near 0 (Cephes, `tanhf`), elsewhere 1 - 2 / (e^2x + 1).
    #[inline]
    fn tanh_of(self) -> Self {
        let x = self.abs();
        let z = self * self;
        let p = -5.704_988_7e-3;
        let p = p * z + 2.063_909e-2;
        let p = p * z - 5.373_971_6e-2;
        let p = p * z + 1.333_144_2e-1;
        let p = p * z - 3.333_328e-1;
        let near = p * z * self + self;
        let far = 1.0 - 2.0 / ((2.0 * x).exp_of() + 1.0);
        if x < 0.625 { near } else { far.copysign(self) }
    }

    #[inline]
    fn sigmoid_of(self) -> Self {
        let z = (-self.abs()).exp_of();
        (if self >= 0.0 { 1.0 } else { z }) / (1.0 + z)
    }
}

/// 2^n for a whole n in -126..=127.
#[inline]
fn power_of_two(n: f32) -> f32 {
    // After adding 1.5 * 2^23 the low bits of the mantissa are the whole number itself.
    let bits = (n + 12_582_912.0).to_bits();
    f32::from_bits(bits.wrapping_add(127) << 23)
}

/// x = e^x for every element.
pub fn exp<T: Math>(xs: &mut [T]) {
    with_widest_vectors(|| xs.iter_mut().for_each(|x| *x = x.exp_of()));
}

/// x = tanh x for every element.
pub fn tanh<T: Math>(xs: &mut [T]) {
    with_widest_vectors(|| xs.iter_mut().for_each(|x| *x = x.tanh_of()));
}

/// x = 1 / (1 + e^-x) for every element.
pub fn sigmoid<T: Math>(xs: &mut [T]) {
    with_widest_vectors(|| xs.iter_mut().for_each(|x| *x = x.sigmoid_of()));
}

/// Runs `f` as compiled for the widest vector instructions that the processor has.
///
/// The result has the same bits everywhere: no compiled form contracts or reorders operations.
#[inline]
fn with_widest_vectors(f: impl FnOnce()) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
        fn with_avx512(f: impl FnOnce()) {
            f();
        }
        #[target_feature(enable = "avx2")]
        fn with_avx2(f: impl FnOnce()) {
            f();
        }
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
        {
            // SAFETY: the processor has these instructions, as just asked.
            return unsafe { with_avx512(f) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has these instructions, as just asked.
            return unsafe { with_avx2(f) };
        }
    }
    f();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every 997th float of either sign, which meets every exponent.
    fn floats() -> impl Iterator<Item = f32> {
        (0..=u32::MAX).step_by(997).map(f32::from_bits).filter(|x| x.is_finite())
    }

    fn worst(ours: fn(f32) -> f32, exact: fn(f64) -> f64) -> f64 {
        floats()
            .map(|x| {
                let e = exact(f64::from(x));
                let error = (f64::from(ours(x)) - e).abs();
                let scale = e.abs().max(f64::from(f32::MIN_POSITIVE));
                if e > f64::from(f32::MAX) && ours(x) == f32::INFINITY {
                    0.0
                } else {
                    error / scale
                }
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn single_precision_is_right_to_five_in_ten_million() {
        assert!(worst(f32::exp_of, f64::exp) < 5e-7);
        assert!(worst(f32::tanh_of, f64::tanh) < 5e-7);
        assert!(worst(f32::sigmoid_of, |x| 1.0 / (1.0 + (-x).exp())) < 5e-7);
    }

    #[test]
    fn slices_have_the_bits_of_single_numbers() {
        let xs: Vec<f32> = floats().step_by(1013).collect();
        let slice = |f: fn(&mut [f32])| {
            let mut ys = xs.clone();
            f(&mut ys);
            ys.iter().map(|y| y.to_bits()).collect::<Vec<_>>()
        };
        let single = |f: fn(f32) -> f32| xs.iter().map(|x| f(*x).to_bits()).collect::<Vec<_>>();
        assert_eq!(slice(exp), single(f32::exp_of));
        assert_eq!(slice(tanh), single(f32::tanh_of));
        assert_eq!(slice(sigmoid), single(f32::sigmoid_of));
    }

    #[test]
    fn ends_are_exact() {
        assert_eq!(f32::NEG_INFINITY.exp_of(), 0.0);
        assert_eq!(f32::INFINITY.exp_of(), f32::INFINITY);
        assert!(f32::NAN.exp_of().is_nan() && f32::NAN.tanh_of().is_nan());
        assert_eq!((1e30f32.tanh_of(), (-1e30f32).tanh_of()), (1.0, -1.0));
        assert_eq!((1e300f64.sigmoid_of(), (-1e300f64).sigmoid_of()), (1.0, 0.0));
        assert_eq!((1e30f32.sigmoid_of(), (-1e30f32).sigmoid_of()), (1.0, 0.0));
    }
}
