//! Pictures of a data set, small enough to lie inside a page.

use std::fs;
use std::io::Cursor;
use std::path::{Component, Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{ImageFormat, ImageReader};

/// The longest side of an embedded picture, in pixels.
const SIDE: u32 = 320;
/// Files up to this size are embedded as they are, in bytes.
const SMALL: usize = 16 * 1024;
/// Of JPEG, from 1 to 100.
const QUALITY: u8 = 80;

/// The picture as a `data:` address; `None` if the name is that of no picture in the folder.
pub(crate) fn embedded(folder: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(inside(folder, name)?).ok()?;
    let format = image::guess_format(&bytes).ok()?;
    let picture = ImageReader::with_format(Cursor::new(&bytes), format).decode().ok()?;
    if bytes.len() <= SMALL && matches!(format, ImageFormat::Png | ImageFormat::Jpeg) {
        return Some(address(format.to_mime_type(), &bytes));
    }
    let small = match picture.width().max(picture.height()) > SIDE {
        true => picture.resize(SIDE, SIDE, FilterType::Triangle),
        false => picture,
    };
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, QUALITY).encode_image(&small.to_rgb8()).ok()?;
    Some(address("image/jpeg", &jpeg))
}

/// The file of this name, which must not lead out of the folder.
fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name);
    let plain = name.components().all(|part| matches!(part, Component::Normal(_)));
    (plain && !name.as_os_str().is_empty()).then(|| folder.join(name))
}

fn address(kind: &str, bytes: &[u8]) -> String {
    format!("data:{kind};base64,{}", STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;

    #[test]
    fn large_pictures_shrink_and_small_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let noise = |x: u32, y: u32| Rgb([(x * 7 + y * 13) as u8, (x * y) as u8, (x ^ y) as u8]);
        RgbImage::from_fn(900, 600, noise).save(dir.path().join("large.png")).unwrap();
        RgbImage::new(40, 40).save(dir.path().join("small.png")).unwrap();
        let large = embedded(dir.path(), "large.png").unwrap();
        let bytes =
            STANDARD.decode(large.strip_prefix("data:image/jpeg;base64,").unwrap()).unwrap();
        let picture = image::load_from_memory(&bytes).unwrap();
        assert_eq!((picture.width(), picture.height()), (320, 213));
        let small = embedded(dir.path(), "small.png").unwrap();
        let kept = fs::read(dir.path().join("small.png")).unwrap();
        assert_eq!(small, address("image/png", &kept));
    }

    #[test]
    fn what_is_no_picture_of_the_folder_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs::create_dir(&inner).unwrap();
        RgbImage::new(4, 4).save(dir.path().join("outside.png")).unwrap();
        fs::write(inner.join("text.png"), "no picture").unwrap();
        let absolute = dir.path().join("outside.png");
        for name in ["", "..", "../outside.png", "absent.png", "text.png", "https://x.org/a.jpg"] {
            assert_eq!(embedded(&inner, name), None, "{name}");
        }
        assert_eq!(embedded(&inner, absolute.to_str().unwrap()), None);
    }
}
