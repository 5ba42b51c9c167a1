//! From the patches of a picture to numbers for each region of a grid.
//!
//! The picture is cut into [`SIDES`] by [`SIDES`] squares. A patch counts in a region by the share of the region that it
//! covers, so that a sum over regions holds all of it, and weights over regions can single it out:
//!
//! | For each region, row by row | Numbers |
//! |---|---|
//! | its place: x and y of its middle, from -1 to 1 | 2 |
//! | share that patches cover | 1 |
//! | likeness of their colours to each of the eight colours, by share | 8 |
//! | likeness of their outlines to each of the six shapes, by share | 6 |
//! | likeness to the two sizes, by share | 2 |
//! | where the middles of the patches lie from its own, in x and y, by share | 2 |
//!
//! Unlike the numbers of a whole picture they are not standardised: each lies between -1 and 1 as it is.

use image::RgbImage;

use super::components::{CELLS, Patch, patches};
use super::features::{SLOTS, colour_likeness, largeness, shape_likeness};
use super::scene::SIDE;

/// The regions along each side of a picture.
const SIDES: usize = 4;
/// How many regions a picture has.
pub const REGIONS: usize = SIDES * SIDES;
/// How many numbers describe a region.
pub const CHANNELS: usize = 2 + 1 + 8 + 6 + 2 + 2;

/// The length of a region's side, in pixels.
const REGION: f32 = SIDE as f32 / SIDES as f32;

/// The numbers that describe a picture's regions, [`REGIONS`] rows of [`CHANNELS`].
pub fn grid(picture: &RgbImage) -> Vec<f32> {
    grid_of(&patches(picture, SLOTS))
}

/// The same from the picture's patches.
pub(crate) fn grid_of(patches: &[Patch]) -> Vec<f32> {
    let mut numbers = vec![0.0; REGIONS * CHANNELS];
    for (region, to) in numbers.chunks_exact_mut(CHANNELS).enumerate() {
        let (column, row) = ((region % SIDES) as f32, (region / SIDES) as f32);
        let corner = (column * REGION, row * REGION);
        let middle = (corner.0 + REGION / 2.0, corner.1 + REGION / 2.0);
        to[0] = middle.0 / SIDE as f32 * 2.0 - 1.0;
        to[1] = middle.1 / SIDE as f32 * 2.0 - 1.0;
        for patch in patches {
            let share = share(patch, corner);
            let seen = describe(patch, middle);
            to[2..].iter_mut().zip(seen).for_each(|(to, seen)| *to += share * seen);
        }
    }
    numbers
}

/// What a region knows of a patch that covers all of it.
fn describe(patch: &Patch, middle: (f32, f32)) -> impl Iterator<Item = f32> {
    let large = largeness(patch);
    let side = SIDE as f32;
    let away = [(patch.centre.0 - middle.0) / side, (patch.centre.1 - middle.1) / side];
    let kind = colour_likeness(patch).into_iter().chain(shape_likeness(patch));
    [1.0].into_iter().chain(kind).chain([1.0 - large, large]).chain(away)
}

/// The share of the region with this corner that a patch covers, as its outline tells.
fn share(patch: &Patch, (left, top): (f32, f32)) -> f32 {
    let (width, height) = (patch.extent.0 / CELLS as f32, patch.extent.1 / CELLS as f32);
    let x0 = patch.centre.0 - patch.extent.0 / 2.0;
    let y0 = patch.centre.1 - patch.extent.1 / 2.0;
    let covered = patch.outline.iter().enumerate().map(|(cell, cover)| {
        let x = x0 + (cell % CELLS) as f32 * width;
        let y = y0 + (cell / CELLS) as f32 * height;
        cover * common((x, width), (left, REGION)) * common((y, height), (top, REGION))
    });
    covered.sum::<f32>() / (REGION * REGION)
}

/// How long a stretch two intervals share, each given by its start and length.
fn common((a, a_length): (f32, f32), (b, b_length): (f32, f32)) -> f32 {
    ((a + a_length).min(b + b_length) - a.max(b)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::super::draw::draw;
    use super::super::scene::tests::scene;
    use super::super::scene::{Colour, Shape};
    use super::*;

    fn largest(values: &[f32]) -> usize {
        (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap()
    }

    #[test]
    fn the_region_under_an_object_tells_its_colour_and_shape() {
        for seed in 0..500 {
            let scene = scene(seed);
            let numbers = grid(&draw(&scene));
            assert_eq!(numbers.len(), REGIONS * CHANNELS);
            assert!(numbers.iter().all(|x| (-1.0..=1.0).contains(x)), "seed {seed}");
            let patches = patches(&draw(&scene), SLOTS);
            for (object, patch) in scene.objects.iter().zip(&patches) {
                let shares: Vec<f32> = (0..REGIONS)
                    .map(|r| {
                        share(patch, ((r % SIDES) as f32 * REGION, (r / SIDES) as f32 * REGION))
                    })
                    .collect();
                // Where it covers most and no other object lies, nothing else is seen.
                let at = largest(&shares);
                let region = &numbers[at * CHANNELS..][..CHANNELS];
                if (region[2] - shares[at]).abs() > 1e-6 {
                    continue;
                }
                assert_eq!(Colour::ALL[largest(&region[3..11])], object.colour, "seed {seed}");
                assert_eq!(Shape::ALL[largest(&region[11..17])], object.shape, "seed {seed}");
            }
        }
    }

    #[test]
    fn all_regions_together_hold_all_of_every_patch() {
        for seed in 0..100 {
            let picture = draw(&scene(seed));
            let numbers = grid(&picture);
            let seen: f32 = numbers.chunks(CHANNELS).map(|region| region[2]).sum();
            let area = |patch: &Patch| {
                let outline: f32 = patch.outline.iter().sum();
                outline / (CELLS * CELLS) as f32 * patch.extent.0 * patch.extent.1
            };
            let all: f32 = patches(&picture, SLOTS).iter().map(area).sum();
            assert!((seen * REGION * REGION - all).abs() < 0.5, "seed {seed}: {seen} {all}");
        }
    }

    #[test]
    fn without_anything_only_places_are_left() {
        for picture in [RgbImage::new(64, 64), RgbImage::new(0, 5)] {
            let numbers = grid(&picture);
            assert_eq!(numbers[..3], [-0.75, -0.75, 0.0]);
            assert!(numbers.chunks(CHANNELS).all(|region| region[2..].iter().all(|x| *x == 0.0)));
        }
    }
}
