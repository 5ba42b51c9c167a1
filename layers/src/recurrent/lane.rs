//! Numbers of several units at once, written as one.

use std::ops::{Add, Mul, Range, Sub};

use engine_kernels::lanes::{Lanes, Simd};
use engine_kernels::math::{self, Math};

/// As many numbers as the processor computes at a time, one of each unit; operators and functions go number by number.
pub trait Lane: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// 0, whatever the number is.
    fn zero(self) -> Self;

    /// 1, whatever the number is.
    fn one(self) -> Self;

    /// self a + b, rounded once.
    fn mul_add(self, a: Self, b: Self) -> Self;

    /// 1 / (1 + e^-x).
    fn sigmoid(self) -> Self;

    /// The hyperbolic tangent.
    fn tanh(self) -> Self;

    /// max(0, x). Not a number stays not a number.
    fn relu(self) -> Self;

    /// The slope of [`relu`](Self::relu) where its value is self; 0 at the kink.
    fn relu_slope(self) -> Self;

    /// The slope of [`sigmoid`](Self::sigmoid) where its value is self.
    #[inline(always)]
    fn sigmoid_slope(self) -> Self {
        self * (self.one() - self)
    }

    /// The slope of [`tanh`](Self::tanh) where its value is self.
    #[inline(always)]
    fn tanh_slope(self) -> Self {
        self.one() - self * self
    }
}

/// A vector in the registers of `S`.
#[derive(Clone, Copy)]
pub(super) struct Vector<T: Lanes, S: Simd>(S, T::Vector<S>);

impl<T: Math, S: Simd> Vector<T, S> {
    #[inline(always)]
    pub(super) fn splat(simd: S, x: T) -> Self {
        Vector(simd, T::splat(simd, x))
    }

    /// The numbers of some units, 0 in the lanes that are left.
    #[inline(always)]
    pub(super) fn load(simd: S, from: &[T], units: Range<usize>) -> Self {
        Vector(simd, T::load_part(simd, &from[units]))
    }

    /// The same where there is an array; 0 where there is none.
    #[inline(always)]
    pub(super) fn load_if(simd: S, from: Option<&[T]>, units: Range<usize>) -> Self {
        match from {
            Some(from) => Self::load(simd, from, units),
            None => Self::splat(simd, T::ZERO),
        }
    }

    #[inline(always)]
    pub(super) fn store(self, to: &mut [T], units: Range<usize>) {
        T::store_part(self.0, &mut to[units], self.1);
    }
}

/// Operations of two vectors.
macro_rules! operators {
    ($($trait:ident $name:ident $of:path;)*) => {$(
        impl<T: Math, S: Simd> $trait for Vector<T, S> {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                Vector(self.0, $of(self.0, self.1, other.1))
            }
        }
    )*};
}

operators! {
    Add add T::add;
    Sub sub T::sub;
    Mul mul T::mul;
}

impl<T: Math, S: Simd> Lane for Vector<T, S> {
    #[inline(always)]
    fn zero(self) -> Self {
        Self::splat(self.0, T::ZERO)
    }

    #[inline(always)]
    fn one(self) -> Self {
        Self::splat(self.0, T::ONE)
    }

    #[inline(always)]
    fn mul_add(self, a: Self, b: Self) -> Self {
        Vector(self.0, T::mul_add(self.0, self.1, a.1, b.1))
    }

    #[inline(always)]
    fn sigmoid(self) -> Self {
        Vector(self.0, math::sigmoid_v::<T, S>(self.0, self.1))
    }

    #[inline(always)]
    fn tanh(self) -> Self {
        Vector(self.0, math::tanh_v::<T, S>(self.0, self.1))
    }

    #[inline(always)]
    fn relu(self) -> Self {
        let zero = self.zero().1;
        // Not a number is not less, and stays.
        Vector(self.0, T::select_less(self.0, self.1, zero, zero, self.1))
    }

    #[inline(always)]
    fn relu_slope(self) -> Self {
        let (zero, one) = (self.zero().1, self.one().1);
        Vector(self.0, T::select_less(self.0, zero, self.1, one, zero))
    }
}
