//! Pictures that are read: those in `tests/pillow/`, against what Pillow makes of them (`make_cases.py` writes both), and
//! files that are cut, damaged or lie about themselves.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/paths.rs"]
mod paths;

use std::fs;
use std::path::PathBuf;

use engine::blur::blur;
use engine_datasets::picture::{
    Channels, Filter, Format, Limits, Picture, PictureError, Preprocess, Resize,
};
use ndarray::Array4;
use paths::in_workspace;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Cases {
    decoded: Vec<Decoded>,
    resized: Vec<Resized>,
    prepared: Vec<Prepared>,
}

#[derive(Deserialize)]
struct Decoded {
    source: String,
    expected: String,
}

#[derive(Deserialize)]
struct Resized {
    source: String,
    height: usize,
    width: usize,
    filter: Filter,
    expected: String,
}

#[derive(Deserialize)]
struct Prepared {
    source: String,
    shorter: usize,
    crop: (usize, usize),
    filter: Filter,
    expected: String,
}

fn file(name: &str) -> PathBuf {
    in_workspace("tests/pillow").join(name)
}

fn cases() -> Cases {
    serde_json::from_str(&fs::read_to_string(file("cases.json")).unwrap()).unwrap()
}

fn open(name: &str) -> Picture {
    Picture::open(&file(name), &Limits::default()).unwrap()
}

/// The largest difference between two pictures in levels, and the share of bytes that differ by more than two.
fn difference(found: &Picture, expected: &Picture) -> (u8, f64) {
    assert_eq!((found.height(), found.width()), (expected.height(), expected.width()));
    let levels = found.rgb().iter().zip(expected.rgb()).map(|(a, b)| a.abs_diff(*b));
    let far = levels.clone().filter(|levels| *levels > 2).count();
    (levels.max().unwrap(), far as f64 / expected.rgb().len() as f64)
}

#[test]
fn pictures_are_decoded_as_pillow_does() {
    for Decoded { source, expected } in cases().decoded {
        let (most, far) = difference(&open(&source), &open(&expected));
        println!("{source}: {most} levels at most, more than two in {:.2} %", 100.0 * far);
        let (level, share) = match source.as_str() {
            // Colours at half the width and height: past the right edge there is half a pixel, which decoders make up
            // differently, and these pictures are one grating of colours.
            "halved.jpg" | "progressive.jpg" => (36, 0.01),
            // Decoders of JPEG round differently.
            jpeg if jpeg.ends_with(".jpg") => (2, 0.0),
            _ => (0, 0.0),
        };
        assert!(most <= level && far <= share, "{source}");
    }
}

#[test]
fn pictures_are_resized_byte_for_byte_as_pillow_does() {
    for Resized { source, height, width, filter, expected } in cases().resized {
        assert_eq!(open(&source).resize(height, width, filter), open(&expected), "{expected}");
    }
}

#[test]
fn arrays_are_those_of_torchvision() {
    for Prepared { source, shorter, crop, filter, expected } in cases().prepared {
        let source = open(&source);
        let preprocess = Preprocess {
            resize: Resize::Shorter(shorter),
            crop: Some(crop),
            filter,
            channels: Channels::Rgb,
            ..Preprocess::default()
        };
        assert_eq!(preprocess.size(&source), crop);
        let mut array = vec![f32::NAN; 3 * crop.0 * crop.1];
        preprocess.write(&source, &mut array);
        let bytes = open(&expected);
        for (at, x) in array.iter().enumerate() {
            let (channel, pixel) = (at / (crop.0 * crop.1), at % (crop.0 * crop.1));
            assert_eq!(*x, f32::from(bytes.rgb()[3 * pixel + channel]), "{expected} at {at}");
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_when_it_is_read() {
    let read = |text| ron::from_str::<Preprocess>(text);
    let read_whole = read("(resize: Shorter(256), crop: Some((224, 224)), filter: Bicubic)");
    assert_eq!(read_whole.unwrap().fixed_size(), Some((224, 224)));
    for (text, expected) in [
        ("(resize: Exact(0, 5))", "found 0"),
        ("(resize: Shorter(100000))", "1 to 8192 pixels, found 100000"),
        ("(crop: Some((4, 0)))", "found 0"),
        ("(scale: inf)", "found inf"),
        ("(mean: (0.0, NaN, 0.0))", "found NaN"),
        ("(deviation: (1.0, 0.0, 1.0))", "which divide"),
        ("(sise: 3)", "sise"),
    ] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

/// One of each kind of encoding.
const ENCODINGS: [&str; 14] = [
    "halved.jpg",
    "progressive.jpg",
    "cmyk.jpg",
    "orientation_6.jpg",
    "grey.png",
    "rgba.png",
    "palette_clear.png",
    "grey_16.png",
    "turned.png",
    "lossless.webp",
    "lossy.webp",
    "lossy_alpha.webp",
    "turned.webp",
    "frames.webp",
];

#[test]
fn a_cut_picture_is_refused_or_was_complete() {
    for name in ENCODINGS {
        let bytes = fs::read(file(name)).unwrap();
        let whole = open(name);
        for cut in 0..bytes.len() {
            match Picture::decode(&bytes[..cut], &Limits::default()) {
                // A PNG has all of its pixels before its last bytes.
                Ok(picture) => {
                    assert!(name.ends_with(".png") && cut + 40 > bytes.len(), "{name} at {cut}");
                    assert_eq!(picture, whole);
                }
                Err(PictureError::Truncated { .. }) => {}
                Err(error) => {
                    assert!(cut < 12, "{name} at {cut}: {error}");
                    assert!(matches!(error, PictureError::NotAPicture { .. }), "{error}");
                }
            }
        }
    }
}

#[test]
fn damage_never_panics_and_says_what_to_do() {
    let limits = Limits { pixels: 1_000_000, ..Limits::default() };
    let mut random = ChaCha8Rng::seed_from_u64(7);
    for name in ENCODINGS {
        let whole = fs::read(file(name)).unwrap();
        for round in 0..400 {
            let mut bytes = whole.clone();
            for _ in 0..random.random_range(1..=4) {
                // Headers decide most; every other round strikes there.
                let end = if round % 2 == 0 { bytes.len() } else { bytes.len().min(80) };
                let at = random.random_range(0..end);
                bytes[at] ^= 1 << random.random_range(0..8);
            }
            if round % 5 == 0 {
                bytes.truncate(random.random_range(0..=bytes.len()));
            }
            match Picture::decode(&bytes, &limits) {
                Ok(picture) => assert!(picture.width() * picture.height() <= 1_000_000),
                Err(error) => assert!(!error.to_string().is_empty() && !error.help().is_empty()),
            }
        }
    }
}

#[test]
fn limits_are_checked_on_the_header() {
    // The signature of a PNG and a header of 50,000 x 50,000 pixels of four channels with 16 bits.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    png.extend([50_000_u32.to_be_bytes(), 50_000_u32.to_be_bytes()].concat());
    png.extend([16, 6, 0, 0, 0]);
    let huge = Picture::decode(&png, &Limits::default()).unwrap_err();
    assert_eq!(
        huge.to_string(),
        "the PNG picture is 50000 x 50000 pixels, expected at most 50000000 pixels in all"
    );
    assert!(huge.help().contains("smaller"));
    for name in ENCODINGS {
        let bytes = fs::read(file(name)).unwrap();
        let picture = open(name);
        let pixels = (picture.width() * picture.height()) as u64;
        let enough = Limits { pixels, bytes: bytes.len() as u64 };
        assert_eq!(Picture::decode(&bytes, &enough).unwrap(), picture);
        let error = Picture::decode(&bytes, &Limits { pixels: pixels - 1, ..enough }).unwrap_err();
        assert!(matches!(error, PictureError::TooLarge { .. }), "{name}: {error}");
        let less = Limits { bytes: enough.bytes - 1, ..enough };
        let error = Picture::decode(&bytes, &less).unwrap_err();
        assert!(matches!(error, PictureError::TooManyBytes { .. }), "{name}: {error}");
        let error = Picture::open(&file(name), &less).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn sizes_that_contradict_each_other_are_refused() {
    // The pixels of a lossy WebP claim more than its header: 16,383 on each side.
    let mut webp = fs::read(file("lossy_alpha.webp")).unwrap();
    let at = webp.windows(4).position(|name| name == b"VP8 ").unwrap() + 14;
    webp[at..at + 4].copy_from_slice(&[0xff, 0x3f, 0xff, 0x3f]);
    let error = Picture::decode(&webp, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("differ about its size"), "{error}");
}

#[test]
fn pictures_without_pixels_and_rare_kinds_are_refused() {
    let fault = |bytes: &[u8]| Picture::decode(bytes, &Limits::default()).unwrap_err();
    let jpeg = fs::read(file("halved.jpg")).unwrap();
    // The start of its frame: marker, length, bits, height, width.
    let frame = jpeg.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    for sides in [frame + 5..frame + 7, frame + 7..frame + 9] {
        let mut empty = jpeg.clone();
        empty[sides].fill(0);
        assert!(matches!(fault(&empty), PictureError::Damaged { .. }), "{}", fault(&empty));
        assert!(fault(&empty).to_string().contains("zero"), "{}", fault(&empty));
    }
    for (at, value, expected) in [
        (1, 0xc3, "without loss"),
        (1, 0xc6, "hierarchical"),
        (1, 0xc9, "arithmetic"),
        (4, 12, "12 bits a channel"),
    ] {
        let mut rare = jpeg.clone();
        rare[frame + at] = value;
        assert!(matches!(fault(&rare), PictureError::Unsupported { .. }), "{}", fault(&rare));
        assert!(fault(&rare).to_string().contains(expected), "{}", fault(&rare));
    }
    let mut png = fs::read(file("grey.png")).unwrap();
    png[16..20].fill(0);
    assert!(fault(&png).to_string().ends_with("says 0 x 19 pixels"), "{}", fault(&png));
}

#[test]
fn what_is_no_picture_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for (content, expected) in [
        (&b""[..], "found an empty file"),
        (b"not a picture\n", "found text"),
        (b"GIF89a\x01\0\x01\0\0\0\0", "found a GIF"),
    ] {
        // The name is no reason to believe anything.
        let path = dir.path().join("cat.jpg");
        fs::write(&path, content).unwrap();
        let error = Picture::open(&path, &Limits::default()).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("cat.jpg") && message.contains(expected), "{message}");
    }
    fs::copy(file("grey.png"), dir.path().join("png.jpg")).unwrap();
    let named = Picture::open(&dir.path().join("png.jpg"), &Limits::default()).unwrap();
    assert_eq!(named, open("grey.png"));
    assert_eq!(Format::of(&fs::read(file("grey.png")).unwrap()).unwrap(), Format::Png);
    for missing in ["absent.png", "."] {
        let error = Picture::open(&dir.path().join(missing), &Limits::default()).unwrap_err();
        assert!(matches!(error, PictureError::Read { .. }), "{error}");
        assert!(error.help().contains("path"));
    }
}

/// What the definition of the blur makes of a pixel, in double precision.
fn blurred(x: &Array4<f32>, (n, c, i, j): (usize, usize, usize, usize)) -> f64 {
    const PARTS: [f64; 9] = [1.0, 2.0, 1.0, 2.0, 188.0, 2.0, 1.0, 2.0, 1.0];
    let near = |at: usize, offset: usize| (at + offset).checked_sub(1);
    let part = |tap: usize| {
        let pixel = x.get((n, c, near(i, tap / 3)?, near(j, tap % 3)?))?;
        Some(PARTS[tap] / 200.0 * f64::from(*pixel))
    };
    (0..9).filter_map(part).sum()
}

#[test]
fn every_channel_is_blurred_by_itself() {
    for shape in [(1, 3, 1, 1), (2, 3, 1, 5), (1, 3, 7, 1), (2, 3, 6, 9), (1, 3, 32, 33)] {
        let x = Array4::from_shape_fn(shape, |(n, c, i, j)| {
            (((n * 31 + c * 17 + i * 7 + j * 3) * 41) % 256) as f32 - 100.0
        });
        let found = blur(x.view()).unwrap();
        assert_eq!(found.dim(), x.dim());
        for (at, found) in found.indexed_iter() {
            let off = (f64::from(*found) - blurred(&x, at)).abs();
            assert!(off < 1e-4, "{shape:?} {at:?}: {off}");
        }
    }
    for shape in [(1, 1, 4, 4), (0, 3, 4, 4), (1, 3, 0, 4)] {
        let error = blur(Array4::zeros(shape).view()).unwrap_err();
        assert!(error.to_string().contains("expected [N, 3, height, width]"), "{error}");
    }
}
