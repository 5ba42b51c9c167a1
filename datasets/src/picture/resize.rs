//! Resizing and cropping, byte for byte as Pillow and torchvision do it.
//!
//! A pixel is a weighted mean of the pixels under a filter, which is as many times wider as the picture shrinks. Columns come
//! first, then rows, with 8 bits between; weights are whole numbers of `2^-22`. (Pillow, `Resample.c`, before version 13,
//! which takes rows first where a picture loses much more height than width.)

use std::ops::Range;

use super::{Filter, Picture};

/// The bits of a weight after the point: what is left of 32 beside a byte, the sign, and one for sums above 1.
const PRECISION: u32 = 32 - 8 - 2;

impl Picture {
    /// The picture at another size, as Pillow's `resize((width, height), filter)` makes it.
    ///
    /// # Panics
    /// When a side is 0.
    pub fn resize(&self, height: usize, width: usize, filter: Filter) -> Picture {
        assert!(height > 0 && width > 0, "a picture has pixels");
        if (height, width) == (self.height(), self.width()) {
            return self.clone();
        }
        self.part_of_resized((height, width), (0..height, 0..width), filter)
    }

    /// The middle of the picture, as torchvision's `CenterCrop((height, width))` cuts it: an odd margin is halved to the
    /// even side, and what lies outside is black.
    ///
    /// # Panics
    /// When a side is 0.
    pub fn crop_centre(&self, height: usize, width: usize) -> Picture {
        assert!(height > 0 && width > 0, "a picture has pixels");
        let rows = Centre::of(self.height(), height);
        let columns = Centre::of(self.width(), width);
        let cut = rows.source.clone().flat_map(|row| {
            let start = row * self.width();
            &self.rgb()[3 * (start + columns.source.start)..3 * (start + columns.source.end)]
        });
        on_black(cut.copied().collect(), &rows, &columns)
    }

    /// The middle of the picture at another size: `resize`, then `crop_centre`, without what the crop cuts off.
    pub(super) fn resize_and_crop(
        &self,
        resized: (usize, usize),
        crop: (usize, usize),
        filter: Filter,
    ) -> Picture {
        let rows = Centre::of(resized.0, crop.0);
        let columns = Centre::of(resized.1, crop.1);
        let window = (rows.source.clone(), columns.source.clone());
        on_black(self.part_of_resized(resized, window, filter).rgb, &rows, &columns)
    }

    /// Some rows and columns of the picture at another height and width.
    fn part_of_resized(
        &self,
        (height, width): (usize, usize),
        (rows, columns): (Range<usize>, Range<usize>),
        filter: Filter,
    ) -> Picture {
        let across = Weights::new(filter, self.width(), width, columns);
        let down = Weights::new(filter, self.height(), height, rows);
        let used = down.used();
        let source = &self.rgb()[3 * self.width() * used.start..3 * self.width() * used.end];
        let mut between = vec![0; 3 * across.len() * used.len()];
        let narrow = between.chunks_exact_mut(3 * across.len());
        for (row, to) in source.chunks_exact(3 * self.width()).zip(narrow) {
            across.along(row, to);
        }
        let mut rgb = vec![0; 3 * across.len() * down.len()];
        down.over(&between, used.start, &mut rgb);
        Picture::new(across.len(), down.len(), rgb)
    }
}

/// Which weights make each of the new pixels of a row or of a column.
struct Weights {
    /// For each new pixel the first of the old ones.
    first: Vec<usize>,
    /// For each new pixel where its weights end; they begin where those before it end.
    ends: Vec<usize>,
    weights: Vec<i32>,
}

impl Weights {
    /// Those of the pixels `window` of `to` that are made of `from`.
    fn new(filter: Filter, from: usize, to: usize, window: Range<usize>) -> Self {
        let scale = from as f64 / to as f64;
        let wider = scale.max(1.0);
        let reach = filter.reach() * wider;
        let mut all = Weights { first: Vec::new(), ends: Vec::new(), weights: Vec::new() };
        let mut shares = Vec::new();
        for pixel in window {
            let centre = (pixel as f64 + 0.5) * scale;
            let first = (centre - reach + 0.5).max(0.0) as usize;
            let end = ((centre + reach + 0.5) as usize).min(from);
            shares.clear();
            let share = |old: usize| filter.at((old as f64 - centre + 0.5) * wider.recip());
            shares.extend((first..end).map(share));
            let sum: f64 = shares.iter().sum();
            let whole = |share: &f64| fixed(if sum == 0.0 { *share } else { share / sum });
            all.weights.extend(shares.iter().map(whole));
            all.first.push(first);
            all.ends.push(all.weights.len());
        }
        all
    }

    /// New pixels.
    fn len(&self) -> usize {
        self.first.len()
    }

    /// For each new pixel the first of the old ones, and their weights.
    fn iter(&self) -> impl Iterator<Item = (usize, &[i32])> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end)| &self.weights[start..*end]);
        self.first.iter().copied().zip(ranges)
    }

    /// The old pixels that anything is made of.
    fn used(&self) -> Range<usize> {
        let start = self.first.first().copied().unwrap_or_default();
        let end = self.iter().map(|(first, weights)| first + weights.len()).max();
        start..end.unwrap_or_default()
    }

    /// The pixels of a row.
    fn along(&self, row: &[u8], to: &mut [u8]) {
        for ((first, weights), to) in self.iter().zip(to.as_chunks_mut::<3>().0) {
            let old = row[3 * first..3 * (first + weights.len())].as_chunks::<3>().0;
            let mut sums = [HALF; 3];
            for (weight, pixel) in weights.iter().zip(old) {
                for (sum, byte) in sums.iter_mut().zip(pixel) {
                    *sum += weight * i32::from(*byte);
                }
            }
            *to = sums.map(to_byte);
        }
    }

    /// Rows from rows as long, the first of which is row `start` of the picture.
    fn over(&self, rows: &[u8], start: usize, to: &mut [u8]) {
        let width = to.len() / self.len();
        let mut sums = vec![0; width];
        for ((first, weights), to) in self.iter().zip(to.chunks_exact_mut(width)) {
            sums.fill(HALF);
            let old = rows[width * (first - start)..].chunks_exact(width);
            for (weight, row) in weights.iter().zip(old) {
                for (sum, byte) in sums.iter_mut().zip(row) {
                    *sum += weight * i32::from(*byte);
                }
            }
            for (to, sum) in to.iter_mut().zip(&sums) {
                *to = to_byte(*sum);
            }
        }
    }
}

/// Half of the last place that stays, so that cutting the others off rounds.
const HALF: i32 = 1 << (PRECISION - 1);

fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// The nearest whole number of `2^-22`, halves away from 0.
fn fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION) + 0.5_f64.copysign(weight)) as i32
}

impl Filter {
    /// How far it reaches to either side, in pixels.
    fn reach(self) -> f64 {
        match self {
            Filter::Bilinear => 1.0,
            Filter::Bicubic => 2.0,
        }
    }

    /// Its height at a distance from its centre.
    fn at(self, distance: f64) -> f64 {
        const A: f64 = -0.5;
        let x = distance.abs();
        match self {
            Filter::Bilinear if x < 1.0 => 1.0 - x,
            Filter::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Filter::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// A side of the middle of a picture.
struct Centre {
    /// The part of the picture that is in it.
    source: Range<usize>,
    /// Black before that part.
    before: usize,
    /// The side's length.
    length: usize,
}

impl Centre {
    fn of(side: usize, length: usize) -> Self {
        if length > side {
            return Centre { source: 0..side, before: (length - side) / 2, length };
        }
        let margin = side - length;
        // Python's `round` takes halves to the even number.
        let before = margin / 2 + usize::from(margin % 4 == 3);
        Centre { source: before..before + length, before: 0, length }
    }
}

/// Puts the part of a picture in its place.
fn on_black(part: Vec<u8>, rows: &Centre, columns: &Centre) -> Picture {
    if rows.source.len() == rows.length && columns.source.len() == columns.length {
        return Picture::new(columns.length, rows.length, part);
    }
    let mut rgb = vec![0; 3 * rows.length * columns.length];
    let width = columns.source.len();
    let to = rgb.chunks_exact_mut(3 * columns.length).skip(rows.before);
    for (row, to) in part.chunks_exact(3 * width).zip(to) {
        to[3 * columns.before..][..3 * width].copy_from_slice(row);
    }
    Picture::new(columns.length, rows.length, rgb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbered(height: usize, width: usize) -> Picture {
        let rgb = (0..3 * height * width).map(|i| (i * 37 % 256) as u8).collect();
        Picture::new(width, height, rgb)
    }

    #[test]
    fn a_crop_of_a_resized_picture_is_the_crop_alone() {
        for (height, width) in [(1, 1), (1, 9), (13, 8), (30, 41)] {
            let picture = numbered(height, width);
            for resized in [(1, 1), (5, 4), (26, 33), (30, 41)] {
                for crop in [(1, 1), (4, 4), (7, 2), (40, 3), (41, 50)] {
                    for filter in [Filter::Bilinear, Filter::Bicubic] {
                        let whole = picture.resize(resized.0, resized.1, filter);
                        let expected = whole.crop_centre(crop.0, crop.1);
                        assert_eq!(picture.resize_and_crop(resized, crop, filter), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn one_colour_stays_that_colour() {
        let plain = Picture::new(7, 5, [9, 255, 0].repeat(35));
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for (height, width) in [(1, 1), (3, 20), (11, 2), (5, 7)] {
                let resized = plain.resize(height, width, filter);
                assert!(resized.rgb().chunks(3).all(|pixel| pixel == [9, 255, 0]));
            }
        }
    }

    #[test]
    fn margins_are_halved_as_python_rounds() {
        // round(0.5) = 0, round(1.5) = 2, round(2.5) = 2, round(3.5) = 4.
        for (side, before) in [(10, 0), (11, 0), (13, 2), (15, 2), (17, 4), (18, 4)] {
            assert_eq!(Centre::of(side, 10).source.start, before);
        }
    }
}
