//! Pictures from bytes and from addresses, with limits on what a stranger may send.

use engine_datasets::picture::Picture;

/// A picture that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Unread {
    /// A word for programs: `truncated`, `not-found`, ..
    pub kind: &'static str,
    /// What is wrong.
    pub message: String,
    /// What to try.
    pub help: String,
    /// Whether whoever keeps the picture is at fault, and not who asks for it.
    pub is_elsewhere: bool,
}

/// Decodes a picture.
///
/// # Errors
/// When it is none, is damaged, or has too many pixels.
pub fn decode(bytes: &[u8]) -> Result<Picture, Unread> {
    let unread = |message: String| Unread {
        kind: "picture",
        message,
        help: "give a JPEG, PNG or WebP picture".into(),
        is_elsewhere: false,
    };
    let reader = image::ImageReader::new(std::io::Cursor::new(bytes)).with_guessed_format();
    let mut reader = reader.map_err(|error| unread(error.to_string()))?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(20_000);
    limits.max_image_height = Some(20_000);
    reader.limits(limits);
    let decoded = reader.decode().map_err(|error| unread(error.to_string()))?.into_rgb8();
    let (width, height) = (decoded.width() as usize, decoded.height() as usize);
    if width == 0 || height == 0 {
        return Err(unread("the picture has no pixels".into()));
    }
    Ok(Picture::new(width, height, decoded.into_raw()))
}

/// The bytes at an address.
///
/// # Errors
/// When the address is none, is private, or gives nothing in time.
pub fn fetch(url: &str, allow_private: bool) -> Result<Vec<u8>, Unread> {
    let _ = allow_private;
    Err(Unread {
        kind: "scheme",
        message: format!("`{url}`: pictures are not fetched yet"),
        help: "download it first".into(),
        is_elsewhere: false,
    })
}
