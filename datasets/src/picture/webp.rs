//! The chunks of a WebP: whether they are all there, and of one mind about the picture's size.
//!
//! The decoder believes the lengths and sizes in them and takes memory for what they claim.

use super::{Format, PictureError};

/// A WebP whose chunks lie within its bytes.
pub(super) struct WebP<'a> {
    /// The bytes, up to where the file says that it ends.
    pub(super) bytes: &'a [u8],
    /// What cameras write about a picture.
    pub(super) exif: Option<&'a [u8]>,
}

/// Width and height.
type Size = (u32, u32);

impl<'a> WebP<'a> {
    /// # Errors
    /// When the bytes end before the picture does, or contradict themselves.
    pub(super) fn inspect(bytes: &'a [u8]) -> Result<Self, PictureError> {
        let truncated = PictureError::Truncated { format: Format::WebP, bytes: bytes.len() };
        let Some(size) = u32_at(bytes, 4) else { return Err(truncated) };
        let Some(bytes) = bytes.get(..size as usize + 8) else { return Err(truncated) };
        let mut exif = None;
        let mut canvas = None;
        for chunk in Chunks(bytes.get(12..).unwrap_or_default()) {
            let (name, data) = chunk?;
            match name {
                b"VP8X" => canvas = canvas.or(Some(canvas_size(data)?)),
                b"EXIF" => exif = exif.or(Some(data)),
                b"ANMF" => frame(data)?,
                b"VP8 " => agrees(data, canvas)?,
                _ => {}
            }
        }
        // Some writers put the marker of JPEG's segment before it.
        let exif = exif.map(|exif| exif.strip_prefix(b"Exif\0\0").unwrap_or(exif));
        Ok(WebP { bytes, exif })
    }
}

/// Names and data of chunks, one after the other.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), PictureError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let Some(data) = rest.get(..length) else {
            self.0 = &[];
            return Some(Err(damaged("a part of it is longer than all of it")));
        };
        self.0 = rest.get(length + length % 2..).unwrap_or_default();
        Some(Ok((name, data)))
    }
}

/// Whether what is compressed in a frame of an animation has the frame's size.
fn frame(data: &[u8]) -> Result<(), PictureError> {
    let (Some(width), Some(height)) = (u24_at(data, 6), u24_at(data, 9)) else {
        return Err(damaged("a frame has no size"));
    };
    for chunk in Chunks(data.get(16..).unwrap_or_default()) {
        if let (b"VP8 ", data) = chunk? {
            agrees(data, Some((width + 1, height + 1)))?;
        }
    }
    Ok(())
}

/// Whether pixels compressed with loss are as many as the header before them says.
fn agrees(data: &[u8], expected: Option<Size>) -> Result<(), PictureError> {
    let size = |at| Some(u32::from(u16::from_le_bytes([*data.get(at)?, *data.get(at + 1)?])));
    let (Some(width), Some(height)) = (size(6), size(8)) else {
        return Err(damaged("its pixels have no size"));
    };
    // The upper two bits say how it is to be shown.
    let found = (width & 0x3fff, height & 0x3fff);
    match expected {
        Some(expected) if expected != found => {
            Err(damaged("its header and its pixels differ about its size"))
        }
        _ => Ok(()),
    }
}

fn canvas_size(data: &[u8]) -> Result<Size, PictureError> {
    match (u24_at(data, 4), u24_at(data, 7)) {
        (Some(width), Some(height)) => Ok((width + 1, height + 1)),
        _ => Err(damaged("its header has no size")),
    }
}

fn u24_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at + 3)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

fn damaged(reason: &str) -> PictureError {
    PictureError::Damaged { format: Format::WebP, reason: reason.into() }
}
