//! The gates of the gated recurrent unit, over the rows of a panel.

use std::ops::Range;

use engine_kernels::lanes::{Simd, WithSimd};
use engine_kernels::math::{Math, sigmoid_v, tanh_v};
use engine_kernels::panels::width;
use engine_kernels::shared::Shared;

/// The numbers of a step's row `row` from unit `first` of a panel on that a vector holds: where they lie in a panel, and
/// where in an array of all units.
#[inline(always)]
fn vector<T>(
    (row, first, lanes): (usize, usize, usize),
    units: usize,
    columns: &Range<usize>,
) -> (Range<usize>, Range<usize>) {
    let (at, unit) = (row * width::<T>() + first, row * units + columns.start + first);
    (at..at + lanes, unit..unit + lanes.min(columns.len() - first))
}

/// h before a step; 0 where nothing says otherwise.
#[inline(always)]
fn load_before<T: Math, S: Simd>(
    simd: S,
    h_before: Option<&[T]>,
    place: Range<usize>,
) -> T::Vector<S> {
    match h_before {
        Some(h) => T::load_part(simd, &h[place]),
        None => T::splat(simd, T::ZERO),
    }
}

/// The slope of sigmoid where its value is y.
#[inline(always)]
fn sigmoid_slope<T: Math, S: Simd>(simd: S, y: T::Vector<S>) -> T::Vector<S> {
    T::mul(simd, y, T::sub(simd, T::splat(simd, T::ONE), y))
}

/// The slope of tanh where its value is y.
#[inline(always)]
fn tanh_slope<T: Math, S: Simd>(simd: S, y: T::Vector<S>) -> T::Vector<S> {
    T::sub(simd, T::splat(simd, T::ONE), T::mul(simd, y, y))
}

/// `Before`: r * h.
pub(super) struct LetThrough<'a, T> {
    pub(super) r: &'a [T],
    pub(super) h_before: &'a [T],
    /// Where the step's rows lie in `seen`, an array of all units over time.
    pub(super) rows: Range<usize>,
    pub(super) columns: Range<usize>,
    pub(super) units: usize,
    pub(super) seen: &'a Shared<'a, T>,
}

impl<T: Math> WithSimd for LetThrough<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let LetThrough { r, h_before, rows, columns, units, seen } = self;
        let lanes = T::lanes(simd);
        for row in 0..r.len() / width::<T>() {
            for first in (0..columns.len()).step_by(lanes) {
                let (at, of) = vector::<T>((row, first, lanes), units, &columns);
                // SAFETY: each panel has columns of its own.
                let to = unsafe { seen.part(rows.start + of.start..rows.start + of.end) };
                let h = T::load_part(simd, &h_before[of]);
                T::store_part(simd, to, T::mul(simd, T::load_part(simd, &r[at]), h));
            }
        }
    }
}

/// What `reset: After` adds to a step: the panel of r, that of `h wh_n + bn`, at first without bn, and bn.
pub(super) struct ResetAfter<'a, T> {
    pub(super) r: &'a mut [T],
    pub(super) seen: &'a mut [T],
    pub(super) bn: &'a [T],
}

/// Opens n, with `reset: After` also r and z, and h = (1 - z) n + z h.
pub(super) struct Blend<'a, T> {
    pub(super) z: &'a mut [T],
    pub(super) n: &'a mut [T],
    pub(super) reset: Option<ResetAfter<'a, T>>,
    pub(super) h_before: Option<&'a [T]>,
    pub(super) h: &'a Shared<'a, T>,
    pub(super) units: usize,
    pub(super) columns: Range<usize>,
}

impl<T: Math> WithSimd for Blend<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Blend { z: zs, n: ns, mut reset, h_before, h, units, columns } = self;
        let lanes = T::lanes(simd);
        for row in 0..zs.len() / width::<T>() {
            for first in (0..columns.len()).step_by(lanes) {
                let (at, of) = vector::<T>((row, first, lanes), units, &columns);
                let mut z = T::load_part(simd, &zs[at.clone()]);
                let mut sum = T::load_part(simd, &ns[at.clone()]);
                if let Some(ResetAfter { r: rs, seen, bn }) = &mut reset {
                    let r = sigmoid_v::<T, S>(simd, T::load_part(simd, &rs[at.clone()]));
                    let bn = T::load_part(simd, &bn[first..]);
                    let product = T::add(simd, T::load_part(simd, &seen[at.clone()]), bn);
                    z = sigmoid_v::<T, S>(simd, z);
                    sum = T::mul_add(simd, r, product, sum);
                    T::store_part(simd, &mut rs[at.clone()], r);
                    T::store_part(simd, &mut zs[at.clone()], z);
                    T::store_part(simd, &mut seen[at.clone()], product);
                }
                let n = tanh_v::<T, S>(simd, sum);
                T::store_part(simd, &mut ns[at], n);
                let before = load_before(simd, h_before, of.clone());
                let blend = T::mul_add(simd, z, T::sub(simd, before, n), n);
                // SAFETY: each panel has units of its own, so nobody else has these columns of any row.
                T::store_part(simd, unsafe { h.part(of) }, blend);
            }
        }
    }
}

/// Puts the gradients of the sums of z and n in their place, and takes dh to what z lets through; with `reset: After`,
/// puts those of r's sum and of `h wh_n + bn` in their place, too.
pub(super) struct BlendGradient<'a, T> {
    pub(super) z: &'a mut [T],
    pub(super) n: &'a mut [T],
    pub(super) reset: Option<ResetAfter<'a, T>>,
    pub(super) h_before: Option<&'a [T]>,
    pub(super) dy: &'a [T],
    pub(super) dh: &'a mut [T],
    pub(super) units: usize,
    pub(super) columns: Range<usize>,
}

impl<T: Math> WithSimd for BlendGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let BlendGradient { z: zs, n: ns, mut reset, h_before, dy, dh, units, columns } = self;
        let (lanes, one) = (T::lanes(simd), T::splat(simd, T::ONE));
        for row in 0..zs.len() / width::<T>() {
            for first in (0..columns.len()).step_by(lanes) {
                let (at, of) = vector::<T>((row, first, lanes), units, &columns);
                let z = T::load_part(simd, &zs[at.clone()]);
                let n = T::load_part(simd, &ns[at.clone()]);
                let before = load_before(simd, h_before, of.clone());
                let dy = T::load_part(simd, &dy[of]);
                let d = T::add(simd, T::load_part(simd, &dh[at.clone()]), dy);
                T::store_part(simd, &mut dh[at.clone()], T::mul(simd, d, z));
                let dz = T::mul(
                    simd,
                    T::mul(simd, d, T::sub(simd, before, n)),
                    sigmoid_slope::<T, S>(simd, z),
                );
                T::store_part(simd, &mut zs[at.clone()], dz);
                let passed = T::mul(simd, d, T::sub(simd, one, z));
                let dn = T::mul(simd, passed, tanh_slope::<T, S>(simd, n));
                T::store_part(simd, &mut ns[at.clone()], dn);
                if let Some(ResetAfter { r: rs, seen, .. }) = &mut reset {
                    let r = T::load_part(simd, &rs[at.clone()]);
                    let product = T::load_part(simd, &seen[at.clone()]);
                    let dr =
                        T::mul(simd, T::mul(simd, dn, product), sigmoid_slope::<T, S>(simd, r));
                    T::store_part(simd, &mut rs[at.clone()], dr);
                    T::store_part(simd, &mut seen[at], T::mul(simd, dn, r));
                }
            }
        }
    }
}

/// `Before`: given d, the gradient of r * h, puts the gradient of r's sum in its place, and adds to dh.
pub(super) struct LetThroughGradient<'a, T> {
    pub(super) r: &'a mut [T],
    pub(super) h_before: Option<&'a [T]>,
    pub(super) d: &'a [T],
    pub(super) dh: &'a mut [T],
    pub(super) units: usize,
    pub(super) columns: Range<usize>,
}

impl<T: Math> WithSimd for LetThroughGradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let LetThroughGradient { r: rs, h_before, d: ds, dh, units, columns } = self;
        let lanes = T::lanes(simd);
        for row in 0..rs.len() / width::<T>() {
            for first in (0..columns.len()).step_by(lanes) {
                let (at, of) = vector::<T>((row, first, lanes), units, &columns);
                let r = T::load_part(simd, &rs[at.clone()]);
                let d = T::load_part(simd, &ds[at.clone()]);
                let before = load_before(simd, h_before, of);
                let more = T::mul_add(simd, d, r, T::load_part(simd, &dh[at.clone()]));
                T::store_part(simd, &mut dh[at.clone()], more);
                let dr = T::mul(simd, T::mul(simd, d, before), sigmoid_slope::<T, S>(simd, r));
                T::store_part(simd, &mut rs[at], dr);
            }
        }
    }
}
