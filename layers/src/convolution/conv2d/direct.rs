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

use std::ops::Range;

use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::panels::line;
use engine_kernels::shared::Shared;

use super::geometry::Geometry;
use super::runs::unfold;
use super::slots::{SLOTS, for_each_slot};
use super::strip::{Begin, Product, UNITS, width};

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
    let pictures = call.x.len() / (geometry.channels * geometry.pixels());
    let strips = geometry.positions().div_ceil(width::<T>());
    let pieces = pictures * geometry.groups * strips;
    let blocks = geometry.units_a_group().div_ceil(UNITS);
    let shares = PIECES.div_ceil(pieces).min(blocks);
    let y = Shared::new(y);
    for_each_slot(work, slot_length::<T>(geometry), pieces * shares, |pieces, work| {
        lanes::widest(Pieces { call, strips, shares, blocks, pieces, work, y: &y });
    });
}

/// Some pieces of the work: a piece is a strip of a picture for a share of a group's units.
struct Pieces<'a, T> {
    call: &'a Call<'a, T>,
    strips: usize,
    shares: usize,
    /// Blocks of units in a group.
    blocks: usize,
    pieces: Range<usize>,
    work: &'a mut [T],
    y: &'a Shared<'a, T>,
}

impl<T: Lanes + Default + PartialOrd> WithSimd for Pieces<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Pieces { call, strips, shares, blocks, pieces, work, y } = self;
        let geometry = &call.geometry;
        let (rows, edge) = work.split_at_mut(work.len() - UNITS * width::<T>());
        for piece in pieces {
            let (share, rest) = (piece % shares, piece / shares);
            let (strip, rest) = (rest % strips, rest / strips);
            let (group, picture) = (rest % geometry.groups, rest / geometry.groups);
            let blocks = share * blocks / shares..(share + 1) * blocks / shares;
            let first = strip * width::<T>();
            let count = (geometry.positions() - first).min(width::<T>());
            let place = Place { call, picture, group, first, count };
            place.run(simd, blocks, rows, edge, y);
        }
    }
}

/// A strip of one group of a picture's maps.
#[derive(Clone, Copy)]
struct Place<'a, T> {
    call: &'a Call<'a, T>,
    picture: usize,
    group: usize,
    /// The strip's positions.
    first: usize,
    count: usize,
}

impl<T: Lanes + Default + PartialOrd> Place<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(
        self,
        simd: S,
        blocks: Range<usize>,
        rows: &mut [T],
        edge: &mut [T],
        y: &Shared<'_, T>,
    ) {
        let Place { call, picture, group, first, count } = self;
        let geometry = &call.geometry;
        let (channels, taps, depth) =
            (geometry.channels_a_group(), geometry.taps(), geometry.depth());
        let pixels = geometry.pixels();
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
        for channel in (0..channels).step_by(at_once) {
            let some = at_once.min(channels - channel);
            let (strip, row) = match plain {
                true => (maps[first..].as_ptr(), pixels),
                false => {
                    let maps = &maps[channel * pixels..][..some * pixels];
                    unfold(simd, geometry, maps, first, count, rows);
                    (rows.as_ptr(), width::<T>())
                }
            };
            let last = channel + some == channels;
            for block in blocks.clone() {
                let unit = block * UNITS;
                let units = UNITS.min(geometry.units_a_group() - unit);
                let unit = group * geometry.units_a_group() + unit;
                let begin = match (channel, call.b) {
                    (1.., _) => Begin::Target,
                    (0, Some(b)) => Begin::Bias(b[unit..][..units].as_ptr()),
                    (0, None) => Begin::Zero,
                };
                let target = (picture * geometry.units + unit) * geometry.positions() + first;
                let stride = geometry.positions();
                let product = |target, stride| Product {
                    left: call.w[unit * depth + channel * taps..].as_ptr(),
                    unit: depth,
                    step: 1,
                    strip,
                    row,
                    depth: some * taps,
                    target,
                    stride,
                    begin,
                    relu: call.relu && last,
                };
                let part = |u: usize| target + u * stride..target + u * stride + count;
                assert!(part(units - 1).end <= y.len(), "y has these units");
                // SAFETY: no other piece has these positions of these units. The left factor has `units` rows of `depth`
                // numbers in all. The strip is `unfold`ed, or all its rows are among the pixels. The target is y where
                // all of its lines are whole, reached by a pointer that may go to all of y; elsewhere it is `edge`, whose
                // pointer is taken after the last write through the reference.
                unsafe {
                    if whole {
                        product(y.pointer(target), stride).run(simd, units, lines);
                        continue;
                    }
                    if channel > 0 {
                        for u in 0..units {
                            edge[u * width::<T>()..][..count].copy_from_slice(y.part(part(u)));
                        }
                    }
                    product(edge.as_mut_ptr(), width::<T>()).run(simd, units, lines);
                    for u in 0..units {
                        y.part(part(u)).copy_from_slice(&edge[u * width::<T>()..][..count]);
                    }
                }
            }
        }
    }
}
