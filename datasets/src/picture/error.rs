//! What can go wrong with a picture, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::format::Format;

/// Why bytes do not become a picture. [`help`](Self::help) says what to try.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The file cannot be read.
    #[error("the picture `{}` cannot be read: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },

    /// Something is wrong with what a file holds.
    #[error("`{}`: {fault}", path.display())]
    In {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: Box<PictureError>,
    },

    /// The bytes are of no picture.
    #[error("expected a JPEG, PNG or WebP picture, found {looks}")]
    NotAPicture {
        /// What the bytes look like, such as "text".
        looks: &'static str,
    },

    /// The bytes are of a picture in another format.
    #[error("expected a JPEG, PNG or WebP picture, found {looks}")]
    OtherFormat {
        /// The format.
        looks: &'static str,
    },

    /// The bytes end before the picture does.
    #[error("the {format} picture is truncated: its {bytes} bytes end before it does")]
    Truncated {
        /// The picture's format.
        format: Format,
        /// Bytes that there are.
        bytes: usize,
    },

    /// The bytes contradict themselves.
    #[error("the {format} picture is damaged: {reason}")]
    Damaged {
        /// The picture's format.
        format: Format,
        /// What the decoder found.
        reason: String,
    },

    /// The picture uses a part of its format that is not read.
    #[error("the {format} picture cannot be read: {feature}")]
    Unsupported {
        /// The picture's format.
        format: Format,
        /// The part.
        feature: String,
    },

    /// More pixels than the limits allow, as the header says; nothing has been decoded.
    #[error(
        "the {format} picture is {width} x {height} pixels, expected at most {limit} pixels in all"
    )]
    TooLarge {
        /// The picture's format.
        format: Format,
        /// Pixels from left to right.
        width: u64,
        /// Pixels from top to bottom.
        height: u64,
        /// The most pixels that are allowed.
        limit: u64,
    },

    /// More bytes than the limits allow; nothing has been decoded.
    #[error("the picture has {bytes} bytes, expected at most {limit}")]
    TooManyBytes {
        /// Bytes of the encoded picture.
        bytes: u64,
        /// The most that are allowed.
        limit: u64,
    },
}

impl PictureError {
    /// What to try.
    pub fn help(&self) -> String {
        match self {
            PictureError::Read { .. } => "give the path of a picture that can be read".into(),
            PictureError::In { fault, .. } => fault.help(),
            PictureError::NotAPicture { looks: "a page of HTML" } => {
                "give the address of the picture itself, not of the page that shows it".into()
            }
            PictureError::NotAPicture { .. } => "give a JPEG, PNG or WebP file".into(),
            PictureError::OtherFormat { .. } => "convert it to PNG or JPEG first".into(),
            PictureError::Truncated { .. } => {
                "copy or download it again; it is not all there".into()
            }
            PictureError::Damaged { .. } => {
                "copy or download it again, or save it anew with an image editor".into()
            }
            PictureError::Unsupported { .. } => {
                "save it anew as PNG or as an ordinary JPEG, 8 bits a channel".into()
            }
            PictureError::TooLarge { .. } => "make it smaller first, or raise the limit".into(),
            PictureError::TooManyBytes { .. } => {
                "save it smaller or compressed, or raise the limit".into()
            }
        }
    }

    /// This fault, found in a file.
    pub fn in_file(self, path: &Path) -> PictureError {
        PictureError::In { path: path.to_owned(), fault: Box::new(self) }
    }
}
