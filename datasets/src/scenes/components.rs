//! From pixels to coherent patches: what stands out from the background, patch by patch.

use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::scene::{SIDE, reading_order};

/// A channel that differs from the background by more than this stands out.
const STANDS_OUT: f32 = 28.0;
/// Smaller patches are specks.
const FEWEST_PIXELS: usize = 20;
/// The cells along each side of a patch's outline.
pub(crate) const CELLS: usize = 5;

type Rgb = [f32; 3];

/// One patch, measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Patch {
    /// Its colour away from the edges.
    pub(crate) rgb: Rgb,
    /// The middle of its bounding box, in pixels of a picture of [`SIDE`] by [`SIDE`].
    pub(crate) centre: (f32, f32),
    /// The width and height of its bounding box.
    pub(crate) extent: (f32, f32),
    /// How much of each cell of the bounding box it covers, from 0 to 1, row by row.
    pub(crate) outline: [f32; CELLS * CELLS],
}

/// The `most` largest patches of a picture, in reading order.
///
/// The background is the median colour along the picture's border. A picture of another size is brought to [`SIDE`]
/// by [`SIDE`] first.
pub(crate) fn patches(picture: &RgbImage, most: usize) -> Vec<Patch> {
    let resized;
    let picture = if picture.dimensions() == (SIDE, SIDE) {
        picture
    } else if picture.width() == 0 || picture.height() == 0 {
        return Vec::new();
    } else {
        resized = resize(picture, SIDE, SIDE, FilterType::Triangle);
        &resized
    };
    let background = border_median(picture);
    let mut found = connected(picture, background);
    // The largest first; those of one size keep the order of their first pixels.
    found.sort_by_key(|pixels| std::cmp::Reverse(pixels.len()));
    found.truncate(most);
    let mut patches: Vec<Patch> =
        found.iter().map(|pixels| measure(picture, background, pixels)).collect();
    reading_order(&mut patches, |patch| patch.centre);
    patches
}

fn at(picture: &RgbImage, x: usize, y: usize) -> Rgb {
    picture.get_pixel(x as u32, y as u32).0.map(f32::from)
}

fn border_median(picture: &RgbImage) -> Rgb {
    let last = SIDE as usize - 1;
    std::array::from_fn(|channel| {
        let mut values: Vec<f32> = (0..last)
            .flat_map(|i| [(i, 0), (last, i), (last - i, last), (0, last - i)])
            .map(|(x, y)| at(picture, x, y)[channel])
            .collect();
        values.sort_by(f32::total_cmp);
        values[values.len() / 2]
    })
}

/// The sets of pixels that stand out and touch each other, at a corner or an edge.
fn connected(picture: &RgbImage, background: Rgb) -> Vec<Vec<(usize, usize)>> {
    let side = SIDE as usize;
    let mut open: Vec<bool> = (0..side * side)
        .map(|i| {
            let pixel = at(picture, i % side, i / side);
            (0..3).any(|c| (pixel[c] - background[c]).abs() > STANDS_OUT)
        })
        .collect();
    let mut found = Vec::new();
    for start in 0..side * side {
        if !std::mem::take(&mut open[start]) {
            continue;
        }
        let mut pixels = vec![(start % side, start / side)];
        let mut next = 0;
        while let Some(&(x, y)) = pixels.get(next) {
            next += 1;
            for v in y.saturating_sub(1)..=(y + 1).min(side - 1) {
                for u in x.saturating_sub(1)..=(x + 1).min(side - 1) {
                    if std::mem::take(&mut open[v * side + u]) {
                        pixels.push((u, v));
                    }
                }
            }
        }
        if pixels.len() >= FEWEST_PIXELS {
            found.push(pixels);
        }
    }
    found
}

fn measure(picture: &RgbImage, background: Rgb, pixels: &[(usize, usize)]) -> Patch {
    let side = SIDE as usize;
    let mut member = vec![false; side * side];
    for (x, y) in pixels {
        member[y * side + x] = true;
    }
    let rgb = inner_colour(picture, pixels, &member);
    // How far each pixel has gone from the background to the patch's colour: the share that the patch covers.
    let mut cover = vec![0.0; side * side];
    let away: Rgb = std::array::from_fn(|c| rgb[c] - background[c]);
    let length = away.iter().map(|a| a * a).sum::<f32>().max(1.0);
    for (x, y) in pixels {
        // A pixel with too little of the patch to stand out belongs to it all the same.
        for v in y.saturating_sub(1)..=(y + 1).min(side - 1) {
            for u in x.saturating_sub(1)..=(x + 1).min(side - 1) {
                let pixel = at(picture, u, v);
                let along: f32 = (0..3).map(|c| (pixel[c] - background[c]) * away[c]).sum();
                cover[v * side + u] = (along / length).clamp(0.0, 1.0);
            }
        }
    }
    let column = |x: usize| (0..side).map(|y| cover[y * side + x]).fold(0.0, f32::max);
    let row = |y: usize| cover[y * side..][..side].iter().copied().fold(0.0, f32::max);
    let (left, right) = ends(column);
    let (top, bottom) = ends(row);
    let (centre, extent) =
        (((left + right) / 2.0, (top + bottom) / 2.0), (right - left, bottom - top));
    Patch { rgb, centre, extent, outline: outline(&cover, (left, top), extent) }
}

/// The mean colour of the pixels with all four neighbours in the patch; of all, if it is too thin to have such.
fn inner_colour(picture: &RgbImage, pixels: &[(usize, usize)], member: &[bool]) -> Rgb {
    let side = SIDE as usize;
    let is_inner = |x: usize, y: usize| {
        x > 0
            && y > 0
            && x + 1 < side
            && y + 1 < side
            && [y * side + x - 1, y * side + x + 1, (y - 1) * side + x, (y + 1) * side + x]
                .iter()
                .all(|i| member[*i])
    };
    let (mut sum, mut count) = ([0.0f32; 3], 0usize);
    let any_inner = pixels.iter().any(|(x, y)| is_inner(*x, *y));
    for (x, y) in pixels {
        if !any_inner || is_inner(*x, *y) {
            let pixel = at(picture, *x, *y);
            (0..3).for_each(|c| sum[c] += pixel[c]);
            count += 1;
        }
    }
    sum.map(|s| s / count.max(1) as f32)
}

/// Where coverage begins and ends along an axis, to a fraction of a pixel.
fn ends(cover: impl Fn(usize) -> f32) -> (f32, f32) {
    const SOME: f32 = 0.06;
    let side = SIDE as usize;
    let first = (0..side).find(|i| cover(*i) > SOME).unwrap_or(0);
    let last = (0..side).rev().find(|i| cover(*i) > SOME).unwrap_or(side - 1);
    (first as f32 + 1.0 - cover(first), last as f32 + cover(last))
}

/// The coverage of each cell of the box, from a few points in it.
fn outline(cover: &[f32], corner: (f32, f32), extent: (f32, f32)) -> [f32; CELLS * CELLS] {
    const POINTS: usize = 5;
    let place = |i: usize| (i as f32 + 0.5) / (CELLS * POINTS) as f32;
    std::array::from_fn(|cell| {
        let (cx, cy) = (cell % CELLS, cell / CELLS);
        let total: f32 = (0..POINTS * POINTS)
            .map(|point| {
                let u = place(cx * POINTS + point % POINTS);
                let v = place(cy * POINTS + point / POINTS);
                interpolate(cover, corner.0 + u * extent.0, corner.1 + v * extent.1)
            })
            .sum();
        total / (POINTS * POINTS) as f32
    })
}

/// The coverage at a point, between the middles of the four pixels around it.
fn interpolate(cover: &[f32], x: f32, y: f32) -> f32 {
    let side = SIDE as usize;
    let split = |v: f32| {
        let v = (v - 0.5).clamp(0.0, (side - 1) as f32);
        let low = (v as usize).min(side - 2);
        (low, v - low as f32)
    };
    let ((x, fx), (y, fy)) = (split(x), split(y));
    let row = |y: usize| cover[y * side + x] * (1.0 - fx) + cover[y * side + x + 1] * fx;
    row(y) * (1.0 - fy) + row(y + 1) * fy
}

#[cfg(test)]
mod tests {
    use super::super::draw::draw;
    use super::super::scene::tests::scene;
    use super::*;

    #[test]
    fn patches_are_the_objects_in_their_order() {
        for seed in 0..1000 {
            let scene = scene(seed);
            let patches = patches(&draw(&scene), 3);
            assert_eq!(patches.len(), scene.objects.len(), "seed {seed}");
            for (patch, object) in patches.iter().zip(&scene.objects) {
                let (dx, dy) = (patch.centre.0 - object.x, patch.centre.1 - object.y);
                assert!(dx.abs() < 0.7 && dy.abs() < 0.7, "seed {seed}: {object:?} {patch:?}");
                let (width, height) = patch.extent;
                // The tips of a star are thinner than a pixel.
                assert!((width - 2.0 * object.radius).abs() < 2.0, "seed {seed}: {object:?}");
                assert!((height - 2.0 * object.radius).abs() < 2.0, "seed {seed}: {object:?}");
                for (seen, drawn) in patch.rgb.iter().zip(object.rgb) {
                    assert!((seen - f32::from(drawn)).abs() < 12.0, "seed {seed}: {object:?}");
                }
            }
        }
    }

    #[test]
    fn any_picture_will_do() {
        for (width, height) in [(0, 0), (1, 1), (3, 200), (64, 64), (130, 70)] {
            assert!(patches(&RgbImage::new(width, height), 3).is_empty());
        }
        let noise = RgbImage::from_fn(90, 40, |x, y| {
            let v = (x.wrapping_mul(2654435761) ^ y.wrapping_mul(40503)) as u8;
            image::Rgb([v, v.wrapping_mul(7), v.wrapping_mul(31)])
        });
        for patch in patches(&noise, 3) {
            assert!(patch.outline.iter().chain(&patch.rgb).all(|v| v.is_finite()));
        }
    }

    #[test]
    fn a_larger_picture_has_the_same_patches() {
        let scene = scene(5);
        let picture = draw(&scene);
        let twice = resize(&picture, 2 * SIDE, 2 * SIDE, FilterType::Nearest);
        let (small, large) = (patches(&picture, 3), patches(&twice, 3));
        assert_eq!(small.len(), large.len());
        for (a, b) in small.iter().zip(&large) {
            assert!((a.centre.0 - b.centre.0).abs() < 1.0 && (a.centre.1 - b.centre.1).abs() < 1.0);
        }
    }
}
