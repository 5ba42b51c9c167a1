//! Filters, transformed: `G g G^T`.

use std::ops::Range;

use engine_kernels::lanes::{Lanes, Simd};
use engine_kernels::strip_product::UNITS;

use super::{Call, LINE, Line, PAIR, SIDE, Vector, fma, splat};

/// Numbers of a filter for one channel.
const TAPS: usize = 9;
/// Channels whose filters are turned at a time: filters for so many are whole blocks.
const FILTERS: usize = 16;

/// G g G^T of a block of units' filters, two channels at a time, to `[elements, channels, units of a block]`: elements are
/// `plane` apart.
#[inline(always)]
pub(super) fn transform<S: Simd>(
    simd: S,
    call: &Call<'_>,
    units: Range<usize>,
    to: &mut [f32],
    plane: usize,
) {
    let channels = call.geometry.channels;
    let zero = f32::splat(simd, 0.0);
    let mut taps = [[Line([0.0; LINE]); TAPS]; FILTERS / PAIR];
    for first in (0..channels).step_by(FILTERS) {
        let count = FILTERS.min(channels - first);
        match call.turned {
            true => turn_round(call, first..first + count, units.clone(), &mut taps),
            false => turn(call, first..first + count, units.clone(), &mut taps),
        }
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
                        let at = (r * SIDE + j) * plane + channel * UNITS + v;
                        f32::store_part(simd, &mut to[at..][..f32::lanes(simd)], element);
                    }
                }
            }
        }
    }
}

/// Filters of a block of units for some channels, [`PAIR`] channels side by side: for each tap, the units of both.
type Taps = [[Line; TAPS]; FILTERS / PAIR];

/// Where a tap's line is, and a channel's half of it.
#[inline(always)]
fn place(channel: usize, tap: usize) -> (usize, usize, usize) {
    (channel / PAIR, tap, channel % PAIR * UNITS)
}

/// Takes filters as they lie, `[units, channels, taps]`.
#[inline(always)]
fn turn(call: &Call<'_>, channels: Range<usize>, units: Range<usize>, taps: &mut Taps) {
    let stride = call.geometry.channels * TAPS;
    let start = units.start * stride + channels.start * TAPS;
    if units.len() == UNITS && channels.len() == FILTERS {
        for number in (0..FILTERS * TAPS).step_by(UNITS) {
            let mut block = [[0.0; UNITS]; UNITS];
            for (unit, row) in block.iter_mut().enumerate() {
                row.copy_from_slice(&call.w[unit * stride + start + number..][..UNITS]);
            }
            for i in 0..UNITS {
                let mut column = [0.0; UNITS];
                column.iter_mut().zip(&block).for_each(|(to, row)| *to = row[i]);
                let (pair, tap, half) = place((number + i) / TAPS, (number + i) % TAPS);
                taps[pair][tap].0[half..half + UNITS].copy_from_slice(&column);
            }
        }
    } else {
        for unit in 0..units.len() {
            for channel in 0..channels.len() {
                for tap in 0..TAPS {
                    let (pair, tap, half) = place(channel, tap);
                    let from = unit * stride + start + channel * TAPS + tap;
                    taps[pair][tap].0[half + unit] = call.w[from];
                }
            }
        }
    }
}

/// Takes filters turned round, and channels as units: they lie as `[channels, units, taps]`, the last tap first.
#[inline(always)]
fn turn_round(call: &Call<'_>, channels: Range<usize>, units: Range<usize>, taps: &mut Taps) {
    for channel in channels.clone() {
        let filters = (channel * call.geometry.units + units.start) * TAPS;
        let filters = &call.w[filters..][..units.len() * TAPS];
        for (unit, filter) in filters.as_chunks::<TAPS>().0.iter().enumerate() {
            for (tap, x) in filter.iter().rev().enumerate() {
                let (pair, tap, half) = place(channel - channels.start, tap);
                taps[pair][tap].0[half + unit] = *x;
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
