//! The innermost loops of a convolution: a block of units by a strip of positions, in registers.
//!
//! A strip is a few cache lines wide. For each step along the shared dimension the kernel reads one row of the strip and
//! one number for each unit; every sum is one chain of fused multiplications and additions, whatever it is a part of.

use engine_kernels::lanes::{Lanes, Simd};
use engine_kernels::panels::line;

/// Units of a block.
pub(super) const UNITS: usize = 8;
/// Cache lines in a row of a strip.
pub(super) const LINES: usize = 3;

/// Numbers in a row of a strip.
pub(super) const fn width<T>() -> usize {
    LINES * line::<T>()
}

/// What sums begin with.
#[derive(Clone, Copy)]
pub(super) enum Begin<T> {
    /// 0.
    Zero,
    /// A number for each unit.
    Bias(*const T),
    /// What the target holds.
    Target,
}

/// A product: target = begin + left strip.
#[derive(Clone, Copy)]
pub(super) struct Product<T> {
    pub(super) left: *const T,
    /// From one unit of the left factor to the next.
    pub(super) unit: usize,
    /// From one number of a unit to the next.
    pub(super) step: usize,
    pub(super) strip: *const T,
    /// From one row of the strip to the next.
    pub(super) row: usize,
    pub(super) depth: usize,
    pub(super) target: *mut T,
    /// From one unit of the target to the next.
    pub(super) stride: usize,
    pub(super) begin: Begin<T>,
    /// Whether sums below 0 become 0.
    pub(super) relu: bool,
}

impl<T: Lanes + Default> Product<T> {
    /// Computes so many units over so many cache lines.
    ///
    /// # Safety
    /// The left factor has `units` units of `depth` numbers each, the strip `depth` rows and the target `units` rows of
    /// `lines` whole lines each; a bias has `units` numbers. Nobody else has what the target covers.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(&self, simd: S, units: usize, lines: usize) {
        let vectors = lines * line::<T>() / T::lanes(simd);
        // As many sums as there are registers for.
        let most = if T::lanes(simd) == line::<T>() { UNITS } else { UNITS / 2 };
        let mut at = 0;
        while at < units {
            let here = (units - at).min(most);
            // SAFETY: units from `at` on, of those that the caller promises.
            unsafe {
                let part = self.at_unit(at);
                match here {
                    8.. => part.columns::<S, 8>(simd, vectors),
                    4.. => part.columns::<S, 4>(simd, vectors),
                    2.. => part.columns::<S, 2>(simd, vectors),
                    _ => part.columns::<S, 1>(simd, vectors),
                }
            }
            at += match here {
                8.. => 8,
                4.. => 4,
                2.. => 2,
                _ => 1,
            };
        }
    }

    /// # Safety
    /// There is such a unit.
    #[inline(always)]
    unsafe fn at_unit(self, at: usize) -> Self {
        // SAFETY: the unit is one of those that there are.
        unsafe {
            let begin = match self.begin {
                Begin::Bias(bias) => Begin::Bias(bias.add(at)),
                other => other,
            };
            let (left, target) = (self.left.add(at * self.unit), self.target.add(at * self.stride));
            Product { left, target, begin, ..self }
        }
    }

    /// # Safety
    /// As for [`run`](Self::run), with `M` units.
    #[inline(always)]
    unsafe fn columns<S: Simd, const M: usize>(&self, simd: S, vectors: usize) {
        // Four units by three vectors would leave none of sixteen registers for the numbers of the left factor.
        let most = if T::lanes(simd) == line::<T>() { LINES } else { LINES - 1 };
        let mut at = 0;
        while at < vectors {
            let column = at * T::lanes(simd);
            let here = (vectors - at).min(most);
            // SAFETY: so many vectors are left from there on.
            unsafe {
                match here {
                    3 => self.accumulate::<S, M, 3>(simd, column),
                    2 => self.accumulate::<S, M, 2>(simd, column),
                    _ => self.accumulate::<S, M, 1>(simd, column),
                }
            }
            at += here;
        }
    }

    /// # Safety
    /// As for [`run`](Self::run), with `M` units; `V` vectors fit from `column` on.
    #[inline(always)]
    unsafe fn accumulate<S: Simd, const M: usize, const V: usize>(&self, simd: S, column: usize) {
        let lanes = T::lanes(simd);
        let zero = T::splat(simd, T::default());
        let mut sums = [[zero; V]; M];
        // SAFETY: every address lies in the arrays that the caller promises.
        unsafe {
            let target = self.target.add(column);
            match self.begin {
                Begin::Zero => {}
                Begin::Bias(bias) => {
                    for (unit, sums) in sums.iter_mut().enumerate() {
                        *sums = [T::splat(simd, *bias.add(unit)); V];
                    }
                }
                Begin::Target => {
                    for (unit, sums) in sums.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = T::load(simd, target.add(unit * self.stride + v * lanes));
                        }
                    }
                }
            }
            let (mut left, mut strip) = (self.left, self.strip.add(column));
            if self.unit == 1 && self.step == UNITS {
                // With distances that the compiler knows.
                for _ in 0..self.depth {
                    step::<T, S, M, V>(simd, left, 1, strip, &mut sums);
                    left = left.wrapping_add(UNITS);
                    strip = strip.wrapping_add(self.row);
                }
            } else {
                for _ in 0..self.depth {
                    step::<T, S, M, V>(simd, left, self.unit, strip, &mut sums);
                    left = left.wrapping_add(self.step);
                    strip = strip.wrapping_add(self.row);
                }
            }
            for (unit, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let sum = if self.relu { T::max(simd, zero, *sum) } else { *sum };
                    T::store(simd, target.add(unit * self.stride + v * lanes), sum);
                }
            }
        }
    }
}

/// One step along the shared dimension.
///
/// # Safety
/// `M` numbers lie `unit` apart from `left` on, and `V` vectors from `strip` on.
#[inline(always)]
unsafe fn step<T: Lanes + Default, S: Simd, const M: usize, const V: usize>(
    simd: S,
    left: *const T,
    unit: usize,
    strip: *const T,
    sums: &mut [[T::Vector<S>; V]; M],
) {
    let mut b = [T::splat(simd, T::default()); V];
    // SAFETY: the caller vouches for all of them.
    unsafe {
        for (v, b) in b.iter_mut().enumerate() {
            *b = T::load(simd, strip.add(v * T::lanes(simd)));
        }
        for (m, sums) in sums.iter_mut().enumerate() {
            let a = T::splat(simd, *left.add(m * unit));
            for (sum, b) in sums.iter_mut().zip(b) {
                *sum = T::mul_add(simd, a, b, *sum);
            }
        }
    }
}
