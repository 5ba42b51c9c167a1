//! From the patches of a picture to the numbers that a network sees.
//!
//! Every number is a function of the pixels. They are laid out so that what a caption says can be read off linearly:
//!
//! | For each colour and shape | Numbers |
//! |---|---|
//! | likeness of a patch to both at once, summed over the patches | 48 |
//!
//! The products tell a red star beside a blue cross from a blue star beside a red cross, whichever is named first.
//!
//! | For each of three patches in reading order | Numbers |
//! |---|---|
//! | 1 where there is one | 1 |
//! | likeness of its colour to each of the eight colours, summing to 1 | 8 |
//! | mean red, green, blue | 3 |
//! | likeness of its outline to each of the six shapes, summing to 1 | 6 |
//! | outline, 5 by 5 | 25 |
//! | share of its bounding box that it covers | 1 |
//! | likeness to the two sizes, summing to 1 | 2 |
//! | width, height, centre x, centre y | 4 |
//!
//! | For each pair of patches | Numbers |
//! |---|---|
//! | difference of the centres in x and y | 2 |
//! | how clearly the first is left of, right of, above and below the second | 4 |
//! | how clearly the x distance is the larger one | 1 |
//!
//! | For each patch, where there are three | Numbers |
//! |---|---|
//! | how clearly it is between the others | 1 |

use std::sync::LazyLock;

use image::RgbImage;

use super::components::{CELLS, Patch, patches};
use super::draw::inside;
use super::scene::{APART, Colour, SIDE, Shape};

/// The patches that are described; the smaller ones of a picture with more are not.
pub(crate) const SLOTS: usize = 3;
const PAIRS: [(usize, usize); 3] = [(0, 1), (0, 2), (1, 2)];
const OUTLINE: usize = CELLS * CELLS;
const KINDS: usize = 8 * 6;
const PER_SLOT: usize = 1 + 8 + 3 + 6 + OUTLINE + 1 + 2 + 4;
const PER_PAIR: usize = 7;

/// How many numbers describe a picture.
pub const WIDTH: usize = KINDS + SLOTS * PER_SLOT + PAIRS.len() * PER_PAIR + SLOTS;

/// The distance of two colours at which one stops being like the other, in steps of 1/255.
const COLOUR_BLUR: f32 = 25.0;
/// The same for outlines, in root mean square coverage.
const OUTLINE_BLUR: f32 = 0.08;
/// Between the widths of small and large objects, in pixels.
const MIDDLE_WIDTH: f32 = 17.0;

/// The numbers that describe a picture, [`WIDTH`] of them, not yet standardised. Where there is no patch they are 0.
pub fn features(picture: &RgbImage) -> Vec<f32> {
    features_of(&patches(picture, SLOTS))
}

/// The same from the picture's patches.
pub(crate) fn features_of(patches: &[Patch]) -> Vec<f32> {
    let mut numbers = Vec::with_capacity(WIDTH);
    numbers.extend(kinds(patches));
    for slot in 0..SLOTS {
        match patches.get(slot) {
            Some(patch) => describe(patch, &mut numbers),
            None => numbers.resize(numbers.len() + PER_SLOT, 0.0),
        }
    }
    for (a, b) in PAIRS {
        match (patches.get(a), patches.get(b)) {
            (Some(a), Some(b)) => compare(a, b, &mut numbers),
            _ => numbers.resize(numbers.len() + PER_PAIR, 0.0),
        }
    }
    match patches {
        [a, b, c] => numbers.extend([between(a, b, c), between(b, a, c), between(c, a, b)]),
        _ => numbers.resize(WIDTH, 0.0),
    }
    numbers
}

/// How much of each colour and shape at once there is.
fn kinds(patches: &[Patch]) -> [f32; KINDS] {
    let mut kinds = [0.0; KINDS];
    for patch in patches {
        let (colours, shapes) = (colour_likeness(patch), shape_likeness(patch));
        for (row, colour) in kinds.chunks_exact_mut(shapes.len()).zip(colours) {
            for (kind, shape) in row.iter_mut().zip(shapes) {
                *kind += colour * shape;
            }
        }
    }
    kinds
}

fn describe(patch: &Patch, numbers: &mut Vec<f32>) {
    let side = SIDE as f32;
    numbers.push(1.0);
    numbers.extend(colour_likeness(patch));
    numbers.extend(patch.rgb.map(|channel| channel / 255.0));
    numbers.extend(shape_likeness(patch));
    numbers.extend(patch.outline);
    numbers.push(patch.outline.iter().sum::<f32>() / OUTLINE as f32);
    let (width, height) = patch.extent;
    let large = largeness(patch);
    numbers.extend([1.0 - large, large]);
    numbers.extend([width / side, height / side, patch.centre.0 / side, patch.centre.1 / side]);
}

/// Likeness to a large object, from 0 to 1.
pub(crate) fn largeness(patch: &Patch) -> f32 {
    let (width, height) = patch.extent;
    rises((width + height) / 2.0 - MIDDLE_WIDTH)
}

fn compare(a: &Patch, b: &Patch, numbers: &mut Vec<f32>) {
    let (dx, dy) = (b.centre.0 - a.centre.0, b.centre.1 - a.centre.1);
    let side = SIDE as f32;
    numbers.extend([dx / side, dy / side]);
    numbers.extend([dx, -dx, dy, -dy].map(|distance| rises(distance - APART)));
    numbers.push(rises((dx.abs() - dy.abs()) / 3.0));
}

/// How clearly `a` is between `b` and `c`: as [`Object::between`](super::Object::between) has it, in degrees.
fn between(a: &Patch, b: &Patch, c: &Patch) -> f32 {
    let along = |at: f32, one: f32, two: f32| {
        let (low, high) = (one.min(two), one.max(two));
        let inside = (at - low).min(high - at) - APART;
        let outside = (low - at).max(at - high) - APART;
        (inside, outside)
    };
    let (inside_x, outside_x) = along(a.centre.0, b.centre.0, c.centre.0);
    let (inside_y, outside_y) = along(a.centre.1, b.centre.1, c.centre.1);
    rises(inside_x.max(inside_y).min(-outside_x).min(-outside_y))
}

/// From 0 far below zero to 1 far above it: a few pixels decide.
fn rises(distance: f32) -> f32 {
    1.0 / (1.0 + (-2.0 * distance).exp())
}

pub(crate) fn colour_likeness(patch: &Patch) -> [f32; 8] {
    likeness(std::array::from_fn(|i| {
        let colour = Colour::ALL[i].rgb();
        let distance: f32 =
            patch.rgb.iter().zip(colour).map(|(a, b)| (a - f32::from(b)).powi(2)).sum();
        distance / (COLOUR_BLUR * COLOUR_BLUR)
    }))
}

pub(crate) fn shape_likeness(patch: &Patch) -> [f32; 6] {
    likeness(std::array::from_fn(|i| {
        let difference: f32 =
            patch.outline.iter().zip(&OUTLINES[i]).map(|(a, b)| (a - b).powi(2)).sum();
        difference / OUTLINE as f32 / (OUTLINE_BLUR * OUTLINE_BLUR)
    }))
}

/// Squared distances as shares of 1: the nearest takes most.
fn likeness<const N: usize>(distances: [f32; N]) -> [f32; N] {
    // The nearest is taken off first, so that no distance is too large for the exponential.
    let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
    let shares = distances.map(|d| (-0.5 * (d - nearest)).exp());
    let total: f32 = shares.iter().sum();
    shares.map(|share| share / total)
}

/// The outline of each shape, undisturbed by pixels.
static OUTLINES: LazyLock<[[f32; OUTLINE]; 6]> = LazyLock::new(|| {
    const POINTS: usize = 20;
    let place = |i: usize| (i as f32 + 0.5) / (CELLS * POINTS) as f32 * 2.0 - 1.0;
    std::array::from_fn(|shape| {
        std::array::from_fn(|cell| {
            let (cx, cy) = (cell % CELLS, cell / CELLS);
            let hits = (0..POINTS * POINTS)
                .filter(|point| {
                    let u = place(cx * POINTS + point % POINTS);
                    let v = place(cy * POINTS + point / POINTS);
                    inside(Shape::ALL[shape], u, v)
                })
                .count();
            hits as f32 / (POINTS * POINTS) as f32
        })
    })
});

#[cfg(test)]
mod tests {
    use super::super::draw::draw;
    use super::super::scene::tests::scene;
    use super::super::scene::{Object, Size};
    use super::*;

    #[test]
    fn facts_can_be_read_off() {
        let largest = |values: &[f32]| {
            (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap()
        };
        for seed in 0..2000 {
            let scene = scene(seed);
            let numbers = features(&draw(&scene));
            assert_eq!(numbers.len(), WIDTH);
            assert!(numbers.iter().all(|v| v.is_finite()));
            for (colour, row) in Colour::ALL.iter().zip(numbers.chunks(Shape::ALL.len())) {
                for (shape, kind) in Shape::ALL.iter().zip(row) {
                    let there =
                        scene.objects.iter().any(|o| o.colour == *colour && o.shape == *shape);
                    assert_eq!(there, *kind > 0.5, "seed {seed}: {colour:?} {shape:?} {kind}");
                }
            }
            for (object, slot) in scene.objects.iter().zip(numbers[KINDS..].chunks(PER_SLOT)) {
                assert_eq!(slot[0], 1.0);
                assert_eq!(Colour::ALL[largest(&slot[1..9])], object.colour, "seed {seed}");
                let shape = largest(&slot[12..18]);
                assert_eq!(Shape::ALL[shape], object.shape, "seed {seed} {object:?} {slot:?}");
                assert!(slot[12 + shape] > 0.6, "seed {seed} {object:?} {:?}", &slot[12..18]);
                let large = slot[PER_SLOT - 5];
                assert_eq!(large > 0.5, object.size == Size::Large, "seed {seed}");
            }
            let objects = &scene.objects;
            let pairs = numbers[KINDS + SLOTS * PER_SLOT..].chunks(PER_PAIR);
            for ((a, b), pair) in PAIRS.into_iter().zip(pairs) {
                let (Some(a), Some(b)) = (objects.get(a), objects.get(b)) else {
                    assert!(pair.iter().all(|v| *v == 0.0));
                    continue;
                };
                let relations = [a.left_of(b), b.left_of(a), a.above(b), b.above(a)];
                for (relation, seen) in relations.into_iter().zip(&pair[2..]) {
                    assert!(if relation { *seen > 0.9 } else { *seen < 0.1 }, "seed {seed}");
                }
            }
            if let [a, b, c] = objects.as_slice() {
                let middle = |x: &Object, y, z| x.between(y, z);
                let between = [middle(a, b, c), middle(b, a, c), middle(c, a, b)];
                for (holds, seen) in between.into_iter().zip(&numbers[WIDTH - SLOTS..]) {
                    assert_eq!(holds, *seen > 0.5, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn a_picture_without_anything_is_all_zero() {
        assert!(features(&RgbImage::new(64, 64)).iter().all(|v| *v == 0.0));
        assert_eq!(features(&RgbImage::new(0, 5)).len(), WIDTH);
    }
}
