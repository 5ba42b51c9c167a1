//! Convolutions by products of matrices: filters by what they see, a strip of positions at a time.
//!
//! ```text
//! y[u, positions] = b[u] + w[u, (c, tap)] seen[(c, tap), positions]
//! ```
//!
//! What filters see of a strip is written out, some channels at a time so that it stays in the cache, and all filters of
//! a group go over it there. Filters of one pixel that move by one see the pictures as they are. Every result is one chain
//! of fused multiplications and additions, over channels and taps in the order of `w`, so that it does not show how work
//! is cut.

use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::matrix::{MatrixMut, Tiles};
use engine_kernels::panels::line;
use engine_kernels::strip_product::{Begin, Product, UNITS, width};
use engine_kernels::team::Share;

use super::geometry::Geometry;
use super::runs::unfold;
use super::slots::{SLOTS, for_each_slot};

/// Rows of a strip that are written out at a time, unless a channel has more taps.
const DEPTH: usize = 512;
/// With fewer pieces of work than this, units are shared out as well.
const PIECES: usize = 2 * SLOTS;

/// A convolution of pictures.
pub(super) struct Call<'a, T> {
    pub(super) geometry: Geometry,
    pub(super) x: &'a [T],
    pub(super) w: &'a [T],
    pub(super) b: Option<&'a [T]>,
    pub(super) relu: bool,
}

/// Numbers that a slot works in.
pub(super) fn slot_length<T>(geometry: &Geometry) -> usize {
    channels_at_once(geometry) * geometry.taps() * width::<T>() + UNITS * width::<T>()
}

/// Channels whose rows are written out at a time.
fn channels_at_once(geometry: &Geometry) -> usize {
    (DEPTH / geometry.taps()).clamp(1, geometry.channels_a_group())
}

/// Computes y. `work` has the length above for all slots.
pub(super) fn forward<T: Lanes + Default + PartialOrd>(
    call: &Call<'_, T>,
    y: &mut [T],
    work: &mut [T],
) {
    let geometry = &call.geometry;
    if y.is_empty() {
        return;
    }
    let pictures = call.x.len() / (geometry.channels * geometry.pixels());
    let strips = geometry.positions().div_ceil(width::<T>());
    let pieces = pictures * geometry.groups * strips;
    let blocks = geometry.units_a_group().div_ceil(UNITS);
    let shares = PIECES.div_ceil(pieces).min(blocks);
    let units = blocks.div_ceil(shares) * UNITS;
    let tiles = MatrixMut::new(y, geometry.positions()).tiles(units, width::<T>());
    let tiles = tiles.in_bands(geometry.units_a_group());
    for_each_slot(work, slot_length::<T>(geometry), tiles, |tiles, work| {
        lanes::widest(Pieces { call, tiles, work });
    });
}

/// Some pieces of the work: a piece is a strip of a picture for some of a group's units.
struct Pieces<'a, 'b, T> {
    call: &'a Call<'a, T>,
    tiles: Share<'a, Tiles<'b, T>>,
    work: &'a mut [T],
}

impl<T: Lanes + Default + PartialOrd> WithSimd for Pieces<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pieces { call, tiles, work } = self;
        let geometry = &call.geometry;
        let (rows, edge) = work.split_at_mut(work.len() - UNITS * width::<T>());
        for (_, tile) in tiles {
            let (picture, unit) =
                (tile.rows.start / geometry.units, tile.rows.start % geometry.units);
            let (first, count) = (tile.columns.start, tile.columns.len());
            let place = Place { call, picture, unit, first, count };
            place.run(simd, rows, edge, tile.view);
        }
    }
}

/// A strip of a picture's maps, for units of one group.
#[derive(Clone, Copy)]
struct Place<'a, T> {
    call: &'a Call<'a, T>,
    picture: usize,
    /// The first of the units.
    unit: usize,
    /// The strip's positions.
    first: usize,
    count: usize,
}

impl<T: Lanes + Default + PartialOrd> Place<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, rows: &mut [T], edge: &mut [T], mut y: MatrixMut<'_, T>) {
        let Place { call, picture, unit: first_unit, first, count } = self;
        let geometry = &call.geometry;
        let (channels, taps, depth) =
            (geometry.channels_a_group(), geometry.taps(), geometry.depth());
        let pixels = geometry.pixels();
        let group = first_unit / geometry.units_a_group();
        let maps = (picture * geometry.groups + group) * channels * pixels;
        let maps = &call.x[maps..][..channels * pixels];
        let lines = count.div_ceil(line::<T>());
        let whole = count == lines * line::<T>();
        let at_once = channels_at_once(geometry);
        // Whole strips of pixels are read where they are.
        let (plain, at_once) = match whole && geometry.sees_pixels() {
            true => (true, channels),
            false => (false, at_once),
        };
        let mut edge = MatrixMut::new(edge, width::<T>());
        for channel in (0..channels).step_by(at_once) {
            let some = at_once.min(channels - channel);
            let (strip, row) = match plain {
                true => (&maps[first..], pixels),
                false => {
                    let maps = &maps[channel * pixels..][..some * pixels];
                    unfold(simd, geometry, maps, first, count, rows);
                    (&*rows, width::<T>())
                }
            };
            let last = channel + some == channels;
            for block in (0..y.rows()).step_by(UNITS) {
                let units = block..y.rows().min(block + UNITS);
                let unit = first_unit + block;
                let product = Product {
                    left: &call.w[unit * depth + channel * taps..],
                    unit: depth,
                    step: 1,
                    strip,
                    row,
                    depth: some * taps,
                    begin: match (channel, call.b) {
                        (1.., _) => Begin::Target,
                        (0, Some(b)) => Begin::Bias(&b[unit..]),
                        (0, None) => Begin::Zero,
                    },
                    relu: call.relu && last,
                };
                let mut target = y.block(units, 0..count);
                if whole {
                    product.run(simd, target);
                    continue;
                }
                // Lines that are not whole ones are computed elsewhere.
                if channel > 0 {
                    edge.rows_mut().zip(target.rows_mut()).for_each(|(to, from)| {
                        to[..count].copy_from_slice(from);
                    });
                }
                product.run(simd, edge.block(0..target.rows(), 0..lines * line::<T>()));
                target.rows_mut().zip(edge.rows_mut()).for_each(|(to, from)| {
                    to.copy_from_slice(&from[..count]);
                });
            }
        }
    }
}
