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
//! Filters are transformed in each call: what is read from memory is then a quarter of what transformed filters would
//! take, and no memory is kept. Which transforms are taken first, and shared, is a matter of caches: see [`Way`].

mod filters;
mod pictures;
mod results;

use std::ops::Range;

use engine_kernels::interleave::ALL;
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::matrix::MatrixMut;
use engine_kernels::strip_product::{Begin, Product, UNITS, width};
use engine_kernels::team;
use engine_kernels::tiled_maps::{TileBlock, TileGrid, TiledMaps};

use self::pictures::Pictures;
use self::results::Results;
use super::geometry::Geometry;
use super::slots::{SLOTS, for_each_slot};

/// Results along a side of a tile.
const TILE: usize = 4;
/// Pixels along a side of what a tile sees.
const SIDE: usize = 6;
/// Products of matrices.
const ELEMENTS: usize = SIDE * SIDE;
/// Tiles that are transformed at a time: numbers in a cache line.
const LINE: usize = 16;
/// Channels whose filters for a block of units fill a line.
const PAIR: usize = LINE / UNITS;
/// Tiles in a strip.
const STRIP: usize = width::<f32>();
/// Blocks of units that are multiplied by a strip before their results are taken.
const BLOCKS: usize = 2;

type Vector<S> = <f32 as Lanes>::Vector<S>;

/// One number of each tile of a line.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line([f32; LINE]);

/// Four numbers of each tile of a line, side by side or one kind after the other.
type Row = [f32; ALL];

/// A convolution of pictures.
pub(super) struct Call<'a> {
    pub(super) geometry: Geometry,
    pub(super) x: &'a [f32],
    pub(super) w: &'a [f32],
    pub(super) b: Option<&'a [f32]>,
    pub(super) relu: bool,
    /// Whether filters are those of the convolution that leads back: `[channels, units, taps]`, the last tap first.
    pub(super) turned: bool,
    /// Whether results are added to what is there.
    pub(super) add: bool,
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

/// Which transforms are taken first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Those of all filters. Then everything is done for a strip of tiles, whose transforms stay in a core's cache.
    Strips,
    /// Those of some strips. Then everything is done for some units, whose filters stay in a core's cache.
    Units,
}

/// More channels than this, and a strip's transforms do not stay in a core's cache.
const MOST_CHANNELS: usize = 128;
/// More filters than this, and their transforms do not stay in the cache of all cores.
const MOST_FILTERS: usize = 128 * 256;

impl Way {
    fn of(geometry: &Geometry, strips: usize) -> Self {
        let filters = geometry.channels.saturating_mul(geometry.units);
        let stay = geometry.channels <= MOST_CHANNELS && filters <= MOST_FILTERS;
        // Each slot has some strips, or there is nothing to share.
        if stay && strips >= 2 * SLOTS { Way::Strips } else { Way::Units }
    }
}

/// Numbers of the transforms of a block of units' filters.
fn block_length(geometry: &Geometry) -> usize {
    geometry.channels.next_multiple_of(PAIR) * UNITS
}

/// Numbers of a strip's transforms.
fn strip_length(geometry: &Geometry) -> usize {
    ELEMENTS.saturating_mul(geometry.channels).saturating_mul(STRIP)
}

/// Numbers of the products of a strip by some blocks of units.
const PRODUCTS: usize = ELEMENTS * BLOCKS * UNITS * STRIP;

/// Numbers that a slot works in.
fn slot_length(geometry: &Geometry, way: Way) -> usize {
    let filters = ELEMENTS.saturating_mul(BLOCKS).saturating_mul(block_length(geometry));
    PRODUCTS.saturating_add(match way {
        Way::Strips => strip_length(geometry),
        Way::Units => filters,
    })
}

/// Numbers of the transforms that are taken first.
fn shared_length(geometry: &Geometry, way: Way) -> usize {
    match way {
        Way::Strips => {
            let blocks = geometry.units.div_ceil(UNITS * BLOCKS) * BLOCKS;
            ELEMENTS * blocks * block_length(geometry)
        }
        Way::Units => strips_at_once(geometry).saturating_mul(strip_length(geometry)),
    }
}

/// Strips times channels whose transforms are taken before they are multiplied.
const AT_ONCE: usize = 1280;

/// And at least so many, over which the filters' transforms pay.
const LEAST_AT_ONCE: usize = 4;
/// Small pictures do not need memory for more of them than this.
const PICTURES: usize = 16;

/// How tiles cover what comes out.
fn tiles(geometry: &Geometry, pictures: usize) -> TileGrid {
    TileGrid::new(TILE, geometry.output.height, geometry.output.width, pictures)
}

/// Strips whose transforms are taken before they are multiplied.
fn strips_at_once(geometry: &Geometry) -> usize {
    let most = (AT_ONCE / geometry.channels).max(LEAST_AT_ONCE);
    tiles(geometry, PICTURES).count().div_ceil(STRIP).min(most)
}

/// Numbers that a convolution works in, whatever its batch.
pub(super) fn length(geometry: &Geometry) -> usize {
    let way = |way| {
        let slots = slot_length(geometry, way).saturating_mul(SLOTS);
        slots.saturating_add(shared_length(geometry, way))
    };
    // With a batch that is large enough.
    match Way::of(geometry, usize::MAX) {
        Way::Strips => way(Way::Strips).max(way(Way::Units)),
        Way::Units => way(Way::Units),
    }
}

/// Computes y in memory of the length above.
pub(super) fn forward(call: &Call<'_>, y: &mut [f32], memory: &mut [f32]) {
    let geometry = &call.geometry;
    let pictures = call.x.len() / (geometry.channels * geometry.pixels());
    let tiles = tiles(geometry, pictures);
    let way = Way::of(geometry, tiles.count().div_ceil(STRIP));
    let (shared, work) = memory.split_at_mut(shared_length(geometry, way));
    match way {
        Way::Strips => strip_by_strip(call, tiles, y, shared, work),
        Way::Units => units_by_units(call, tiles, y, shared, work),
    }
}

/// Some blocks of units: `from` is the first one.
#[derive(Clone, Copy)]
struct Units {
    from: usize,
    count: usize,
}

impl Units {
    /// The units of so many that are in part `part`.
    fn part(geometry: &Geometry, part: usize) -> Self {
        let from = part * BLOCKS * UNITS;
        Units::from(from..geometry.units.min(from + BLOCKS * UNITS))
    }

    fn from(units: Range<usize>) -> Self {
        Units { from: units.start, count: units.len() }
    }

    fn range(self) -> Range<usize> {
        self.from..self.from + self.count
    }

    fn blocks(self) -> usize {
        self.count.div_ceil(UNITS)
    }
}

fn parts(geometry: &Geometry) -> usize {
    geometry.units.div_ceil(BLOCKS * UNITS)
}

/// [`Way::Strips`].
fn strip_by_strip(
    call: &Call<'_>,
    tiles: TileGrid,
    y: &mut [f32],
    filters: &mut [f32],
    work: &mut [f32],
) {
    let geometry = &call.geometry;
    let part_length = ELEMENTS * BLOCKS * block_length(geometry);
    team::for_each_chunk_mut(filters, part_length, |part, to| {
        lanes::widest(Filters { call, units: Units::part(geometry, part), to });
    });
    let length = slot_length(geometry, Way::Strips);
    let strips =
        TiledMaps::new(y, geometry.units, tiles).cut(0..tiles.count(), STRIP, geometry.units);
    for_each_slot(work, length, strips, |strips, work| {
        let (products, transforms) = work.split_at_mut(PRODUCTS);
        for (_, mut y) in strips {
            let to = MatrixMut::new(transforms, geometry.channels * STRIP);
            let (strip, channels) = (y.tiles(), 0..geometry.channels);
            lanes::widest(Pictures { call, tiles, channels, strip, to });
            for part in 0..parts(geometry) {
                let filters = &filters[part * part_length..][..part_length];
                let (units, y, transforms) = (Units::part(geometry, part), &mut y, &*transforms);
                lanes::widest(Multiply { call, tiles, units, filters, transforms, products, y });
            }
        }
    });
}

/// Channels that are transformed in one go.
const CHANNELS: usize = 8;

/// [`Way::Units`].
fn units_by_units(
    call: &Call<'_>,
    tiles: TileGrid,
    y: &mut [f32],
    transforms: &mut [f32],
    work: &mut [f32],
) {
    let geometry = &call.geometry;
    let (strip_length, count) = (strip_length(geometry), tiles.count());
    let at_once = strips_at_once(geometry) * STRIP;
    for first in (0..count).step_by(at_once) {
        let end = count.min(first + at_once);
        let strips = (end - first).div_ceil(STRIP);
        let transforms = &mut transforms[..strips * strip_length];
        let parts_of_strips = MatrixMut::new(&mut *transforms, geometry.channels * STRIP)
            .tiles(ELEMENTS, CHANNELS * STRIP)
            .columns_first();
        team::for_each_disjoint(parts_of_strips, |_, tile| {
            let start = first + tile.rows.start / ELEMENTS * STRIP;
            let strip = start..end.min(start + STRIP);
            let channels = tile.columns.start / STRIP..tile.columns.end / STRIP;
            lanes::widest(Pictures { call, tiles, channels, strip, to: tile.view });
        });
        let transforms = &*transforms;
        let length = slot_length(geometry, Way::Units);
        let blocks = TiledMaps::new(&mut *y, geometry.units, tiles);
        let blocks = blocks.cut(first..end, STRIP, BLOCKS * UNITS);
        for_each_slot(work, length, blocks, |blocks, work| {
            let (products, filters) = work.split_at_mut(PRODUCTS);
            let mut transformed = None;
            for (_, mut y) in blocks {
                let units = Units::from(y.maps());
                if transformed != Some(units.from) {
                    lanes::widest(Filters { call, units, to: filters });
                    transformed = Some(units.from);
                }
                let at = (y.tiles().start - first) / STRIP;
                let transforms = &transforms[at * strip_length..][..strip_length];
                let (filters, y) = (&*filters, &mut y);
                lanes::widest(Multiply { call, tiles, units, filters, transforms, products, y });
            }
        });
    }
}

/// Transforms the filters of some units: `[elements, blocks, channels, units of a block]`.
struct Filters<'a> {
    call: &'a Call<'a>,
    units: Units,
    to: &'a mut [f32],
}

impl WithSimd for Filters<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let length = block_length(&self.call.geometry);
        let end = self.units.from + self.units.count;
        for block in 0..self.units.blocks() {
            let first = self.units.from + block * UNITS;
            let units = first..end.min(first + UNITS);
            let to = &mut self.to[block * length..];
            filters::transform(simd, self.call, units, to, BLOCKS * length);
        }
    }
}

/// Multiplies a strip by some units, and takes the results.
struct Multiply<'a, 'b> {
    call: &'a Call<'a>,
    tiles: TileGrid,
    units: Units,
    filters: &'a [f32],
    transforms: &'a [f32],
    products: &'a mut [f32],
    y: &'a mut TileBlock<'b, f32>,
}

impl WithSimd for Multiply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Multiply { call, tiles, units, filters, transforms, products, y } = self;
        let geometry = &call.geometry;
        let (length, plane) = (block_length(geometry), geometry.channels * STRIP);
        let lines = y.tiles().len().div_ceil(LINE);
        let mut target = MatrixMut::new(&mut *products, STRIP);
        for element in 0..ELEMENTS {
            for block in 0..units.blocks() {
                let at = element * BLOCKS + block;
                let product = Product {
                    left: &filters[at * length..],
                    unit: 1,
                    step: UNITS,
                    strip: &transforms[element * plane..],
                    row: STRIP,
                    depth: geometry.channels,
                    begin: Begin::Zero,
                    relu: false,
                };
                // Blocks of filters and products are whole ones, also where there are fewer units.
                product.run(simd, target.block(at * UNITS..(at + 1) * UNITS, 0..lines * LINE));
            }
        }
        let results = Results { call, tiles, products, plane: BLOCKS * UNITS * STRIP };
        results.write(simd, units.range(), y);
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

/// Copies a few numbers without a call.
#[inline(always)]
fn copy<S: Simd>(simd: S, from: &[f32], to: &mut [f32]) {
    let lanes = f32::lanes(simd);
    for (from, to) in from.chunks(lanes).zip(to.chunks_mut(lanes)) {
        f32::store_part(simd, to, f32::load_part(simd, from));
    }
}
