//! Pictures from bytes and from addresses, with limits on what a stranger may send.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

use engine_datasets::picture::{self, FetchError, FetchLimits, Limits, Picture, PictureError};

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

/// What a picture may be at most.
pub const LIMITS: Limits = Limits { pixels: 50_000_000, bytes: 50_000_000 };

/// What fetching a picture may cost.
const FETCH: FetchLimits = FetchLimits {
    time: Duration::from_secs(10),
    bytes: 10_000_000,
    redirects: 5,
    allow_private: false,
};

/// Decodes a picture.
///
/// # Errors
/// When it is none, is damaged, or has too many pixels.
pub fn decode(bytes: &[u8]) -> Result<Picture, Unread> {
    Ok(Picture::decode(bytes, &LIMITS)?)
}

/// The bytes of a file.
///
/// # Errors
/// When it cannot be read, or has more of them than a picture may have.
pub fn file(path: &Path) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| {
        let length = file.metadata()?.len();
        // What has no end is not read to its end.
        file.take(LIMITS.bytes + 1).read_to_end(&mut bytes)?;
        Ok(length.max(bytes.len() as u64))
    });
    match read {
        Ok(length) if length > LIMITS.bytes => {
            Err(PictureError::TooManyBytes { bytes: length, limit: LIMITS.bytes }.into())
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(Unread {
            kind: "file",
            message: error.to_string(),
            help: "is its name right, and may it be read?".into(),
            is_elsewhere: false,
        }),
    }
}

/// The bytes at an address.
///
/// # Errors
/// When the address is none, is private, or gives nothing in time.
pub fn fetch(url: &str, allow_private: bool) -> Result<Vec<u8>, Unread> {
    Ok(picture::fetch(url, &FetchLimits { allow_private, ..FETCH })?)
}

impl From<PictureError> for Unread {
    fn from(error: PictureError) -> Self {
        let kind = match &error {
            PictureError::NotAPicture { .. } => "no-picture",
            PictureError::OtherFormat { .. } => "format",
            PictureError::Truncated { .. } => "truncated",
            PictureError::Damaged { .. } => "damaged",
            PictureError::Unsupported { .. } => "unsupported",
            PictureError::TooLarge { .. } => "pixels",
            PictureError::TooManyBytes { .. } => "bytes",
            _ => "picture",
        };
        Unread { kind, message: error.to_string(), help: error.help(), is_elsewhere: false }
    }
}

impl From<FetchError> for Unread {
    fn from(error: FetchError) -> Self {
        let (kind, is_elsewhere) = match &error {
            FetchError::BadUrl { .. } => ("url", false),
            FetchError::Scheme { .. } => ("scheme", false),
            FetchError::Private { .. } => ("private", false),
            FetchError::NameNotFound { .. } => ("name", true),
            FetchError::Refused { .. } => ("refused", true),
            FetchError::Connection { .. } => ("connection", true),
            FetchError::Tls { .. } => ("tls", true),
            FetchError::Protocol { .. } => ("protocol", true),
            FetchError::Timeout { .. } => ("timeout", true),
            FetchError::Status { .. } => ("status", true),
            FetchError::TooLarge { .. } => ("bytes", true),
            FetchError::TooManyRedirects { .. } | FetchError::BadRedirect { .. } => {
                ("redirects", true)
            }
            _ => ("address", true),
        };
        Unread { kind, message: error.to_string(), help: error.help().into(), is_elsewhere }
    }
}
