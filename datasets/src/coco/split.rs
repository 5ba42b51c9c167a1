//! One split of the data set in memory, checked.

use std::path::Path;

use super::FEATURES;
use super::arrays::Arrays;
use super::arrays::first_not_finite;
use super::folder::Folder;
use super::grid::Grid;
use super::names::ImageNames;
use super::pixels::Pixels;
use crate::random::{Purpose, Stream};
use crate::{DataError, Split};

/// The seed of the choice that `max_train` makes: the same captions in every run, so that runs compare.
const SUBSET_SEED: u64 = 231;

/// The captions and the features of one split, row after row.
pub(super) struct SplitData {
    /// `[rows, columns]`.
    captions: Vec<u32>,
    columns: usize,
    /// The image of each row.
    images: Vec<u32>,
    /// The rows of image `i` are `rows_of[first_row[i]..first_row[i + 1]]`.
    first_row: Vec<u32>,
    rows_of: Vec<u32>,
    /// `[images, width]`.
    features: Vec<f32>,
    width: usize,
    grid: Option<Grid>,
    pixels: Option<Pixels>,
    names: Option<ImageNames>,
}

/// How much of a split is read.
pub(super) struct Extent<'a> {
    /// The file of its grids, if they are asked for.
    pub(super) grid: Option<&'a Path>,
    /// Height and width of its pictures, if they are asked for.
    pub(super) pixels: Option<[usize; 2]>,
    /// The most captions.
    pub(super) most: Option<usize>,
}

/// The names of a split's data sets.
struct Names {
    captions: &'static str,
    images: &'static str,
}

impl SplitData {
    /// Reads one split. `words` is the size of the vocabulary.
    pub(super) fn read(
        folder: &Folder<'_>,
        split: Split,
        captions: &Arrays,
        words: usize,
        Extent { grid, pixels, most }: Extent<'_>,
    ) -> Result<Self, DataError> {
        let names = match split {
            Split::Train => Names { captions: "train_captions", images: "train_image_idxs" },
            Split::Val => Names { captions: "val_captions", images: "val_image_idxs" },
        };
        let features_path = folder.features(split)?;
        let (features, [image_count, width]) =
            Arrays::open(&features_path)?.numbers("features", FEATURES)?;
        check_finite(&features, width, &features_path)?;

        let grid = grid.map(|path| Grid::read(path, (&features_path, image_count))).transpose()?;
        let pixels =
            pixels.map(|size| Pixels::read(folder, split, image_count, size)).transpose()?;
        let (mut tokens, columns) = read_captions(captions, names.captions, words)?;
        let image_fault = |row, _, value| DataError::ImageOutOfRange {
            path: captions.path().to_owned(),
            dataset: names.images,
            row,
            value,
            features: features_path.clone(),
            images: image_count,
        };
        let (mut images, [rows]) =
            captions.integers::<1>(names.images, "[captions]", image_count, image_fault)?;
        if rows * columns != tokens.len() {
            return Err(DataError::LengthsDiffer {
                path: captions.path().to_owned(),
                split,
                captions: tokens.len() / columns,
                image_idxs: rows,
            });
        }
        if let Some(most) = most.filter(|most| *most < rows) {
            (tokens, images) = subset(&tokens, columns, &images, most);
        }
        let names =
            folder.names(split).map(|path| ImageNames::read(&path, image_count)).transpose()?;
        let (first_row, rows_of) = group_rows(&images, image_count);
        Ok(SplitData {
            captions: tokens,
            columns,
            images,
            first_row,
            rows_of,
            features,
            width,
            grid,
            pixels,
            names,
        })
    }

    pub(super) fn rows(&self) -> usize {
        self.images.len()
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn images(&self) -> usize {
        self.first_row.len() - 1
    }

    pub(super) fn width(&self) -> usize {
        self.width
    }

    pub(super) fn caption(&self, row: usize) -> &[u32] {
        &self.captions[row * self.columns..][..self.columns]
    }

    pub(super) fn image_of(&self, row: usize) -> usize {
        self.images[row] as usize
    }

    pub(super) fn features(&self, image: usize) -> &[f32] {
        &self.features[image * self.width..][..self.width]
    }

    pub(super) fn grid(&self) -> Option<&Grid> {
        self.grid.as_ref()
    }

    pub(super) fn pixels(&self) -> Option<&Pixels> {
        self.pixels.as_ref()
    }

    pub(super) fn rows_of(&self, image: usize) -> &[u32] {
        &self.rows_of[self.first_row[image] as usize..self.first_row[image + 1] as usize]
    }

    pub(super) fn name(&self, image: usize) -> Option<&str> {
        self.names.as_ref()?.get(image)
    }
}

fn read_captions(
    captions: &Arrays,
    name: &'static str,
    words: usize,
) -> Result<(Vec<u32>, usize), DataError> {
    const EXPECTED: &str = "[captions, T] with T at least 2";
    let (tokens, [rows, columns]) =
        captions.integers::<2>(name, EXPECTED, words, |row, column, value| {
            DataError::TokenOutOfVocabulary {
                path: captions.path().to_owned(),
                dataset: name,
                row,
                column,
                value,
                words,
            }
        })?;
    if columns < 2 {
        return Err(DataError::WrongShape {
            path: captions.path().to_owned(),
            dataset: name,
            expected: EXPECTED,
            found: vec![rows, columns],
        });
    }
    Ok((tokens, columns))
}

fn check_finite(features: &[f32], width: usize, path: &Path) -> Result<(), DataError> {
    match first_not_finite(features) {
        None => Ok(()),
        Some(at) => Err(DataError::NotFinite {
            path: path.to_owned(),
            dataset: "features",
            place: format!("row {}, column {}", at / width, at % width),
            value: features[at],
        }),
    }
}

/// `most` different rows, in their old order.
fn subset(tokens: &[u32], columns: usize, images: &[u32], most: usize) -> (Vec<u32>, Vec<u32>) {
    let mut rows: Vec<usize> = (0..images.len()).collect();
    Stream::new(SUBSET_SEED, Purpose::Subset, 0).shuffle(&mut rows);
    rows.truncate(most);
    rows.sort_unstable();
    let kept = rows.iter().flat_map(|row| &tokens[row * columns..][..columns]).copied().collect();
    (kept, rows.iter().map(|row| images[*row]).collect())
}

/// The rows of each image, in order: where each image's begin, and the rows one image after another.
fn group_rows(images: &[u32], count: usize) -> (Vec<u32>, Vec<u32>) {
    let mut first_row = vec![0u32; count + 1];
    for image in images {
        first_row[*image as usize + 1] += 1;
    }
    for i in 0..count {
        first_row[i + 1] += first_row[i];
    }
    let mut next = first_row.clone();
    let mut rows_of = vec![0; images.len()];
    for (row, image) in images.iter().enumerate() {
        let at = &mut next[*image as usize];
        rows_of[*at as usize] = row as u32;
        *at += 1;
    }
    (first_row, rows_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_grouped_by_image() {
        let (first, rows) = group_rows(&[2, 0, 2, 2], 4);
        assert_eq!(first, [0, 1, 1, 4, 4]);
        assert_eq!(rows, [1, 0, 2, 3]);
    }

    #[test]
    fn a_subset_keeps_rows_whole_and_in_order() {
        let images: Vec<u32> = (0..50).collect();
        let tokens: Vec<u32> = (0..150).collect();
        let (kept, of) = subset(&tokens, 3, &images, 20);
        assert_eq!(of.len(), 20);
        assert!(of.is_sorted_by(|a, b| a < b));
        for (row, image) in of.iter().enumerate() {
            assert_eq!(kept[row * 3..][..3], [image * 3, image * 3 + 1, image * 3 + 2]);
        }
    }

    #[test]
    fn the_first_value_that_is_not_finite_is_found() {
        let mut values = vec![0.5; 300_000];
        check_finite(&values, 100, Path::new("f.h5")).unwrap();
        values[299_999] = f32::INFINITY;
        values[150_007] = f32::NAN;
        let message = check_finite(&values, 100, Path::new("f.h5")).unwrap_err().to_string();
        assert!(message.contains("row 1500, column 7: NaN"), "{message}");
    }
}
