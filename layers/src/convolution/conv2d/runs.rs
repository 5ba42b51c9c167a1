//! Strips of positions as the pixels that filters see there.

use engine_core::Pair;
use engine_kernels::lanes::{Lanes, Simd};
use engine_kernels::strip_product::width;

use super::geometry::{Geometry, seen};

/// Positions in a strip of the smallest numbers.
const WIDEST: usize = width::<f32>();

/// Positions side by side.
#[derive(Clone, Copy)]
struct Run {
    /// Their row, and the first of them in it.
    down: usize,
    across: usize,
    length: usize,
    /// Where in the strip they are.
    at: usize,
}

/// The runs of a strip.
struct Runs {
    across: usize,
    next: usize,
    first: usize,
    end: usize,
}

impl Iterator for Runs {
    type Item = Run;

    #[inline(always)]
    fn next(&mut self) -> Option<Run> {
        if self.next >= self.end {
            return None;
        }
        let (down, across) = (self.next / self.across, self.next % self.across);
        let length = (self.across - across).min(self.end - self.next);
        let at = self.next - self.first;
        self.next += length;
        Some(Run { down, across, length, at })
    }
}

/// What a tap sees of a run.
#[derive(Clone, Copy)]
struct Sight {
    /// Of the run, the positions that see a pixel.
    from: usize,
    till: usize,
    /// The first of these pixels in its map, and how far the next one is.
    pixel: usize,
    step: usize,
}

impl Sight {
    /// What a tap sees; nothing where `from` is `till`.
    #[inline(always)]
    fn of(geometry: &Geometry, tap: usize, run: Run) -> Self {
        let Geometry { stride, padding, dilation, input, output, kernel, .. } = *geometry;
        let offset = Pair {
            height: tap / kernel.width * dilation.height,
            width: tap % kernel.width * dilation.width,
        };
        let down = seen(offset.height, padding.height, stride.height, input.height, output.height);
        let across = seen(offset.width, padding.width, stride.width, input.width, output.width);
        let from = across.0.clamp(run.across, run.across + run.length) - run.across;
        let till = across.1.clamp(run.across, run.across + run.length) - run.across;
        if run.down < down.0 || run.down >= down.1 || from >= till {
            return Sight { from: 0, till: 0, pixel: 0, step: 1 };
        }
        let y = run.down * stride.height + offset.height - padding.height;
        let x = (run.across + from) * stride.width + offset.width - padding.width;
        Sight { from, till, pixel: y * input.width + x, step: stride.width }
    }
}

/// Writes what filters see in these maps at the positions of a strip: a row for each channel and tap.
#[inline(always)]
pub(super) fn unfold<T: Lanes + Default, S: Simd>(
    simd: S,
    geometry: &Geometry,
    maps: &[T],
    first: usize,
    count: usize,
    rows: &mut [T],
) {
    let Geometry { stride, dilation, kernel, output, .. } = *geometry;
    let reach = (kernel.width - 1) * dilation.width / stride.width;
    let phased = stride.width > 1 && stride.width <= PHASES && reach <= REACH && kernel.width > 1;
    for run in (Runs { across: output.width, next: first, first, end: first + count }) {
        match phased {
            true => unfold_phases(simd, geometry, maps, run, rows),
            false => unfold_taps(simd, geometry, maps, run, rows),
        }
    }
}

/// What taps see of a run, tap by tap.
#[inline(always)]
fn unfold_taps<T: Lanes + Default, S: Simd>(
    simd: S,
    geometry: &Geometry,
    maps: &[T],
    run: Run,
    rows: &mut [T],
) {
    let (pixels, taps, width) = (geometry.pixels(), geometry.taps(), width::<T>());
    for tap in 0..taps {
        let Sight { from, till, pixel, step } = Sight::of(geometry, tap, run);
        for (channel, map) in maps.chunks_exact(pixels).enumerate() {
            let to = &mut rows[(channel * taps + tap) * width + run.at..][..run.length];
            fill(simd, &mut to[..from]);
            fill(simd, &mut to[till..]);
            if from < till {
                gather(simd, &map[pixel..], step, &mut to[from..till]);
            }
        }
    }
}

/// Strides that are cut into phases.
const PHASES: usize = 4;
/// How far taps of one phase are apart, at most.
const REACH: usize = 16;

/// As [`unfold_taps`], where filters move by more than one pixel: taps that see every second pixel, say, see the even or
/// the odd ones of a row, which are taken apart once for all of them.
#[inline(always)]
fn unfold_phases<T: Lanes + Default, S: Simd>(
    simd: S,
    geometry: &Geometry,
    maps: &[T],
    run: Run,
    rows: &mut [T],
) {
    let Geometry { stride, padding, dilation, kernel, input, .. } = *geometry;
    let (pixels, taps, width) = (geometry.pixels(), geometry.taps(), width::<T>());
    let mut phases = [[T::default(); WIDEST + REACH]; PHASES];
    let length = run.length + (kernel.width - 1) * dilation.width / stride.width;
    for (channel, map) in maps.chunks_exact(pixels).enumerate() {
        for row in 0..kernel.height {
            let y = (run.down * stride.height + row * dilation.height)
                .checked_sub(padding.height)
                .filter(|y| *y < input.height);
            let line = y.map(|y| &map[y * input.width..][..input.width]);
            for (phase, to) in phases.iter_mut().enumerate().take(stride.width) {
                let to = &mut to[..length];
                to.fill(T::default());
                let Some(line) = line else { continue };
                // Where this phase's first pixel is in the padded row.
                let start = run.across * stride.width + phase;
                let before = padding.width.saturating_sub(start).div_ceil(stride.width);
                let from = (start + before * stride.width - padding.width).min(input.width);
                let to = to.iter_mut().skip(before);
                to.zip(line[from..].iter().step_by(stride.width)).for_each(|(to, x)| *to = *x);
            }
            for column in 0..kernel.width {
                let offset = column * dilation.width;
                let from = &phases[offset % stride.width][offset / stride.width..];
                let tap = row * kernel.width + column;
                let to = &mut rows[(channel * taps + tap) * width + run.at..][..run.length];
                gather(simd, from, 1, to);
            }
        }
    }
}

/// Adds rows, one for each channel and tap, to the pixels that filters see at the positions of a strip.
#[inline(always)]
pub(super) fn fold<T: Lanes + Default + std::ops::AddAssign, S: Simd>(
    simd: S,
    geometry: &Geometry,
    rows: &[T],
    first: usize,
    count: usize,
    maps: &mut [T],
) {
    let (pixels, taps, width) = (geometry.pixels(), geometry.taps(), width::<T>());
    let channels = maps.len() / pixels;
    for tap in 0..taps {
        for run in (Runs { across: geometry.output.width, next: first, first, end: first + count })
        {
            let Sight { from, till, pixel, step } = Sight::of(geometry, tap, run);
            if from == till {
                continue;
            }
            for channel in 0..channels {
                let row = &rows[(channel * taps + tap) * width + run.at..][from..till];
                let line = &mut maps[channel * pixels + pixel..];
                if step == 1 {
                    add(simd, &mut line[..row.len()], row);
                } else {
                    for (to, from) in line.iter_mut().step_by(step).zip(row) {
                        *to += *from;
                    }
                }
            }
        }
    }
}

/// Takes one number in `step`.
#[inline(always)]
fn gather<T: Lanes, S: Simd>(simd: S, from: &[T], step: usize, to: &mut [T]) {
    if step == 1 {
        let lanes = T::lanes(simd);
        for (from, to) in from[..to.len()].chunks(lanes).zip(to.chunks_mut(lanes)) {
            T::store_part(simd, to, T::load_part(simd, from));
        }
    } else {
        for (to, x) in to.iter_mut().zip(from.iter().step_by(step)) {
            *to = *x;
        }
    }
}

#[inline(always)]
fn fill<T: Lanes + Default, S: Simd>(simd: S, to: &mut [T]) {
    let zero = T::splat(simd, T::default());
    for to in to.chunks_mut(T::lanes(simd)) {
        T::store_part(simd, to, zero);
    }
}

#[inline(always)]
fn add<T: Lanes, S: Simd>(simd: S, to: &mut [T], from: &[T]) {
    let lanes = T::lanes(simd);
    for (from, to) in from.chunks(lanes).zip(to.chunks_mut(lanes)) {
        let sum = T::add(simd, T::load_part(simd, to), T::load_part(simd, from));
        T::store_part(simd, to, sum);
    }
}
