//! What an encoder wants done to a picture before it reads it.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::Picture;

/// The section `pictures` of an encoder's graph file: resized, cropped, then each channel `(x * scale - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocess {
    /// The size that a picture is brought to.
    pub resize: Resize,
    /// Height and width of the piece that is cut from its centre; black where the picture is smaller.
    #[serde(deserialize_with = "crop")]
    pub crop: Option<(usize, usize)>,
    /// How pixels between pixels are made.
    pub filter: Filter,
    /// The order of the channels, and of `mean` and `deviation`.
    pub channels: Channels,
    /// What every byte is multiplied by first: 1, or 1/255.
    #[serde(deserialize_with = "finite")]
    pub scale: f64,
    /// What is subtracted from each channel then.
    #[serde(deserialize_with = "all_finite")]
    pub mean: [f64; 3],
    /// What each channel is divided by last.
    #[serde(deserialize_with = "deviations")]
    pub deviation: [f64; 3],
}

/// The size that a picture is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Resize {
    /// This height and width, whatever the picture's proportions.
    Exact(#[serde(deserialize_with = "side")] usize, #[serde(deserialize_with = "side")] usize),
    /// The shorter side becomes this long; proportions stay. With a `crop`, so that all pictures become one size.
    Shorter(#[serde(deserialize_with = "side")] usize),
}

/// How pixels between pixels are made, with antialiasing where a picture shrinks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Filter {
    /// A triangle.
    Bilinear,
    /// A cubic, a = -0.5.
    Bicubic,
}

/// The order of colours in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Channels {
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red, as Caffe's networks read them.
    Bgr,
}

impl Default for Preprocess {
    fn default() -> Self {
        Preprocess {
            resize: Resize::Exact(224, 224),
            crop: None,
            filter: Filter::Bilinear,
            channels: Channels::Rgb,
            scale: 1.0,
            mean: [0.0; 3],
            deviation: [1.0; 3],
        }
    }
}

impl Preprocess {
    /// Height and width of what comes out, where these are the same for every picture.
    pub fn fixed_size(&self) -> Option<(usize, usize)> {
        match (self.crop, self.resize) {
            (Some(size), _) => Some(size),
            (None, Resize::Exact(height, width)) => Some((height, width)),
            (None, Resize::Shorter(_)) => None,
        }
    }

    /// Height and width of what comes out for this picture.
    pub fn size(&self, picture: &Picture) -> (usize, usize) {
        self.crop.unwrap_or_else(|| self.resized(picture))
    }

    /// Height and width before the crop. torchvision cuts off what is behind the point of the longer side.
    fn resized(&self, picture: &Picture) -> (usize, usize) {
        let (height, width) = (picture.height(), picture.width());
        match self.resize {
            Resize::Exact(height, width) => (height, width),
            Resize::Shorter(side) if height < width => (side, side * width / height),
            Resize::Shorter(side) => (side * height / width, side),
        }
    }

    /// Writes the picture as `[3, height, width]` into `array`, whose length is three times [`size`](Self::size).
    ///
    /// # Panics
    /// When it is not.
    pub fn write(&self, picture: &Picture, array: &mut [f32]) {
        let (height, width) = self.size(picture);
        assert_eq!(array.len(), 3 * height * width, "room for every pixel");
        let picture = picture.resize_and_crop(self.resized(picture), (height, width), self.filter);
        for (at, plane) in array.chunks_exact_mut(height * width).enumerate() {
            let channel = if self.channels == Channels::Rgb { at } else { 2 - at };
            let numbers = self.numbers(at);
            for (x, pixel) in plane.iter_mut().zip(picture.rgb().as_chunks::<3>().0) {
                *x = numbers[usize::from(pixel[channel])];
            }
        }
    }

    /// What becomes of each byte in a channel of the array.
    fn numbers(&self, channel: usize) -> [f32; 256] {
        let (mean, deviation) = (self.mean[channel], self.deviation[channel]);
        std::array::from_fn(|byte| ((byte as f64 * self.scale - mean) / deviation) as f32)
    }
}

/// The longest side of an array; one of this height and width takes 800 million bytes.
const LONGEST: usize = 8192;

fn side<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let found = usize::deserialize(from)?;
    if (1..=LONGEST).contains(&found) {
        return Ok(found);
    }
    Err(D::Error::custom(format!("expected a side of 1 to {LONGEST} pixels, found {found}")))
}

/// A side that has been checked.
#[derive(Deserialize)]
#[serde(transparent)]
struct Side(#[serde(deserialize_with = "side")] usize);

fn crop<'de, D: Deserializer<'de>>(from: D) -> Result<Option<(usize, usize)>, D::Error> {
    let found = Option::<(Side, Side)>::deserialize(from)?;
    Ok(found.map(|(height, width)| (height.0, width.0)))
}

fn finite<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    let found = f64::deserialize(from)?;
    if found.is_finite() { Ok(found) } else { Err(no_number(found)) }
}

fn all_finite<'de, D: Deserializer<'de>>(from: D) -> Result<[f64; 3], D::Error> {
    let found = <[f64; 3]>::deserialize(from)?;
    found.iter().find(|x| !x.is_finite()).map_or(Ok(found), |x| Err(no_number(*x)))
}

fn deviations<'de, D: Deserializer<'de>>(from: D) -> Result<[f64; 3], D::Error> {
    let found = all_finite(from)?;
    if found.contains(&0.0) {
        return Err(D::Error::custom("expected deviations other than 0, which divide; found 0"));
    }
    Ok(found)
}

fn no_number<E: Error>(found: f64) -> E {
    E::custom(format!("expected a finite number, found {found}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize) -> Picture {
        Picture::new(width, height, (0..3 * height * width).map(|i| (i % 251) as u8).collect())
    }

    #[test]
    fn planes_are_scaled_and_in_order() {
        let bytes = picture(2, 3);
        let mut preprocess = Preprocess {
            resize: Resize::Exact(2, 3),
            scale: 0.5,
            mean: [1.0, 2.0, 3.0],
            deviation: [2.0, 4.0, 8.0],
            ..Preprocess::default()
        };
        for (channels, order) in [(Channels::Rgb, [0, 1, 2]), (Channels::Bgr, [2, 1, 0])] {
            preprocess.channels = channels;
            let mut array = vec![0.0; 18];
            preprocess.write(&bytes, &mut array);
            for (at, x) in array.iter().enumerate() {
                let (plane, pixel) = (at / 6, at % 6);
                let byte = f64::from(bytes.rgb()[3 * pixel + order[plane]]);
                let expected = (byte * 0.5 - preprocess.mean[plane]) / preprocess.deviation[plane];
                assert_eq!(*x, expected as f32);
            }
        }
    }

    #[test]
    fn the_shorter_side_is_given_and_the_other_follows() {
        let mut preprocess = Preprocess { resize: Resize::Shorter(8), ..Preprocess::default() };
        assert_eq!(preprocess.fixed_size(), None);
        for ((height, width), expected) in
            [((10, 31), (8, 24)), ((31, 10), (24, 8)), ((5, 5), (8, 8)), ((1, 3), (8, 24))]
        {
            assert_eq!(preprocess.size(&picture(height, width)), expected);
        }
        preprocess.crop = Some((5, 4));
        assert_eq!(preprocess.fixed_size(), Some((5, 4)));
        // A line of any length is only resized where the crop lies.
        let line = picture(1, 60_000);
        let mut array = vec![0.0; 60];
        preprocess.write(&line, &mut array);
    }
}
