//! Pictures: from the bytes of a file to the array that a network reads.
//!
//! ```text
//! bytes --Picture::decode--> Picture --Preprocess::write--> [3, height, width]
//! ```

mod decode;
mod error;
mod fetch;
mod format;
pub mod image_utils;
mod jpeg;
mod preprocess;
mod resize;
mod sniff;
mod webp;

pub use decode::Limits;
pub use error::PictureError;
pub use fetch::{FetchError, FetchLimits, fetch};
pub use format::Format;
pub use preprocess::{Channels, Filter, Preprocess, Resize};

use ndarray::ArrayView3;

/// A picture in memory: 8 bits a channel, red, green, blue, row after row from the top, upright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Picture {
    /// A picture of these bytes, three for each pixel.
    ///
    /// # Panics
    /// Unless there are `3 * width * height` bytes, and at least one pixel.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Self {
        assert!(width > 0 && height > 0, "a picture has pixels");
        assert_eq!(rgb.len(), 3 * width * height, "three bytes a pixel");
        Picture { width, height, rgb }
    }

    /// Pixels from left to right.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels from top to bottom.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The bytes, `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes as an array, `[height, width, 3]`.
    pub fn array(&self) -> ArrayView3<'_, u8> {
        ArrayView3::from_shape((self.height, self.width, 3), &self.rgb)
            .expect("`new` has checked that there are three bytes a pixel")
    }
}
