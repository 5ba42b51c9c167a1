//! What bytes are, told from the bytes themselves: a file's name may lie.

use image::ImageFormat;

use super::PictureError;
use super::format::Format;

impl Format {
    /// The format of these bytes.
    ///
    /// # Errors
    /// When it is none of those that are read; the error says what the bytes look like.
    pub fn of(bytes: &[u8]) -> Result<Format, PictureError> {
        match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => Ok(Format::Jpeg),
            Ok(ImageFormat::Png) => Ok(Format::Png),
            Ok(ImageFormat::WebP) => Ok(Format::WebP),
            _ => Err(looks(bytes)),
        }
    }
}

/// Formats of pictures that are not read, by how their files begin.
const OTHERS: [(&[u8], &str); 11] = [
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\x01\0", "an icon"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"#?RADIANCE", "a Radiance picture"),
    (b"v/1\x01", "an OpenEXR picture"),
];

/// Files of something else, by how they begin.
const NO_PICTURES: [(&[u8], &str); 7] = [
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"RIFF", "a RIFF file, such as a sound or a film"),
];

fn looks(bytes: &[u8]) -> PictureError {
    let begins = |(start, _): &&(&[u8], &'static str)| bytes.starts_with(start);
    if let Some((_, looks)) = OTHERS.iter().find(begins) {
        return PictureError::OtherFormat { looks };
    }
    if bytes.get(4..8) == Some(b"ftyp") {
        return match bytes.get(8..12) {
            Some(b"avif" | b"avis") => PictureError::OtherFormat { looks: "an AVIF picture" },
            Some(b"heic" | b"heix" | b"mif1") => {
                PictureError::OtherFormat { looks: "a HEIF picture" }
            }
            _ => PictureError::NotAPicture { looks: "a film" },
        };
    }
    if let Some((_, looks)) = NO_PICTURES.iter().find(begins) {
        return PictureError::NotAPicture { looks };
    }
    match written(bytes) {
        _ if bytes.is_empty() => PictureError::NotAPicture { looks: "an empty file" },
        Some(text) if text.contains("<svg") => {
            PictureError::OtherFormat { looks: "an SVG drawing" }
        }
        Some(text) if text.contains("<html") || text.contains("<!doctype html") => {
            PictureError::NotAPicture { looks: "a page of HTML" }
        }
        Some(_) => PictureError::NotAPicture { looks: "text" },
        None => PictureError::NotAPicture { looks: "bytes of an unknown kind" },
    }
}

/// The beginning of a text, in lower case; `None` where the bytes are no text.
fn written(bytes: &[u8]) -> Option<String> {
    let start = &bytes[..bytes.len().min(512)];
    let text = match std::str::from_utf8(start) {
        Ok(text) => text,
        // The cut may go through a character.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&start[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let control = |c: char| c.is_control() && !c.is_whitespace();
    (!text.contains(control)).then(|| text.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_by_how_they_begin() {
        for (bytes, expected) in [
            (&b""[..], "found an empty file"),
            (b"hello", "found text"),
            ("\u{e9}t\u{e9}".as_bytes(), "found text"),
            (b"\n<!DOCTYPE html><html>", "found a page of HTML"),
            (b"<?xml version='1.0'?><svg xmlns='x'/>", "found an SVG drawing"),
            (b"GIF89a\x01", "found a GIF"),
            (b"BM\x00\x01", "found a BMP"),
            (b"\0\0\0\x1cftypavif", "found an AVIF picture"),
            (b"\0\0\0\x1cftypheic", "found a HEIF picture"),
            (b"\0\0\0\x1cftypisom", "found a film"),
            (b"RIFF\x10\0\0\0WAVEfmt ", "found a RIFF file"),
            (b"%PDF-1.7", "found a PDF"),
            (b"\x00\x01\x02\x03", "found bytes of an unknown kind"),
            (b"\xff", "found bytes of an unknown kind"),
        ] {
            let error = Format::of(bytes).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.help().is_empty());
        }
        // A character cut in two is no reason to doubt a text.
        let long = "\u{e9}".repeat(400);
        assert!(
            Format::of(format!("x{long}").as_bytes()).unwrap_err().to_string().contains("text")
        );
    }
}
