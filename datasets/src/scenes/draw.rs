//! From the record of a scene to its pixels.

use std::f32::consts::PI;
use std::sync::LazyLock;

use image::{Rgb, RgbImage};

use super::scene::{Object, SIDE, Scene, Shape};

/// Samples along each side of a pixel: the edges take one of 17 shades.
const SAMPLES: u32 = 4;

/// The picture of a scene.
pub fn draw(scene: &Scene) -> RgbImage {
    let mut picture = RgbImage::from_pixel(SIDE, SIDE, Rgb([scene.background; 3]));
    for object in &scene.objects {
        paint(object, &mut picture);
    }
    picture
}

fn paint(object: &Object, picture: &mut RgbImage) {
    let span = |middle: f32| {
        let low = (middle - object.radius).floor().clamp(0.0, SIDE as f32) as u32;
        let high = (middle + object.radius).ceil().clamp(0.0, SIDE as f32) as u32;
        low..high
    };
    for y in span(object.y) {
        for x in span(object.x) {
            let share = covered(object, x, y);
            let pixel = picture.get_pixel_mut(x, y);
            for (channel, colour) in pixel.0.iter_mut().zip(object.rgb) {
                let (old, new) = (f32::from(*channel), f32::from(colour));
                *channel = (old + share * (new - old)).round() as u8;
            }
        }
    }
}

/// The share of a pixel that lies inside the object.
fn covered(object: &Object, x: u32, y: u32) -> f32 {
    let place = |pixel: u32, sample: u32, middle: f32| {
        (pixel as f32 + (sample as f32 + 0.5) / SAMPLES as f32 - middle) / object.radius
    };
    let inside_at = |i: u32| {
        let (sx, sy) = (i % SAMPLES, i / SAMPLES);
        inside(object.shape, place(x, sx, object.x), place(y, sy, object.y))
    };
    let hits = (0..SAMPLES * SAMPLES).filter(|i| inside_at(*i)).count();
    hits as f32 / (SAMPLES * SAMPLES) as f32
}

/// Whether a point lies inside a shape that fills the square from -1 to 1, with `v` pointing down.
pub(crate) fn inside(shape: Shape, u: f32, v: f32) -> bool {
    let in_square = u.abs() <= 1.0 && v.abs() <= 1.0;
    in_square
        && match shape {
            Shape::Square => true,
            Shape::Circle => u * u + v * v <= 1.0,
            Shape::Triangle => u.abs() <= (v + 1.0) / 2.0,
            Shape::Cross => u.abs() <= 0.34 || v.abs() <= 0.34,
            Shape::Heart => in_heart(u, v),
            Shape::Star => in_polygon(&*STAR, u, v),
        }
}

/// Two discs, and below them an arrow head.
fn in_heart(u: f32, v: f32) -> bool {
    const SHOULDER: f32 = -0.3;
    if v >= SHOULDER {
        return u.abs() <= (1.0 - v) / (1.0 - SHOULDER);
    }
    let (du, dv) = (u.abs() - 0.48, v + 0.48);
    du * du + dv * dv <= 0.52 * 0.52
}

/// The corners of a star with five points, stretched to fill the square.
static STAR: LazyLock<[(f32, f32); 10]> = LazyLock::new(|| {
    let (right, bottom) = ((PI * 0.4).sin(), (PI * 0.2).cos());
    std::array::from_fn(|i| {
        let angle = PI * i as f32 / 5.0;
        let length = if i % 2 == 0 { 1.0 } else { 0.42 };
        let (u, v) = (length * angle.sin(), -length * angle.cos());
        (u / right, (v + 1.0) / (bottom + 1.0) * 2.0 - 1.0)
    })
});

/// Whether a ray from the point crosses the outline an odd number of times.
fn in_polygon(corners: &[(f32, f32)], u: f32, v: f32) -> bool {
    let mut inside = false;
    let mut from = corners.len() - 1;
    for to in 0..corners.len() {
        let ((u0, v0), (u1, v1)) = (corners[from], corners[to]);
        if (v0 > v) != (v1 > v) && u < (u1 - u0) * (v - v0) / (v1 - v0) + u0 {
            inside = !inside;
        }
        from = to;
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::scene;
    use super::*;

    #[test]
    fn every_shape_fills_its_square_from_edge_to_edge() {
        const N: i32 = 400;
        for shape in Shape::ALL {
            let points = (-N..=N).flat_map(|v| (-N..=N).map(move |u| (u, v)));
            let hit: Vec<_> = points
                .filter(|(u, v)| inside(*shape, *u as f32 / N as f32, *v as f32 / N as f32))
                .collect();
            let ends = [
                hit.iter().map(|p| p.0).min(),
                hit.iter().map(|p| p.0).max(),
                hit.iter().map(|p| p.1).min(),
                hit.iter().map(|p| p.1).max(),
            ];
            for (end, expected) in ends.into_iter().zip([-N, N, -N, N]) {
                assert!((end.unwrap() - expected).abs() <= N / 50, "{shape:?}: {ends:?}");
            }
        }
    }

    #[test]
    fn objects_stand_where_the_record_says() {
        for seed in 0..200 {
            let scene = scene(seed);
            let picture = draw(&scene);
            assert_eq!(picture.get_pixel(0, 0).0, [scene.background; 3]);
            for object in &scene.objects {
                // The middle lies inside every shape.
                let middle = picture.get_pixel(object.x as u32, object.y as u32).0;
                assert_eq!(middle, object.rgb, "seed {seed}: {object:?}");
            }
        }
    }

    #[test]
    fn edges_are_smooth() {
        let mut shades = std::collections::HashSet::new();
        draw(&scene(1)).pixels().for_each(|p| {
            shades.insert(p.0);
        });
        assert!(shades.len() > 8, "{}", shades.len());
    }
}
