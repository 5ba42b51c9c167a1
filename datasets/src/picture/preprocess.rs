//! What an encoder wants done to a picture before it reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Picture;

/// The section `pictures` of an encoder's graph file: resized, cropped, then each channel `(x * scale - mean) / deviation`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Preprocess {
    /// The size that a picture is brought to.
    pub resize: Resize,
    /// Height and width of the piece that is cut from its centre.
    pub crop: Option<(usize, usize)>,
    /// How pixels between pixels are made.
    pub filter: Filter,
    /// The order of the channels, and of `mean` and `deviation`.
    pub channels: Channels,
    /// What every byte is multiplied by first: 1, or 1/255.
    pub scale: f64,
    /// What is subtracted from each channel then.
    pub mean: [f64; 3],
    /// What each channel is divided by last.
    pub deviation: [f64; 3],
}

/// The size that a picture is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Resize {
    /// This height and width, whatever the picture's proportions.
    Exact(usize, usize),
    /// The shorter side becomes this long; proportions stay.
    Shorter(usize),
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
    /// Height and width of what comes out for this picture.
    pub fn size(&self, picture: &Picture) -> (usize, usize) {
        let (height, width) = (picture.height(), picture.width());
        let resized = match self.resize {
            Resize::Exact(height, width) => (height, width),
            Resize::Shorter(side) if height < width => (side, (width * side / height).max(1)),
            Resize::Shorter(side) => ((height * side / width).max(1), side),
        };
        self.crop.unwrap_or(resized)
    }

    /// Writes the picture as `[3, height, width]` into `array`, whose length is three times [`size`](Self::size).
    ///
    /// # Panics
    /// When it is not.
    pub fn write(&self, picture: &Picture, array: &mut [f32]) {
        let (height, width) = self.size(picture);
        assert_eq!(array.len(), 3 * height * width, "room for every pixel");
        for (at, plane) in array.chunks_exact_mut(height * width).enumerate() {
            let channel = if self.channels == Channels::Rgb { at } else { 2 - at };
            for (i, x) in plane.iter_mut().enumerate() {
                let (row, column) = (i / width, i % width);
                let row = row * picture.height() / height;
                let column = column * picture.width() / width;
                let byte = picture.rgb()[3 * (row * picture.width() + column) + channel];
                *x = ((f64::from(byte) * self.scale - self.mean[at]) / self.deviation[at]) as f32;
            }
        }
    }
}
