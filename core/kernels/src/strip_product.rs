//! Matrix products whose right factor is a strip, a few cache lines wide: the kernel of convolutions.
//!
//! For each step along the shared dimension the kernel reads one row of the strip and one number for each row of the left
//! factor, here called *units*. Every sum is one chain of fused multiplications and additions, whatever it is a part of:
//! the bits do not depend on how a matrix is cut into strips and units.

use crate::lanes::{Lanes, Simd};
use crate::matrix::MatrixMut;
use crate::panels::line;

/// Units of a block.
pub const UNITS: usize = 8;
/// Cache lines in a row of a strip, at most.
pub const LINES: usize = 3;

/// Numbers in a row of a strip, at most.
pub const fn width<T>() -> usize {
    LINES * line::<T>()
}

/// What sums begin with.
#[derive(Debug, Clone, Copy)]
pub enum Begin<'a, T> {
    /// 0.
    Zero,
    /// A number for each unit.
    Bias(&'a [T]),
    /// What the target holds.
    Target,
}

/// A product: target = begin + left strip.
#[derive(Debug, Clone, Copy)]
pub struct Product<'a, T> {
    /// The left factor `[units, depth]`, from its first number on.
    pub left: &'a [T],
    /// From one unit of the left factor to the next.
    pub unit: usize,
    /// From one number of a unit to the next.
    pub step: usize,
    /// The strip `[depth, columns]`, from its first number on.
    pub strip: &'a [T],
    /// From one row of the strip to the next.
    pub row: usize,
    /// The length of the shared dimension.
    pub depth: usize,
    /// What sums begin with.
    pub begin: Begin<'a, T>,
    /// Whether sums below 0 become 0.
    pub relu: bool,
}

impl<T: Lanes + Default> Product<'_, T> {
    /// Computes the target, `[units, columns]`, whose columns are whole cache lines.
    ///
    /// # Panics
    /// When the columns are not whole lines, or too many, and when the target or the depth ask for more than there is of
    /// the factors or the bias.
    #[inline(always)]
    pub fn run<S: Simd>(self, simd: S, mut target: MatrixMut<'_, T>) {
        let Product { left, unit, step, strip, row, depth, begin, relu } = self;
        let (units, columns) = (target.rows(), target.columns());
        assert!(columns.is_multiple_of(line::<T>()) && columns <= width::<T>(), "lines of a strip");
        if units == 0 || columns == 0 {
            return;
        }
        if let Some(last) = depth.checked_sub(1) {
            let of_left =
                (units - 1).saturating_mul(unit).saturating_add(last.saturating_mul(step));
            assert!(of_left < left.len(), "the left factor is there");
            let of_strip = last.saturating_mul(row).saturating_add(columns);
            assert!(of_strip <= strip.len(), "the strip is there");
        }
        let begin = match begin {
            Begin::Zero => Start::Zero,
            Begin::Target => Start::Target,
            Begin::Bias(bias) => {
                assert!(units <= bias.len(), "a bias for each unit");
                Start::Bias(bias.as_ptr())
            }
        };
        let (left, strip) = (left.as_ptr(), strip.as_ptr());
        let (target, stride) = (target.start(), target.stride());
        let block = Block { left, unit, step, strip, row, depth, target, stride, begin, relu };
        // SAFETY: the assertions above, and the target's rows and columns are its own.
        unsafe { block.run(simd, units, columns / T::lanes(simd)) };
    }
}

/// What sums begin with, as the innermost loops see it.
#[derive(Clone, Copy)]
enum Start<T> {
    Zero,
    Bias(*const T),
    Target,
}

/// A product as the innermost loops see it: see [`Product`].
#[derive(Clone, Copy)]
struct Block<T> {
    left: *const T,
    unit: usize,
    step: usize,
    strip: *const T,
    row: usize,
    depth: usize,
    target: *mut T,
    /// From one unit of the target to the next.
    stride: usize,
    begin: Start<T>,
    relu: bool,
}

impl<T: Lanes + Default> Block<T> {
    /// Computes so many units over so many vectors.
    ///
    /// # Safety
    /// The left factor has `units` units of `depth` numbers each, the strip `depth` rows and the target `units` rows of
    /// `vectors` vectors each; a bias has `units` numbers. Nobody else has what the target covers.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, units: usize, vectors: usize) {
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
                Start::Bias(bias) => Start::Bias(bias.add(at)),
                other => other,
            };
            let left = self.left.wrapping_add(at * self.unit);
            let target = self.target.add(at * self.stride);
            Block { left, target, begin, ..self }
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
                Start::Zero => {}
                Start::Bias(bias) => {
                    for (unit, sums) in sums.iter_mut().enumerate() {
                        *sums = [T::splat(simd, *bias.add(unit)); V];
                    }
                }
                Start::Target => {
                    for (unit, sums) in sums.iter_mut().enumerate() {
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = T::load(simd, target.add(unit * self.stride + v * lanes));
                        }
                    }
                }
            }
            let (mut left, mut strip) = (self.left, self.strip.wrapping_add(column));
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

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::lanes::{WithSimd, on_each_form};
    use crate::math::Math;

    /// A product of a block of units and a strip, with everything that it can begin with.
    #[derive(Clone)]
    struct Case<T> {
        left: Vec<T>,
        strip: Vec<T>,
        depth: usize,
        units: usize,
        lines: usize,
        standing: bool,
    }

    impl<T: Math + Default + From<f32> + Into<f64>> WithSimd for Case<T> {
        type Output = Vec<T>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
            let mut target = vec![T::ONE; UNITS * width::<T>()];
            let columns = self.lines * line::<T>();
            let (unit, step) = if self.standing { (1, UNITS) } else { (self.depth, 1) };
            let bias = [T::ONE; UNITS];
            for (begin, relu) in
                [(Begin::Target, false), (Begin::Bias(&bias), false), (Begin::Target, true)]
            {
                let product = Product {
                    left: &self.left,
                    unit,
                    step,
                    strip: &self.strip,
                    row: width::<T>(),
                    depth: self.depth,
                    begin,
                    relu,
                };
                let mut target = MatrixMut::new(&mut target, width::<T>());
                product.run(simd, target.block(0..self.units, 0..columns));
            }
            target
        }
    }

    fn assert_blocks<T: Math + Default + From<f32> + Into<f64>>(bound: f64) {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        for units in 1..=UNITS {
            for lines in 1..=LINES {
                for standing in [false, true] {
                    let depth = rng.random_range(1..20);
                    let mut draw = |count: usize| -> Vec<T> {
                        (0..count).map(|_| T::from(rng.random_range(-1.0f32..1.0))).collect()
                    };
                    let (left, strip) = (draw(UNITS * depth), draw(width::<T>() * depth));
                    let block = Case { left, strip, depth, units, lines, standing };
                    let at = |u: usize, k: usize| -> f64 {
                        match standing {
                            true => block.left[k * UNITS + u].into(),
                            false => block.left[u * depth + k].into(),
                        }
                    };
                    for (form, found) in on_each_form(block.clone()) {
                        for (place, found) in found.into_iter().enumerate() {
                            let (u, j) = (place / width::<T>(), place % width::<T>());
                            let row =
                                |k: usize| -> f64 { block.strip[k * width::<T>() + j].into() };
                            // Bias and sum, and the sum once more: the first one was replaced.
                            let sum = || (0..depth).map(|k| at(u, k) * row(k)).sum::<f64>();
                            let within = u < units && j < lines * line::<T>();
                            let exact = if within { (1.0 + 2.0 * sum()).max(0.0) } else { 1.0 };
                            let error = (Into::<f64>::into(found) - exact).abs();
                            assert!(
                                error < bound,
                                "{form}, {units} units, {lines} lines: {error:.1e}"
                            );
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_the_same_in_every_form() {
        assert_blocks::<f32>(1e-4);
        assert_blocks::<f64>(1e-12);
        assert_eq!(<f32 as Lanes>::ROUND, 1.5 / f32::EPSILON);
    }

    /// A product of 2 units of 3 numbers by a strip of one line, with so many numbers of each factor and of the bias.
    fn product_of(left: usize, strip: usize, bias: usize) {
        let (left, strip, bias) = (vec![1.0f64; left], vec![1.0; strip], vec![0.0; bias]);
        let case = move |target: &mut [f64]| {
            let (unit, step, row, depth) = (3, 1, line::<f64>(), 3);
            let (left, strip, begin) = (&left[..], &strip[..], Begin::Bias(&bias));
            let product = Product { left, unit, step, strip, row, depth, begin, relu: false };
            product.run(pulp::Scalar, MatrixMut::new(target, line::<f64>()));
        };
        let mut target = [0.0; 16];
        case(&mut target);
        assert_eq!(target, [3.0; 16]);
    }

    #[test]
    fn factors_may_be_just_large_enough() {
        product_of(6, 24, 2);
    }

    #[test]
    #[should_panic(expected = "the left factor is there")]
    fn a_short_left_factor_is_noticed() {
        product_of(5, 24, 2);
    }

    #[test]
    #[should_panic(expected = "the strip is there")]
    fn a_short_strip_is_noticed() {
        product_of(6, 23, 2);
    }

    #[test]
    #[should_panic(expected = "a bias for each unit")]
    fn a_short_bias_is_noticed() {
        product_of(6, 24, 1);
    }
}
