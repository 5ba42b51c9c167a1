//! A cell's step for all rows of some units: the one place where its mathematics meets arrays.
//!
//! All matrices have a row for each sequence and a column for each unit; those of gates may have more columns. Where they
//! lie, side by side in rows or in panels, is the caller's matter.

use std::ops::Range;

use engine_kernels::lanes::{Simd, WithSimd};
use engine_kernels::math::Math;
use engine_kernels::matrix::{MatrixMut, MatrixRef};

use super::cell::{Before, Cell, State};
use super::lane::{Lane, Vector};

/// What was before a step. What is not there is 0.
#[derive(Clone, Copy)]
pub(super) struct RowsBefore<'a, T> {
    pub(super) h: Option<MatrixRef<'a, T>>,
    pub(super) c: Option<MatrixRef<'a, T>>,
}

impl<'a, T> RowsBefore<'a, T> {
    /// Some rows, all units.
    pub(super) fn rows(self, rows: Range<usize>) -> Self {
        let part = |x: MatrixRef<'a, T>| x.block(rows.clone(), 0..x.columns());
        RowsBefore { h: self.h.map(part), c: self.c.map(part) }
    }

    /// Some units, all rows.
    pub(super) fn columns(self, units: Range<usize>) -> Self {
        let part = |x: MatrixRef<'a, T>| x.block(0..x.rows(), units.clone());
        RowsBefore { h: self.h.map(part), c: self.c.map(part) }
    }
}

/// From preactivations to gates and the new state.
pub(super) struct ForwardRows<'a, C, T, const GATES: usize> {
    pub(super) cell: C,
    pub(super) gates: [MatrixMut<'a, T>; GATES],
    /// The last gate's recurrent product if it is apart, to which `bn` is added.
    pub(super) product: Option<MatrixMut<'a, T>>,
    pub(super) bn: Option<&'a [T]>,
    pub(super) before: RowsBefore<'a, T>,
    /// For each row that of `before` which it continues; its own if there is none.
    pub(super) from: Option<&'a [usize]>,
    pub(super) h: MatrixMut<'a, T>,
    pub(super) c: Option<MatrixMut<'a, T>>,
}

impl<C: Cell<GATES>, T: Math, const GATES: usize> WithSimd for ForwardRows<'_, C, T, GATES> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ForwardRows { cell, mut gates, mut product, bn, before, from, mut h, mut c } = self;
        let (lanes, units) = (T::lanes(simd), h.columns());
        for row in 0..h.rows() {
            let stem = from.map_or(row, |from| from[row]);
            let h_before = before.h.map(|h| h.row(stem));
            let c_before = before.c.map(|c| c.row(stem));
            let mut gates = gates.each_mut().map(|gate| gate.row_mut(row));
            let mut product = product.as_mut().map(|product| product.row_mut(row));
            let h = h.row_mut(row);
            let mut c = c.as_mut().map(|c| c.row_mut(row));
            for first in (0..units).step_by(lanes) {
                let at = first..units.min(first + lanes);
                let mut values = [Vector::splat(simd, T::ZERO); GATES];
                for (value, gate) in values.iter_mut().zip(&gates) {
                    *value = Vector::load(simd, gate, at.clone());
                }
                let mut sum = Vector::splat(simd, T::ZERO);
                if let Some(product) = &mut product {
                    let bn = Vector::load_if(simd, bn, at.clone());
                    sum = Vector::load(simd, product, at.clone()) + bn;
                    sum.store(product, at.clone());
                }
                let before = Before {
                    h: Vector::load_if(simd, h_before, at.clone()),
                    c: Vector::load_if(simd, c_before, at.clone()),
                    product: sum,
                };
                let (values, after) = cell.forward(values, before);
                for (value, gate) in values.into_iter().zip(&mut gates) {
                    value.store(gate, at.clone());
                }
                after.h.store(h, at.clone());
                if let Some(c) = &mut c {
                    after.c.store(c, at);
                }
            }
        }
    }
}

/// From the gradient of the new state, in `dh` and `dc`, to those of preactivations, in the gates' place, and of what was
/// before, in place of that of the new state.
pub(super) struct BackwardRows<'a, C, T, const GATES: usize> {
    pub(super) cell: C,
    pub(super) gates: [MatrixMut<'a, T>; GATES],
    /// The last gate's recurrent product if it is apart, then its gradient.
    pub(super) product: Option<MatrixMut<'a, T>>,
    /// If the first gate filters the state: the gradient of its value, which itself stays where it is.
    pub(super) filter: Option<MatrixMut<'a, T>>,
    pub(super) before: RowsBefore<'a, T>,
    pub(super) h: MatrixRef<'a, T>,
    pub(super) c: Option<MatrixRef<'a, T>>,
    /// The gradient of h as an output, which is added to `dh`.
    pub(super) dy: MatrixRef<'a, T>,
    pub(super) dh: MatrixMut<'a, T>,
    pub(super) dc: Option<MatrixMut<'a, T>>,
}

impl<C: Cell<GATES>, T: Math, const GATES: usize> WithSimd for BackwardRows<'_, C, T, GATES> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let BackwardRows { cell, mut gates, mut product, mut filter, before, h, c, dy, .. } = self;
        let (mut dh, mut dc) = (self.dh, self.dc);
        let (lanes, units) = (T::lanes(simd), h.columns());
        for row in 0..h.rows() {
            let h_before = before.h.map(|h| h.row(row));
            let c_before = before.c.map(|c| c.row(row));
            let mut gates = gates.each_mut().map(|gate| gate.row_mut(row));
            let mut product = product.as_mut().map(|product| product.row_mut(row));
            let mut filter = filter.as_mut().map(|filter| filter.row_mut(row));
            let (h, c, dy) = (h.row(row), c.map(|c| c.row(row)), dy.row(row));
            let dh = dh.row_mut(row);
            let mut dc = dc.as_mut().map(|dc| dc.row_mut(row));
            for first in (0..units).step_by(lanes) {
                let at = first..units.min(first + lanes);
                let mut values = [Vector::splat(simd, T::ZERO); GATES];
                for (value, gate) in values.iter_mut().zip(&gates) {
                    *value = Vector::load(simd, gate, at.clone());
                }
                let before = Before {
                    h: Vector::load_if(simd, h_before, at.clone()),
                    c: Vector::load_if(simd, c_before, at.clone()),
                    product: Vector::load_if(simd, product.as_deref(), at.clone()),
                };
                let after = State {
                    h: Vector::load(simd, h, at.clone()),
                    c: Vector::load_if(simd, c, at.clone()),
                };
                let gradient = State {
                    h: Vector::load(simd, dh, at.clone()) + Vector::load(simd, dy, at.clone()),
                    c: Vector::load_if(simd, dc.as_deref(), at.clone()),
                };
                let mut gradients = cell.backward(values, before, after, gradient);
                if let Some(filter) = &mut filter {
                    gradients.gates[0].store(filter, at.clone());
                    gradients.gates[0] = values[0];
                }
                for (gradient, gate) in gradients.gates.into_iter().zip(&mut gates) {
                    gradient.store(gate, at.clone());
                }
                if let Some(product) = &mut product {
                    gradients.product.store(product, at.clone());
                }
                gradients.h.store(dh, at.clone());
                if let Some(dc) = &mut dc {
                    gradients.c.store(dc, at);
                }
            }
        }
    }
}

/// The value of the first gate, and the state that it lets through.
pub(super) struct FilterRows<'a, T> {
    pub(super) gate: MatrixMut<'a, T>,
    pub(super) h_before: Option<MatrixRef<'a, T>>,
    pub(super) from: Option<&'a [usize]>,
    pub(super) filtered: MatrixMut<'a, T>,
}

impl<T: Math> WithSimd for FilterRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let FilterRows { mut gate, h_before, from, mut filtered } = self;
        let (lanes, units) = (T::lanes(simd), filtered.columns());
        for row in 0..filtered.rows() {
            let h_before = h_before.map(|h| h.row(from.map_or(row, |from| from[row])));
            let (gate, filtered) = (gate.row_mut(row), filtered.row_mut(row));
            for first in (0..units).step_by(lanes) {
                let at = first..units.min(first + lanes);
                let value = Vector::load(simd, gate, at.clone()).sigmoid();
                value.store(gate, at.clone());
                (value * Vector::load_if(simd, h_before, at.clone())).store(filtered, at);
            }
        }
    }
}

/// The gradient of [`FilterRows`], given that of the state that was let through: that of the gate's preactivation in the
/// gate's place, and more of that of the state before.
pub(super) struct FilterBackwardRows<'a, T> {
    pub(super) gate: MatrixMut<'a, T>,
    /// The gradient of the gate's value, as far as it does not come from here.
    pub(super) filter: MatrixMut<'a, T>,
    pub(super) h_before: Option<MatrixRef<'a, T>>,
    pub(super) filtered: MatrixMut<'a, T>,
    pub(super) dh: MatrixMut<'a, T>,
}

impl<T: Math> WithSimd for FilterBackwardRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let FilterBackwardRows { mut gate, filter, h_before, filtered, mut dh } = self;
        let (lanes, units) = (T::lanes(simd), dh.columns());
        for row in 0..dh.rows() {
            let h_before = h_before.map(|h| h.row(row));
            let (gate, filter, filtered) = (gate.row_mut(row), filter.row(row), filtered.row(row));
            let dh = dh.row_mut(row);
            for first in (0..units).step_by(lanes) {
                let at = first..units.min(first + lanes);
                let value = Vector::load(simd, gate, at.clone());
                let d = Vector::load(simd, filtered, at.clone());
                let direct = Vector::load(simd, filter, at.clone());
                let before = Vector::load_if(simd, h_before, at.clone());
                d.mul_add(value, Vector::load(simd, dh, at.clone())).store(dh, at.clone());
                ((direct + d * before) * value.sigmoid_slope()).store(gate, at);
            }
        }
    }
}
