//! What tiles see of pictures, transformed: `B^T d B`.

use std::ops::Range;

use engine_kernels::interleave::{ALL, apart};
use engine_kernels::lanes::{Lanes, Simd, WithSimd};
use engine_kernels::matrix::MatrixMut;
use engine_kernels::prefetch::prefetch;
use engine_kernels::tiled_maps::{Run, TileGrid};

use super::{Call, ELEMENTS, LINE, Line, Row, SIDE, STRIP, TILE, Vector, copy, fma, splat};
use crate::convolution::conv2d::geometry::Geometry;

/// Transforms what tiles of a strip see in some channels: `[elements, channels, tiles of a strip]`.
pub(super) struct Pictures<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) tiles: TileGrid,
    pub(super) channels: Range<usize>,
    /// The strip's first tile, and the one after its last.
    pub(super) strip: Range<usize>,
    /// A row for each element.
    pub(super) to: MatrixMut<'a, f32>,
}

impl WithSimd for Pictures<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pictures { call, tiles, channels, strip, mut to } = self;
        let geometry = &call.geometry;
        let mut seen = [Line([0.0; LINE]); ELEMENTS];
        for channel in channels.clone() {
            let maps = &call.x[channel * geometry.pixels()..];
            if channel + 1 < channels.end {
                ask_for(geometry, &maps[geometry.pixels()..], tiles, strip.clone());
            }
            for first in strip.clone().step_by(LINE) {
                let line = first..strip.end.min(first + LINE);
                gather(simd, geometry, maps, tiles, line, &mut seen);
                let at = (channel - channels.start) * STRIP + first - strip.start;
                for v in (0..LINE).step_by(f32::lanes(simd)) {
                    transform(simd, &seen, v, &mut to, at + v);
                }
            }
        }
    }
}

/// Takes what a line of tiles sees in a map, zeros beyond the edge: `[rows, columns, tiles]`.
#[inline(always)]
fn gather<S: Simd>(
    simd: S,
    geometry: &Geometry,
    maps: &[f32],
    tiles: TileGrid,
    line: Range<usize>,
    seen: &mut [Line; ELEMENTS],
) {
    let (input, padding) = (geometry.input, geometry.padding);
    for r in 0..SIDE {
        let mut row: Row = [0.0; ALL];
        for run in tiles.runs(line.clone()) {
            let Some(pixels) = pixels(geometry, maps, run, r) else { continue };
            // Where the run's first tile is in the padded row, and what of it is within the picture.
            let start = TILE * run.across();
            let from = padding.width.saturating_sub(start);
            let till = (input.width + padding.width).saturating_sub(start).min(TILE * run.length());
            if from < till {
                let to = &mut row[TILE * run.at()..][from..till];
                copy(simd, &pixels[start + from - padding.width..][..to.len()], to);
            }
        }
        let mut columns: Row = [0.0; ALL];
        apart(simd, &row, &mut columns);
        for (to, from) in seen[r * SIDE..].iter_mut().zip(columns.as_chunks().0) {
            to.0 = *from;
        }
    }
    for r in 0..SIDE {
        // What a tile sees beyond its own is the next tile's, unless that is not beside it.
        for j in 0..SIDE - TILE {
            let next: [f32; LINE - 1] =
                seen[r * SIDE + j].0[1..].try_into().expect("all but the first");
            seen[r * SIDE + TILE + j].0[..LINE - 1].copy_from_slice(&next);
        }
        for run in tiles.runs(line.clone()) {
            let pixels = pixels(geometry, maps, run, r);
            for j in 0..SIDE - TILE {
                let x = TILE * (run.across() + run.length()) + j;
                let within = x >= padding.width && x - padding.width < input.width;
                let pixel = pixels.filter(|_| within).map_or(0.0, |row| row[x - padding.width]);
                seen[r * SIDE + TILE + j].0[run.at() + run.length() - 1] = pixel;
            }
        }
    }
}

/// Asks for what a strip sees in a map, as every row of it lies elsewhere.
#[inline(always)]
fn ask_for(geometry: &Geometry, maps: &[f32], tiles: TileGrid, strip: Range<usize>) {
    for run in tiles.runs(strip) {
        let first = (TILE * run.across()).saturating_sub(geometry.padding.width);
        let end = TILE * (run.across() + run.length()) + SIDE - TILE;
        let end = end.saturating_sub(geometry.padding.width).min(geometry.input.width);
        for r in 0..SIDE {
            let pixels = pixels(geometry, maps, run, r);
            pixels.and_then(|row| row.get(first..end)).into_iter().for_each(prefetch);
        }
    }
}

/// The row of pixels that row `r` of what a run of tiles sees is; none beyond the edge.
#[inline(always)]
fn pixels<'a>(geometry: &Geometry, maps: &'a [f32], run: Run, r: usize) -> Option<&'a [f32]> {
    let Geometry { input, padding, .. } = *geometry;
    let y = (TILE * run.down() + r).checked_sub(padding.height).filter(|y| *y < input.height)?;
    let start = run.picture() * geometry.channels * geometry.pixels() + y * input.width;
    Some(&maps[start..][..input.width])
}

/// B^T d B of a vector of tiles, each element to its row of `to`, from column `at` on.
#[inline(always)]
fn transform<S: Simd>(
    simd: S,
    seen: &[Line; ELEMENTS],
    v: usize,
    to: &mut MatrixMut<'_, f32>,
    at: usize,
) {
    let zero = f32::splat(simd, 0.0);
    let mut half = [[zero; SIDE]; SIDE];
    for j in 0..SIDE {
        let mut column = [zero; SIDE];
        for (r, to) in column.iter_mut().enumerate() {
            *to = f32::load_part(simd, &seen[r * SIDE + j].0[v..]);
        }
        let column = picture_side(simd, column);
        for (r, from) in column.into_iter().enumerate() {
            half[r][j] = from;
        }
    }
    for (r, row) in half.into_iter().enumerate() {
        for (j, element) in picture_side(simd, row).into_iter().enumerate() {
            let to = &mut to.row_mut(r * SIDE + j)[at..][..f32::lanes(simd)];
            f32::store_part(simd, to, element);
        }
    }
}

/// B^T d.
#[inline(always)]
fn picture_side<S: Simd>(simd: S, d: [Vector<S>; SIDE]) -> [Vector<S>; SIDE] {
    let (four, minus_four, minus_five, two) =
        (splat(simd, 4.0), splat(simd, -4.0), splat(simd, -5.0), splat(simd, 2.0));
    let even = fma(simd, minus_four, d[2], d[4]);
    let odd = fma(simd, minus_four, d[1], d[3]);
    let near = f32::sub(simd, d[4], d[2]);
    let far = f32::mul(simd, two, f32::sub(simd, d[3], d[1]));
    [
        fma(simd, four, d[0], fma(simd, minus_five, d[2], d[4])),
        f32::add(simd, even, odd),
        f32::sub(simd, even, odd),
        f32::add(simd, near, far),
        f32::sub(simd, near, far),
        fma(simd, four, d[1], fma(simd, minus_five, d[3], d[5])),
    ]
}
