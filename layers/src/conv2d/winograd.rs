//! Convolutions by filters of 3 by 3 with fewer multiplications: Winograd's F(4x4, 3x3).
//!
//! ```text
//! Y = A^T [(G g G^T) * (B^T d B)] A
//! ```
//!
//! for a tile of 4 by 4 results Y from 6 by 6 pixels d and a filter g, where `*` is element by element: 36 multiplications
//! in place of 144. Summed over channels before the last transform, the products of all tiles are 36 products of matrices,
//! one for each element. Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", 2016, with their points
//! 0, 1, -1, 2, -2. In single precision results are off by a few units in the fifth digit, so double precision goes
//! another way.
//!
//! Filters are transformed in each call, by whoever multiplies by them: what is read from memory is then a quarter of what
//! transformed filters would take, and no memory is kept.

use engine_core::interleave::{ALL, apart, together};
use engine_core::lanes::{self, Lanes, Simd, WithSimd};
use engine_core::shared::Shared;
use engine_core::team;

use super::geometry::Geometry;
use super::slots::for_each_slot;
use super::strip::{Begin, Product, UNITS, width};

/// Results along a side of a tile.
const TILE: usize = 4;
/// Pixels along a side of what a tile sees.
const SIDE: usize = 6;
/// Products of matrices.
const ELEMENTS: usize = SIDE * SIDE;
/// Tiles that are transformed at a time: numbers in a cache line.
const LINE: usize = 16;
/// Tiles in a strip.
const STRIP: usize = width::<f32>();
/// Channels that are transformed in one go.
const CHANNELS: usize = 8;
/// Strips times channels that are transformed before they are multiplied.
const AT_ONCE: usize = 1280;

type Vector<S> = <f32 as Lanes>::Vector<S>;

/// One number of each tile of a line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; LINE]);

/// A convolution of pictures.
pub(super) struct Call<'a> {
    pub(super) geometry: Geometry,
    pub(super) x: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) b: Option<&'a [f32]>,
    pub(super) relu: bool,
}

/// Whether the mathematics here is that of such a convolution, and saves time.
pub(super) fn applies(geometry: &Geometry) -> bool {
    let Geometry { kernel, stride, dilation, groups, output, .. } = *geometry;
    let sides = |pair: engine_core::Pair| (pair.height, pair.width);
    sides(kernel) == (3, 3)
        && sides(stride) == (1, 1)
        && sides(dilation) == (1, 1)
        && groups == 1
        && geometry.channels >= LEAST_CHANNELS
        && output.height.min(output.width) >= TILE
}

/// With fewer channels the transforms take longer than they save.
const LEAST_CHANNELS: usize = 12;

/// How tiles cover the pictures.
#[derive(Clone, Copy)]
struct Tiles {
    down: usize,
    across: usize,
    /// Of all pictures.
    count: usize,
}

impl Tiles {
    fn of(geometry: &Geometry, pictures: usize) -> Self {
        let (down, across) =
            (geometry.output.height.div_ceil(TILE), geometry.output.width.div_ceil(TILE));
        Tiles { down, across, count: pictures * down * across }
    }

    /// Cuts tiles into runs of neighbours: calls `f` with each run.
    #[inline(always)]
    fn runs(self, first: usize, count: usize) -> Runs {
        Runs { tiles: self, next: first, end: (first + count).min(self.count), first }
    }
}

/// Tiles that lie side by side.
#[derive(Clone, Copy)]
struct Run {
    picture: usize,
    /// The row of tiles, and the first tile in it.
    down: usize,
    across: usize,
    length: usize,
    /// Where in the line of tiles it begins.
    at: usize,
}

struct Runs {
    tiles: Tiles,
    next: usize,
    end: usize,
    first: usize,
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let (row, across) = (self.next / self.tiles.across, self.next % self.tiles.across);
        let length = (self.tiles.across - across).min(self.end - self.next);
        let (picture, down) = (row / self.tiles.down, row % self.tiles.down);
        let at = self.next - self.first;
        self.next += length;
        Some(Run { picture, down, across, length, at })
    }
}

/// Strips that are transformed before they are multiplied.
fn strips_at_once(geometry: &Geometry) -> usize {
    let tiles = Tiles::of(geometry, 1);
    let most = (AT_ONCE / geometry.channels).max(2);
    tiles.count.div_ceil(STRIP).min(most)
}

/// Numbers of the pictures' transforms.
pub(super) fn transforms_length(geometry: &Geometry) -> usize {
    strips_at_once(geometry) * ELEMENTS * geometry.channels * STRIP
}

/// Numbers that a slot works in.
pub(super) fn slot_length(geometry: &Geometry) -> usize {
    ELEMENTS * UNITS * (geometry.channels.next_multiple_of(PAIR) + STRIP)
}

/// Computes y. `transforms` and `work` have the lengths above, `work` that of all slots.
pub(super) fn forward(call: &Call<'_>, y: &mut [f32], transforms: &mut [f32], work: &mut [f32]) {
    let geometry = &call.geometry;
    let pictures = call.x.len() / (geometry.channels * geometry.pixels());
    let tiles = Tiles::of(geometry, pictures);
    let at_once = strips_at_once(geometry) * STRIP;
    let y = Shared::new(y);
    for first in (0..tiles.count).step_by(at_once) {
        let count = at_once.min(tiles.count - first);
        let strips = count.div_ceil(STRIP);
        let blocks = geometry.channels.div_ceil(CHANNELS);
        let shared = Shared::new(transforms);
        team::for_each(strips * blocks, |at| {
            let (strip, block) = (at / blocks, at % blocks);
            let channels = block * CHANNELS..((block + 1) * CHANNELS).min(geometry.channels);
            let (tile, end) = (first + strip * STRIP, first + count);
            lanes::widest(Pictures { call, tiles, channels, strip, tile, end, to: &shared });
        });
        let transforms = &*transforms;
        let blocks = geometry.units.div_ceil(UNITS);
        for_each_slot(work, slot_length(geometry), blocks, |blocks, work| {
            let results = Results { call, tiles, first, count, y: &y };
            lanes::widest(Units { results, blocks, transforms, work });
        });
    }
}

/// Transforms what tiles of a strip see in some channels.
struct Pictures<'a> {
    call: &'a Call<'a>,
    tiles: Tiles,
    channels: std::ops::Range<usize>,
    strip: usize,
    tile: usize,
    end: usize,
    to: &'a Shared<'a, f32>,
}

impl WithSimd for Pictures<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let geometry = &self.call.geometry;
        let plane = geometry.channels * STRIP;
        let lines = (self.end - self.tile).min(STRIP).div_ceil(LINE);
        let mut seen = [Line([0.0; LINE]); ELEMENTS];
        for channel in self.channels.clone() {
            let maps = &self.call.x[channel * geometry.pixels()..];
            for line in 0..lines {
                let first = self.tile + line * LINE;
                let count = LINE.min(self.end - first);
                gather(simd, geometry, maps, self.tiles, (first, count), &mut seen);
                let at = self.strip * ELEMENTS * plane + channel * STRIP + line * LINE;
                assert!(at + (ELEMENTS - 1) * plane + LINE <= self.to.len());
                for v in (0..LINE).step_by(f32::lanes(simd)) {
                    // SAFETY: the assertion above; every job has channels and strips of its own.
                    unsafe { transform_picture(simd, &seen, v, self.to, at + v, plane) };
                }
            }
        }
    }
}

/// Numbers that the tiles of a line begin with, tile by tile, and those at the same place of each.
type Row = [f32; ALL];

/// Takes what a line of tiles sees in a map, zeros beyond the edge: `[rows, columns, tiles]`.
#[inline(always)]
fn gather<S: Simd>(
    simd: S,
    geometry: &Geometry,
    maps: &[f32],
    tiles: Tiles,
    line: (usize, usize),
    seen: &mut [Line; ELEMENTS],
) {
    let (first, count) = line;
    let (input, padding) = (geometry.input, geometry.padding);
    for r in 0..SIDE {
        let mut row: Row = [0.0; ALL];
        for run in tiles.runs(first, count) {
            let Some(pixels) = pixels(geometry, maps, run, r) else { continue };
            // Where the run's first tile is in the padded row, and what of it is within the picture.
            let start = TILE * run.across;
            let from = padding.width.saturating_sub(start);
            let till = (input.width + padding.width).saturating_sub(start).min(TILE * run.length);
            if from < till {
                let to = &mut row[TILE * run.at..][from..till];
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
        for run in tiles.runs(first, count) {
            let pixels = pixels(geometry, maps, run, r);
            for j in 0..SIDE - TILE {
                let x = TILE * (run.across + run.length) + j;
                let within = x >= padding.width && x - padding.width < input.width;
                let pixel = pixels.filter(|_| within).map_or(0.0, |row| row[x - padding.width]);
                seen[r * SIDE + TILE + j].0[run.at + run.length - 1] = pixel;
            }
        }
    }
}

/// The row of pixels that row `r` of what a run of tiles sees is; none beyond the edge.
#[inline(always)]
fn pixels<'a>(geometry: &Geometry, maps: &'a [f32], run: Run, r: usize) -> Option<&'a [f32]> {
    let Geometry { input, padding, .. } = *geometry;
    let y = (TILE * run.down + r).checked_sub(padding.height).filter(|y| *y < input.height)?;
    let start = run.picture * geometry.channels * geometry.pixels() + y * input.width;
    Some(&maps[start..][..input.width])
}

/// Copies a few numbers without a call.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let lanes = f32::lanes(simd);
    for (from, to) in from.chunks(lanes).zip(to.chunks_mut(lanes)) {
        f32::store_part(simd, to, f32::load_part(simd, from));
    }
}

/// B^T d B of a vector of tiles, each element to its plane.
///
/// # Safety
/// There are vectors at `at` and after it, `plane` apart, that nobody else has.
#[inline(always)]
unsafe fn transform_picture<S: Simd>(
    simd: S,
    seen: &[Line; ELEMENTS],
    v: usize,
    to: &Shared<'_, f32>,
    at: usize,
    plane: usize,
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
            let at = at + (r * SIDE + j) * plane;
            // SAFETY: promised by the caller.
            f32::store_part(simd, unsafe { to.part(at..at + f32::lanes(simd)) }, element);
        }
    }
}

#[inline(always)]
fn splat<S: Simd>(simd: S, x: f32) -> Vector<S> {
    f32::splat(simd, x)
}

/// a b + c.
#[inline(always)]
fn fma<S: Simd>(simd: S, a: Vector<S>, b: Vector<S>, c: Vector<S>) -> Vector<S> {
    <f32 as Lanes>::mul_add(simd, a, b, c)
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

/// Everything that is done for some blocks of units: their filters' transforms, products, and the results' transforms.
struct Units<'a> {
    results: Results<'a>,
    blocks: std::ops::Range<usize>,
    transforms: &'a [f32],
    work: &'a mut [f32],
}

/// Where the results of some tiles go.
#[derive(Clone, Copy)]
struct Results<'a> {
    call: &'a Call<'a>,
    tiles: Tiles,
    first: usize,
    count: usize,
    y: &'a Shared<'a, f32>,
}

impl WithSimd for Units<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Units { results, blocks, transforms, work } = self;
        let geometry = &results.call.geometry;
        let depth = geometry.channels.next_multiple_of(PAIR) * UNITS;
        let (filters, products) = work.split_at_mut(ELEMENTS * depth);
        let plane = geometry.channels * STRIP;
        assert!(products.len() >= ELEMENTS * UNITS * STRIP);
        assert!(transforms.len() >= results.count.div_ceil(STRIP) * ELEMENTS * plane);
        for block in blocks.clone() {
            let first = block * UNITS;
            let units = UNITS.min(geometry.units - first);
            transform_filters(
                simd,
                geometry.channels,
                &results.call.w[first * geometry.channels * 9..],
                units,
                filters,
                depth,
            );
            for strip in 0..results.count.div_ceil(STRIP) {
                let tile = results.first + strip * STRIP;
                let lines = (results.first + results.count - tile).min(STRIP).div_ceil(LINE);
                for element in 0..ELEMENTS {
                    let product = Product {
                        left: filters[element * depth..].as_ptr(),
                        unit: 1,
                        step: UNITS,
                        strip: transforms[(strip * ELEMENTS + element) * plane..].as_ptr(),
                        row: STRIP,
                        depth: geometry.channels,
                        target: products[element * UNITS * STRIP..].as_mut_ptr(),
                        stride: STRIP,
                        begin: Begin::Zero,
                        relu: false,
                    };
                    // SAFETY: the assertions above; blocks of filters and products are whole ones, also where there are
                    // fewer units.
                    unsafe { product.run(simd, UNITS, lines) };
                }
                for line in 0..lines {
                    for unit in 0..units {
                        results.write(
                            simd,
                            first + unit,
                            tile + line * LINE,
                            &products[unit * STRIP + line * LINE..],
                        );
                    }
                }
            }
        }
    }
}

impl Results<'_> {
    /// A^T m A of a line of tiles, to the map that they are tiles of.
    #[inline(always)]
    fn write<S: Simd>(&self, simd: S, unit: usize, first: usize, products: &[f32]) {
        let geometry = &self.call.geometry;
        let mut results: [Row; TILE] = [[0.0; ALL]; TILE];
        let zero = f32::splat(simd, 0.0);
        let bias = f32::splat(simd, self.call.b.map_or(0.0, |b| b[unit]));
        for v in (0..LINE).step_by(f32::lanes(simd)) {
            let mut half = [[zero; SIDE]; TILE];
            for j in 0..SIDE {
                let mut column = [zero; SIDE];
                for (r, to) in column.iter_mut().enumerate() {
                    *to = f32::load_part(simd, &products[(r * SIDE + j) * UNITS * STRIP + v..]);
                }
                for (r, from) in result_side(simd, column).into_iter().enumerate() {
                    half[r][j] = from;
                }
            }
            for (results, row) in results.iter_mut().zip(half) {
                for (to, result) in
                    results.as_chunks_mut::<LINE>().0.iter_mut().zip(result_side(simd, row))
                {
                    let result = f32::add(simd, result, bias);
                    let result = if self.call.relu {
                        <f32 as Lanes>::max(simd, zero, result)
                    } else {
                        result
                    };
                    f32::store_part(simd, &mut to[v..], result);
                }
            }
        }
        let (width, positions) = (geometry.output.width, geometry.positions());
        let end = (self.first + self.count).min(first + LINE);
        for (r, results) in results.iter().enumerate() {
            let mut row: Row = [0.0; ALL];
            together(simd, results, &mut row);
            for run in self.tiles.runs(first, end - first) {
                let y = TILE * run.down + r;
                if y >= geometry.output.height {
                    continue;
                }
                let map = (run.picture * geometry.units + unit) * positions;
                let x = TILE * run.across;
                let length = (TILE * run.length).min(width - x);
                // SAFETY: every job has units of its own.
                let to = unsafe { self.y.part(map + y * width + x..map + y * width + x + length) };
                copy(simd, &row[TILE * run.at..][..length], to);
            }
        }
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

/// G g G^T of a block of units' filters, two channels at a time: `[elements, channels, units of a block]`.
#[inline(always)]
fn transform_filters<S: Simd>(
    simd: S,
    channels: usize,
    w: &[f32],
    units: usize,
    to: &mut [f32],
    depth: usize,
) {
    let zero = f32::splat(simd, 0.0);
    let mut taps = [[Line([0.0; LINE]); TAPS]; FILTERS / PAIR];
    for first in (0..channels).step_by(FILTERS) {
        let count = FILTERS.min(channels - first);
        turn(w, channels, first, count, units, &mut taps);
        for (pair, taps) in taps.iter().enumerate().take(count.div_ceil(PAIR)) {
            let channel = first + pair * PAIR;
            for v in (0..LINE).step_by(f32::lanes(simd)) {
                let mut half = [[zero; 3]; SIDE];
                for j in 0..3 {
                    let mut column = [zero; 3];
                    for (r, to) in column.iter_mut().enumerate() {
                        *to = f32::load_part(simd, &taps[3 * r + j].0[v..]);
                    }
                    for (r, from) in filter_side(simd, column).into_iter().enumerate() {
                        half[r][j] = from;
                    }
                }
                for (r, row) in half.into_iter().enumerate() {
                    for (j, element) in filter_side(simd, row).into_iter().enumerate() {
                        let at = (r * SIDE + j) * depth + channel * UNITS + v;
                        f32::store_part(simd, &mut to[at..][..f32::lanes(simd)], element);
                    }
                }
            }
        }
    }
}

/// Numbers of a filter for one channel.
const TAPS: usize = 9;
/// Channels whose filters fill a line.
const PAIR: usize = LINE / UNITS;
/// Channels whose filters are turned at a time: filters for so many are whole blocks.
const FILTERS: usize = 16;

/// Filters of a block of units for some channels as `[pairs of channels, taps, channels of a pair, units]`.
#[inline(always)]
fn turn(
    w: &[f32],
    channels: usize,
    first: usize,
    count: usize,
    units: usize,
    taps: &mut [[Line; TAPS]; FILTERS / PAIR],
) {
    let place = |number: usize| {
        let (channel, tap) = (number / TAPS, number % TAPS);
        (channel / 2, tap, channel % 2 * UNITS)
    };
    let (start, stride) = (first * TAPS, channels * TAPS);
    if units == UNITS && count == FILTERS {
        for number in (0..FILTERS * TAPS).step_by(UNITS) {
            let mut block = [[0.0; UNITS]; UNITS];
            for (unit, row) in block.iter_mut().enumerate() {
                row.copy_from_slice(&w[unit * stride + start + number..][..UNITS]);
            }
            for i in 0..UNITS {
                let mut column = [0.0; UNITS];
                for unit in 0..UNITS {
                    column[unit] = block[unit][i];
                }
                let (pair, tap, half) = place(number + i);
                taps[pair][tap].0[half..half + UNITS].copy_from_slice(&column);
            }
        }
    } else {
        for unit in 0..units {
            for number in 0..count * TAPS {
                let (pair, tap, half) = place(number);
                taps[pair][tap].0[half + unit] = w[unit * stride + start + number];
            }
        }
    }
}

/// G g.
#[inline(always)]
fn filter_side<S: Simd>(simd: S, g: [Vector<S>; 3]) -> [Vector<S>; SIDE] {
    let sixth = f32::mul(simd, splat(simd, 1.0 / 6.0), g[1]);
    let near = f32::mul(simd, splat(simd, -1.0 / 6.0), f32::add(simd, g[0], g[2]));
    let twelfth = f32::mul(simd, splat(simd, 1.0 / 12.0), g[1]);
    let far =
        fma(simd, splat(simd, 1.0 / 24.0), g[0], f32::mul(simd, splat(simd, 1.0 / 6.0), g[2]));
    [
        f32::mul(simd, splat(simd, 0.25), g[0]),
        f32::sub(simd, near, sixth),
        f32::add(simd, near, sixth),
        f32::add(simd, far, twelfth),
        f32::sub(simd, far, twelfth),
        g[2],
    ]
}
