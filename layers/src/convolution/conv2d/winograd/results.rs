//! Results of tiles from their transforms: `A^T m A`.

use std::ops::Range;

use engine_kernels::interleave::{ALL, together};
use engine_kernels::lanes::{Lanes, Simd};
use engine_kernels::tiled_maps::{TileBlock, TileGrid};

use super::{Call, LINE, Row, SIDE, STRIP, TILE, Vector, copy, fma, splat};

/// Results of a strip of tiles from the products of its transforms.
#[derive(Clone, Copy)]
pub(super) struct Results<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) tiles: TileGrid,
    /// `[elements, units, tiles of a strip]`: elements are `plane` apart.
    pub(super) products: &'a [f32],
    pub(super) plane: usize,
}

impl Results<'_> {
    /// Writes those of some units, the first of which is that of the first product.
    #[inline(always)]
    pub(super) fn write<S: Simd>(&self, simd: S, units: Range<usize>, y: &mut TileBlock<'_, f32>) {
        let strip = y.tiles();
        for first in strip.clone().step_by(LINE) {
            let line = first..strip.end.min(first + LINE);
            for unit in units.clone() {
                let at = (unit - units.start) * STRIP + first - strip.start;
                self.write_line(simd, unit, line.clone(), &self.products[at..], y);
            }
        }
    }

    #[inline(always)]
    fn write_line<S: Simd>(
        &self,
        simd: S,
        unit: usize,
        line: Range<usize>,
        products: &[f32],
        y: &mut TileBlock<'_, f32>,
    ) {
        let mut results: [Row; TILE] = [[0.0; ALL]; TILE];
        let zero = splat(simd, 0.0);
        let bias = splat(simd, self.call.b.map_or(0.0, |b| b[unit]));
        for v in (0..LINE).step_by(f32::lanes(simd)) {
            let mut half = [[zero; SIDE]; TILE];
            for j in 0..SIDE {
                let mut column = [zero; SIDE];
                for (r, to) in column.iter_mut().enumerate() {
                    *to = f32::load_part(simd, &products[(r * SIDE + j) * self.plane + v..]);
                }
                for (r, from) in result_side(simd, column).into_iter().enumerate() {
                    half[r][j] = from;
                }
            }
            for (results, row) in results.iter_mut().zip(half) {
                let results = results.as_chunks_mut::<LINE>().0;
                for (to, result) in results.iter_mut().zip(result_side(simd, row)) {
                    let mut result = f32::add(simd, result, bias);
                    if self.call.relu {
                        result = <f32 as Lanes>::max(simd, zero, result);
                    }
                    f32::store_part(simd, &mut to[v..], result);
                }
            }
        }
        for (r, results) in results.iter().enumerate() {
            let mut row: Row = [0.0; ALL];
            together(simd, results, &mut row);
            for run in self.tiles.runs(line.clone()) {
                let Some(to) = y.row_mut(unit, run, r) else { continue };
                let row = &row[TILE * run.at()..][..to.len()];
                match self.call.add {
                    true => add(simd, row, to),
                    false => copy(simd, row, to),
                }
            }
        }
    }
}

/// Adds a few numbers without a call.
#[inline(always)]
fn add<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let lanes = f32::lanes(simd);
    for (from, to) in from.chunks(lanes).zip(to.chunks_mut(lanes)) {
        let sum = f32::add(simd, f32::load_part(simd, to), f32::load_part(simd, from));
        f32::store_part(simd, to, sum);
    }
}

/// A^T m.
#[inline(always)]
fn result_side<S: Simd>(simd: S, m: [Vector<S>; SIDE]) -> [Vector<S>; TILE] {
    let (near, far) = (f32::add(simd, m[1], m[2]), f32::add(simd, m[3], m[4]));
    let (near_off, far_off) = (f32::sub(simd, m[1], m[2]), f32::sub(simd, m[3], m[4]));
    [
        f32::add(simd, m[0], f32::add(simd, near, far)),
        fma(simd, splat(simd, 2.0), far_off, near_off),
        fma(simd, splat(simd, 4.0), far, near),
        f32::add(simd, fma(simd, splat(simd, 8.0), far_off, near_off), m[5]),
    ]
}
