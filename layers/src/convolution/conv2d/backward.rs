//! The gradients of a convolution by products of matrices, a strip of positions at a time.
//!
//! ```text
//! dw[u, (c, tap)]         = sum over pictures and positions of dy[u, position] seen[(c, tap), position]
//! dseen[(c, tap), position] = sum over u of w[u, (c, tap)] dy[u, position], added up where filters see the same pixel
//! ```
//!
//! Every number of dw is a sum over blocks of positions, in their order through all pictures, and that of a block is one
//! chain of fused multiplications and additions: see [`POSITIONS`].

use std::ops::{AddAssign, Range};

use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::matrix::{MatrixMut, Tiles};
use engine_kernels::panels::line;
use engine_kernels::strip_product::{Begin, Product, UNITS, width};
use engine_kernels::team::{self, Share};

use super::geometry::Geometry;
use super::runs::{fold, unfold};
use super::slots::{SLOTS, for_each_slot};

/// Rows of a strip, one for each channel and tap or one for each unit, that are gone through at a time.
const DEPTH: usize = 512;

/// The backward pass of a convolution of pictures.
pub(super) struct Call<'a, T> {
    pub(super) geometry: Geometry,
    pub(super) x: &'a [T],
    pub(super) w: &'a [T],
    pub(super) dy: &'a [T],
}

/// Numbers that a slot works in.
pub(super) fn slot_length<T>(geometry: &Geometry) -> usize {
    let depth = rows(geometry).saturating_mul(width::<T>());
    depth + depth.max(DEPTH * width::<T>())
}

/// Strips whose gradients are turned at a time.
const STRIPS: usize = 16;
/// Positions in a block of the largest strips.
pub(super) const POSITIONS: usize = STRIPS * width::<f32>();
/// Numbers by which the units of a group may be filled up to whole cache lines, of the smallest numbers.
pub(super) const FILL: usize = line::<f32>();

/// Rows of channels and taps that are gone through at a time.
fn rows(geometry: &Geometry) -> usize {
    let most = (DEPTH / geometry.taps()).clamp(1, geometry.channels_a_group());
    (most * geometry.taps()).next_multiple_of(UNITS)
}

/// Channels that are gone through at a time where there are so many pieces of work for each block of them.
fn channels_at_once(geometry: &Geometry, pieces: usize) -> usize {
    let most = (DEPTH / geometry.taps()).clamp(1, geometry.channels_a_group());
    let blocks = (2 * SLOTS).div_ceil(pieces).min(geometry.channels_a_group());
    geometry.channels_a_group().div_ceil(blocks).min(most)
}

/// dw = dw + that of these pictures, or overwritten if it is `fresh`. `work` has the length above for all slots, `turned`
/// that of [`POSITIONS`] positions of all units, each group's filled up by less than [`FILL`].
pub(super) fn filters<T: Lanes + Default + AddAssign>(
    call: &Call<'_, T>,
    dw: &mut [T],
    mut fresh: bool,
    turned: &mut [T],
    work: &mut [T],
) {
    let geometry = &call.geometry;
    let width = width::<T>();
    let unit_strips = geometry.units_a_group().div_ceil(width);
    let at_once = channels_at_once(geometry, unit_strips * geometry.groups);
    let filled = geometry.units_a_group().next_multiple_of(line::<T>());
    let row = filled * geometry.groups;
    let pictures = call.dy.len() / (geometry.units * geometry.positions());
    let strips = pictures * geometry.positions().div_ceil(width);
    if fresh && strips == 0 {
        dw.fill(T::default());
    }
    if dw.is_empty() {
        return;
    }
    for first in (0..strips).step_by(STRIPS) {
        let strips = first..strips.min(first + STRIPS);
        let turned = &mut turned[..strips.len() * width * row];
        team::for_each_chunk_mut(turned, width * row, |at, turned| {
            turn(call, Strip::of(geometry, first + at, width), filled, turned);
        });
        let turned = &*turned;
        let tiles =
            MatrixMut::new(&mut *dw, geometry.depth()).tiles(width, at_once * geometry.taps());
        let tiles = tiles.in_bands(geometry.units_a_group()).columns_first();
        for_each_slot(work, slot_length::<T>(geometry), tiles, |tiles, work| {
            let strips = strips.clone();
            lanes::widest(Filters { call, tiles, strips, turned, work, fresh });
        });
        fresh = false;
    }
}

/// Positions of a picture.
#[derive(Clone, Copy)]
struct Strip {
    picture: usize,
    first: usize,
    count: usize,
}

impl Strip {
    /// Strip `at` of all pictures.
    fn of(geometry: &Geometry, at: usize, width: usize) -> Self {
        let positions = geometry.positions();
        let strips = positions.div_ceil(width);
        let (picture, first) = (at / strips, at % strips * width);
        Strip { picture, first, count: width.min(positions - first) }
    }
}

/// The filters of some units for some channels, tile by tile.
struct Filters<'a, 'b, T> {
    call: &'a Call<'a, T>,
    tiles: Share<'a, Tiles<'b, T>>,
    strips: Range<usize>,
    turned: &'a [T],
    work: &'a mut [T],
    fresh: bool,
}

impl<T: Lanes + Default + AddAssign> WithSimd for Filters<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Filters { call, tiles, strips, turned, work, fresh } = self;
        let geometry = &call.geometry;
        let (pixels, taps, width) = (geometry.pixels(), geometry.taps(), width::<T>());
        let filled = geometry.units_a_group().next_multiple_of(line::<T>());
        let row_length = filled * geometry.groups;
        let (sums, seen) = work.split_at_mut(rows(geometry) * width);
        for (_, mut tile) in tiles {
            let (group, unit) = (
                tile.rows.start / geometry.units_a_group(),
                tile.rows.start % geometry.units_a_group(),
            );
            let (channel, rows) = (tile.columns.start / taps, tile.columns.len());
            let lines = tile.rows.len().div_ceil(line::<T>());
            let first_map = group * geometry.channels_a_group() + channel;
            sums[..rows * width].fill(T::default());
            for (at, strip) in strips.clone().enumerate() {
                let Strip { picture, first, count } = Strip::of(geometry, strip, width);
                let maps = (picture * geometry.channels + first_map) * pixels;
                let maps = &call.x[maps..][..rows / taps * pixels];
                unfold(simd, geometry, maps, first, count, seen);
                let mut sums = MatrixMut::new(&mut *sums, width);
                let dy = &turned[at * width * row_length + group * filled + unit..];
                for row in (0..rows).step_by(UNITS) {
                    let product = Product {
                        left: &seen[row * width..],
                        unit: width,
                        step: 1,
                        strip: dy,
                        row: row_length,
                        depth: count,
                        begin: Begin::Target,
                        relu: false,
                    };
                    let units = row..rows.min(row + UNITS);
                    product.run(simd, sums.block(units, 0..lines * line::<T>()));
                }
            }
            for (u, dw) in tile.view.rows_mut().enumerate() {
                for (dw, sums) in dw.iter_mut().zip(sums.chunks_exact(width)) {
                    if fresh { *dw = sums[u] } else { *dw += sums[u] }
                }
            }
        }
    }
}

/// The side of a block that is transposed in registers.
const SIDE: usize = 8;

/// Transposes the gradients at a strip: a row of `turned` is a position, with each group's units filled up to `filled`.
fn turn<T: Copy + Default>(call: &Call<'_, T>, strip: Strip, filled: usize, turned: &mut [T]) {
    let geometry = &call.geometry;
    let (positions, in_group) = (geometry.positions(), geometry.units_a_group());
    let row = filled * geometry.groups;
    let dy = &call.dy[strip.picture * geometry.units * positions + strip.first..];
    for group in 0..geometry.groups {
        for unit in (0..in_group).step_by(SIDE) {
            let from = &dy[(group * in_group + unit) * positions..];
            let to = group * filled + unit;
            let units = SIDE.min(in_group - unit);
            for at in (0..strip.count).step_by(SIDE) {
                let here = SIDE.min(strip.count - at);
                let mut block = [[T::default(); SIDE]; SIDE];
                for (u, numbers) in block.iter_mut().enumerate().take(units) {
                    let from = &from[u * positions + at..][..here];
                    match <&[T; SIDE]>::try_from(from) {
                        Ok(from) => *numbers = *from,
                        Err(_) => numbers[..here].copy_from_slice(from),
                    }
                }
                for i in 0..here {
                    let mut column = [T::default(); SIDE];
                    column.iter_mut().zip(&block).for_each(|(to, row)| *to = row[i]);
                    // A line has as many numbers as a block, or twice as many: units are filled up with zeros.
                    turned[(at + i) * row + to..][..SIDE].copy_from_slice(&column);
                }
            }
        }
    }
}

/// dx = dx + that of these pictures, or overwritten if it is `fresh`. `work` has the length above for all slots.
pub(super) fn pixels<T: Lanes + Default + AddAssign>(
    call: &Call<'_, T>,
    dx: &mut [T],
    fresh: bool,
    work: &mut [T],
) {
    let geometry = &call.geometry;
    let pictures = call.dy.len() / (geometry.units * geometry.positions());
    let at_once = channels_at_once(geometry, pictures * geometry.groups);
    if dx.is_empty() {
        return;
    }
    let tiles = MatrixMut::new(dx, geometry.pixels()).tiles(at_once, geometry.pixels());
    let tiles = tiles.in_bands(geometry.channels_a_group());
    for_each_slot(work, slot_length::<T>(geometry), tiles, |tiles, work| {
        lanes::widest(Pixels { call, tiles, work, fresh });
    });
}

/// Some maps of some pictures, tile by tile.
struct Pixels<'a, 'b, T> {
    call: &'a Call<'a, T>,
    tiles: Share<'a, Tiles<'b, T>>,
    work: &'a mut [T],
    fresh: bool,
}

impl<T: Lanes + Default + AddAssign> WithSimd for Pixels<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pixels { call, tiles, work, fresh } = self;
        let geometry = &call.geometry;
        let (positions, units) = (geometry.positions(), geometry.units_a_group());
        let (taps, width) = (geometry.taps(), width::<T>());
        let (sums, copied) = work.split_at_mut(rows(geometry) * width);
        for (_, tile) in tiles {
            let (picture, map) =
                (tile.rows.start / geometry.channels, tile.rows.start % geometry.channels);
            let in_group = geometry.channels_a_group();
            let (first_unit, channel) = (map / in_group * units, map % in_group);
            let rows = tile.rows.len() * taps;
            let maps = tile.view.into_slice();
            if fresh {
                maps.fill(T::default());
            }
            for first in (0..positions).step_by(width) {
                let count = width.min(positions - first);
                let lines = count.div_ceil(line::<T>());
                for unit in (0..units).step_by(DEPTH) {
                    let depth = DEPTH.min(units - unit);
                    let start = picture * geometry.units + first_unit + unit;
                    let start = start * positions + first;
                    let ends = start + (depth - 1) * positions + lines * line::<T>();
                    let (strip, row) = if ends <= call.dy.len() {
                        // What lies beyond the positions is multiplied and left.
                        (&call.dy[start..], positions)
                    } else {
                        for (u, to) in copied.chunks_exact_mut(width).take(depth).enumerate() {
                            let from = &call.dy[start + u * positions..][..count];
                            to[..count].copy_from_slice(from);
                        }
                        (&*copied, width)
                    };
                    let mut sums = MatrixMut::new(&mut *sums, width);
                    for row_at in (0..rows).step_by(UNITS) {
                        let w = (first_unit + unit) * geometry.depth() + channel * taps + row_at;
                        let product = Product {
                            left: &call.w[w..],
                            unit: 1,
                            step: geometry.depth(),
                            strip,
                            row,
                            depth,
                            begin: if unit == 0 { Begin::Zero } else { Begin::Target },
                            relu: false,
                        };
                        let rows = row_at..rows.min(row_at + UNITS);
                        product.run(simd, sums.block(rows, 0..lines * line::<T>()));
                    }
                }
                fold(simd, geometry, sums, first, count, maps);
            }
        }
    }
}

/// db = db + the sum of each map of dy, one picture after the other.
pub(super) fn biases<T: Lanes + Default + AddAssign>(call: &Call<'_, T>, db: &mut [T]) {
    let (units, positions) = (call.geometry.units, call.geometry.positions());
    team::for_each_chunk_mut(db, UNITS, |block, db| {
        let pictures = call.dy.chunks_exact(units * positions);
        for dy in pictures {
            let maps = dy.chunks_exact(positions).skip(block * UNITS);
            for (db, map) in db.iter_mut().zip(maps) {
                lanes::widest(AddSum(map, db));
            }
        }
    });
}

/// Adds the sum of an array to a number.
struct AddSum<'a, T>(&'a [T], &'a mut T);

impl<T: Lanes + Default + AddAssign> WithSimd for AddSum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut sums = [T::splat(simd, T::default()); 4];
        for numbers in self.0.chunks(4 * T::lanes(simd)) {
            for (sum, numbers) in sums.iter_mut().zip(numbers.chunks(T::lanes(simd))) {
                *sum = T::add(simd, *sum, T::load_part(simd, numbers));
            }
        }
        let [a, b, c, d] = sums;
        *self.1 += T::reduce_add(simd, T::add(simd, T::add(simd, a, b), T::add(simd, c, d)));
    }
}
