//! From the bytes of a file to an upright picture with 8 bits a channel.

use std::error::Error;
use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use image::codecs::jpeg::JpegDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError, RgbImage};

use super::webp::WebP;
use super::{Format, Picture, PictureError, jpeg};

/// How large a picture may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pixels, width times height. Default: 50 million.
    pub pixels: u64,
    /// Bytes of the encoded picture. Default: 50 million.
    pub bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        // The largest cameras in ordinary hands; decoded, 150 million bytes.
        Limits { pixels: 50_000_000, bytes: 50_000_000 }
    }
}

impl Picture {
    /// The picture in these bytes: JPEG, PNG or WebP, told by what they hold.
    ///
    /// It is turned upright where its EXIF data says how it was taken. Of an animated picture it is the first frame (PNG: the
    /// picture that stands for the animation). Colours become 8-bit RGB as Pillow's `convert("RGB")` makes them: grey three
    /// times; alpha dropped, not blended; CMYK by its product with black; colour profiles are not looked at. Of 16 bits the
    /// upper 8 stay.
    ///
    /// The limits are checked on the header, before memory is taken for pixels.
    ///
    /// # Errors
    /// When the bytes are not a picture in one of these formats, not a whole one, damaged, or larger than the limits.
    pub fn decode(bytes: &[u8], limits: &Limits) -> Result<Picture, PictureError> {
        let length = bytes.len() as u64;
        if length > limits.bytes {
            return Err(PictureError::TooManyBytes { bytes: length, limit: limits.bytes });
        }
        let format = Format::of(bytes)?;
        let read = |error| fault(format, length as usize, &error);
        match format {
            Format::Jpeg => {
                let mut decoder =
                    JpegDecoder::new(Cursor::new(jpeg::whole(bytes)?)).map_err(read)?;
                check_size(format, decoder.dimensions(), limits)?;
                let orientation = decoder.orientation().map_err(read)?;
                pixels(decoder, orientation).map_err(read)
            }
            Format::Png => {
                // The decoder takes memory for rows when it reads the header.
                if let Some(size) = png_size(bytes) {
                    check_size(format, size, limits)?;
                }
                let mut decoder =
                    PngDecoder::with_limits(Cursor::new(bytes), memory(limits)).map_err(read)?;
                let orientation = decoder.orientation().map_err(read)?;
                pixels(decoder, orientation).map_err(read)
            }
            Format::WebP => {
                let WebP { bytes, exif } = WebP::inspect(bytes)?;
                let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(read)?;
                check_size(format, decoder.dimensions(), limits)?;
                let orientation = exif.and_then(Orientation::from_exif_chunk);
                pixels(decoder, orientation.unwrap_or(Orientation::NoTransforms)).map_err(read)
            }
        }
    }

    /// The picture in a file; see [`decode`](Self::decode).
    ///
    /// # Errors
    /// When the file cannot be read, and those of [`decode`](Self::decode). Each names the file.
    pub fn open(path: &Path, limits: &Limits) -> Result<Picture, PictureError> {
        let read = |error| PictureError::Read { path: path.to_owned(), error };
        let file = File::open(path).map_err(read)?;
        let claimed = file.metadata().map_err(read)?.len();
        let too_many = |bytes| PictureError::TooManyBytes { bytes, limit: limits.bytes };
        if claimed > limits.bytes {
            return Err(too_many(claimed).in_file(path));
        }
        let mut bytes = Vec::new();
        // Files of the system may hold more than they claim.
        file.take(limits.bytes.saturating_add(1)).read_to_end(&mut bytes).map_err(read)?;
        Picture::decode(&bytes, limits).map_err(|fault| fault.in_file(path))
    }
}

/// Width and height in the header of a PNG.
fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let size = |at: usize| bytes.get(at..)?.first_chunk().map(|size| u32::from_be_bytes(*size));
    Some((size(16)?, size(20)?))
}

fn check_size(format: Format, size: (u32, u32), limits: &Limits) -> Result<(), PictureError> {
    let (width, height) = (u64::from(size.0), u64::from(size.1));
    if width * height == 0 {
        let reason = format!("its header says {width} x {height} pixels");
        return Err(PictureError::Damaged { format, reason });
    }
    // Decoders count the bytes of four channels with 32 bits.
    let limit = limits.pixels.min(u64::from(u32::MAX) / 8);
    if width * height > limit {
        return Err(PictureError::TooLarge { format, width, height, limit });
    }
    Ok(())
}

/// What the decoder of PNG may take: four channels of 16 bits, and what surrounds the pixels.
fn memory(limits: &Limits) -> image::Limits {
    let mut memory = image::Limits::no_limits();
    memory.max_alloc = Some(limits.pixels.saturating_mul(8).saturating_add(16 << 20));
    memory
}

/// Decodes the pixels and turns them upright.
fn pixels(decoder: impl ImageDecoder, orientation: Orientation) -> Result<Picture, ImageError> {
    let (width, height) = decoder.dimensions();
    let colours = decoder.color_type();
    let mut bytes = vec![0; decoder.total_bytes() as usize];
    decoder.read_image(&mut bytes)?;
    let rgb = to_rgb(colours, bytes);
    let (width, height, rgb) = match orientation {
        Orientation::NoTransforms => (width, height, rgb),
        _ => {
            let upright = RgbImage::from_raw(width, height, rgb)
                .expect("`to_rgb` gives three bytes for each pixel");
            let mut upright = image::DynamicImage::ImageRgb8(upright);
            upright.apply_orientation(orientation);
            (upright.width(), upright.height(), upright.into_bytes())
        }
    };
    Ok(Picture::new(width as usize, height as usize, rgb))
}

/// Three bytes a pixel: grey three times, no alpha, of 16 bits the upper 8.
fn to_rgb(colours: ColorType, bytes: Vec<u8>) -> Vec<u8> {
    let (channels, depth) = (usize::from(colours.channel_count()), colours.bytes_per_pixel());
    let depth = usize::from(depth) / channels;
    if (channels, depth) == (3, 1) {
        return bytes;
    }
    // Bytes of a number lie in the order of this machine.
    let upper = if cfg!(target_endian = "little") { depth - 1 } else { 0 };
    let colour = |pixel: &[u8], channel: usize| pixel[channel * depth + upper];
    let grey = channels < 3;
    bytes
        .chunks_exact(channels * depth)
        .flat_map(|pixel| [0, 1, 2].map(|channel| colour(pixel, if grey { 0 } else { channel })))
        .collect()
}

/// What a decoder's error means to whoever gave the picture.
fn fault(format: Format, bytes: usize, error: &ImageError) -> PictureError {
    let reason = || {
        let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
        // The decoder of JPEG quotes some of its messages.
        reason.trim_matches('"').to_owned()
    };
    match error {
        ImageError::IoError(error) if error.kind() == ErrorKind::UnexpectedEof => {
            PictureError::Truncated { format, bytes }
        }
        ImageError::Unsupported(_) => {
            PictureError::Unsupported { format, feature: error.to_string() }
        }
        _ => PictureError::Damaged { format, reason: reason() },
    }
}
