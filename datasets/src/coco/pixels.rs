//! The pictures of one split: red, green and blue of every pixel, in memory as bytes.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use image::{ImageError, ImageReader, ImageResult};
use rayon::prelude::*;

use super::folder::Folder;
use super::names::ImageNames;
use crate::picture::{Preprocess, Resize};
use crate::{DataError, Split};

/// Red, green and blue.
pub(super) const COLOURS: usize = 3;

/// `[images, 3, height, width]`, image after image.
#[derive(Debug)]
pub(super) struct Pixels {
    bytes: Vec<u8>,
    size: [usize; 2],
}

/// Height and width of the first training picture, from its file's header alone.
pub(super) fn size(folder: &Folder<'_>) -> Result<[usize; 2], DataError> {
    let names = ImageNames::of(&folder.files(Split::Train)?, 0)?;
    let path = path_of(folder.dir(), &names, 0);
    let (width, height) = reader(&path)
        .and_then(ImageReader::into_dimensions)
        .map_err(|error| unreadable(&path, &error))?;
    Ok([height as usize, width as usize])
}

impl Pixels {
    /// Reads the pictures of the `images` images of a split, all of which are as large as `size` says.
    pub(super) fn read(
        folder: &Folder<'_>,
        split: Split,
        images: usize,
        size: [usize; 2],
    ) -> Result<Self, DataError> {
        let dir = folder.dir();
        let names = &ImageNames::read(&folder.files(split)?, images)?;
        let length = COLOURS * size[0] * size[1];
        let mut bytes = vec![0; images * length];
        // Of several faults the first one is reported, whichever thread finds its own first.
        let faults: Vec<DataError> = bytes
            .par_chunks_exact_mut(length.max(1))
            .enumerate()
            .filter_map(|(image, planes)| read_one(&path_of(dir, names, image), size, planes).err())
            .collect();
        match faults.into_iter().next() {
            Some(fault) => Err(fault),
            None => Ok(Pixels { bytes, size }),
        }
    }

    /// Height and width.
    pub(super) fn sides(&self) -> [usize; 2] {
        self.size
    }

    /// Writes one picture, plane after plane, as numbers from -1 for 0 to 1 for 255.
    pub(super) fn write(&self, image: usize, to: &mut [f32]) {
        let bytes = &self.bytes[image * to.len()..];
        to.iter_mut().zip(bytes).for_each(|(to, byte)| *to = scaled(*byte));
    }
}

/// A byte as a number from -1 to 1.
fn scaled(byte: u8) -> f32 {
    f32::from(byte) / 127.5 - 1.0
}

/// How a picture of another size becomes one of this data set's, as numbers from -1 to 1.
pub(super) fn preprocess(height: usize, width: usize) -> Preprocess {
    Preprocess {
        resize: Resize::Exact(height, width),
        scale: 1.0 / 127.5,
        mean: [1.0; COLOURS],
        ..Preprocess::default()
    }
}

fn path_of(dir: &Path, names: &ImageNames, image: usize) -> PathBuf {
    dir.join(names.get(image).unwrap_or_default())
}

fn unreadable(path: &Path, error: &ImageError) -> DataError {
    DataError::Picture { action: "read", path: path.to_owned(), message: error.to_string() }
}

/// A file as a picture of whatever format its content says.
fn reader(path: &Path) -> ImageResult<ImageReader<BufReader<File>>> {
    Ok(ImageReader::open(path)?.with_guessed_format()?)
}

/// Reads one picture into planes, one a colour.
fn read_one(path: &Path, size: [usize; 2], planes: &mut [u8]) -> Result<(), DataError> {
    let picture = reader(path)
        .and_then(ImageReader::decode)
        .map_err(|error| unreadable(path, &error))?
        .into_rgb8();
    let found = [picture.height() as usize, picture.width() as usize];
    if found != size {
        return Err(DataError::PicturesDiffer { path: path.to_owned(), found, expected: size });
    }
    for (colour, plane) in planes.chunks_exact_mut(size[0] * size[1]).enumerate() {
        let pixels = picture.as_raw().chunks_exact(COLOURS);
        plane.iter_mut().zip(pixels).for_each(|(byte, pixel)| *byte = pixel[colour]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine_core::{Batch, Elements};
    use image::{Rgb, RgbImage};

    use super::super::fixture::Fixture;
    use super::super::{CocoHdf5, Dataset};
    use super::*;

    /// The colours of a pixel, other ones for each picture and place.
    fn colours(split: Split, image: usize, x: u32, y: u32) -> [u8; 3] {
        let of = |factor: usize| (image * factor + 7 * x as usize + 31 * y as usize) % 256;
        [of(3) as u8, of(5) as u8, if split == Split::Train { 10 } else { 200 }]
    }

    fn draw(fixture: &Fixture, split: Split, image: usize, height: u32, width: u32) {
        let picture = RgbImage::from_fn(width, height, |x, y| Rgb(colours(split, image, x, y)));
        fs::create_dir_all(fixture.dir().join("images")).unwrap();
        picture.save(fixture.dir().join(format!("images/{split}_{image}.png"))).unwrap();
    }

    /// A set with pictures of 5 rows and 4 columns.
    fn with_pictures(seed: u64) -> Fixture {
        let fixture = Fixture::random(seed);
        for split in Split::ALL {
            (0..fixture.split(split).features.len()).for_each(|i| draw(&fixture, split, i, 5, 4));
        }
        fixture
    }

    fn set(fixture: &Fixture) -> CocoHdf5 {
        CocoHdf5 { pixels: true, ..fixture.set() }
    }

    #[test]
    fn planes_are_those_of_their_pictures() {
        let fixture = with_pictures(3);
        let source = set(&fixture).open().unwrap();
        let mut batch = Batch::new();
        for split in Split::ALL {
            let made = fixture.split(split);
            let rows: Vec<usize> = (0..made.captions.len()).rev().collect();
            source.fill(split, &rows, &mut batch);
            let images = batch.get("images").unwrap();
            assert_eq!(images.shape(), [rows.len(), 3, 5, 4]);
            let Elements::F32(numbers) = images.elements() else { panic!("numbers") };
            for (at, number) in numbers.iter().enumerate() {
                let (x, y) = (at as u32 % 4, at as u32 / 4 % 5);
                let byte = colours(split, made.images[rows[at / 60]], x, y)[at / 20 % 3];
                assert!((f64::from(*number) - (f64::from(byte) / 127.5 - 1.0)).abs() < 1e-6);
            }
            source.fill_images(split, &[1], &mut batch);
            assert_eq!(batch.get("images").unwrap().shape(), [1, 3, 5, 4]);
        }
    }

    #[test]
    fn sizes_are_known_from_the_first_header() {
        let fixture = with_pictures(4);
        let set = set(&fixture);
        let sizes = set.peek().unwrap();
        assert_eq!(sizes[2..], [("Height", 5), ("Width", 4)]);
        assert_eq!(sizes, set.open().unwrap().sizes());
        assert_eq!(sizes.iter().map(|(name, _)| *name).collect::<Vec<_>>(), set.sizes());
        assert_eq!(set.inputs().last().unwrap().shape, ["Batch", "3", "Height", "Width"]);
        let with_grid = CocoHdf5 { grid: true, ..set };
        assert_eq!(with_grid.peek().unwrap(), with_grid.open().unwrap().sizes());
        let names: Vec<&str> = with_grid.inputs().iter().map(|offer| offer.name).collect();
        assert_eq!(names, ["features", "words_in", "words_out", "grid", "images"]);
    }

    #[test]
    fn every_fault_says_where_it_is() {
        type Damage = fn(&Fixture);
        let cases: [(Damage, &[&str]); 4] = [
            (
                |fixture| draw(fixture, Split::Val, 1, 5, 6),
                &["val_1.png` has 5 rows of 6 pixels", "first training picture has 5 of 4"],
            ),
            (
                |f| fs::remove_file(f.dir().join("images/val_0.png")).unwrap(),
                &["could not read the picture", "val_0.png"],
            ),
            (
                |f| fs::write(f.dir().join("images/train_1.png"), "no picture").unwrap(),
                &["could not read the picture", "train_1.png"],
            ),
            (
                |f| fs::remove_file(f.dir().join("val2014_urls.txt")).unwrap(),
                &["val2014_urls.txt` is missing", "`pixels: true`"],
            ),
        ];
        for (damage, expected) in cases {
            let fixture = with_pictures(5);
            damage(&fixture);
            fixture.set().open().unwrap();
            let error = set(&fixture).open().err().expect("a fault");
            assert!(error.help().is_some(), "{error}");
            let message = error.to_string();
            for part in expected {
                assert!(message.contains(part), "{message}\nshould contain\n{part}");
            }
        }
    }
}
