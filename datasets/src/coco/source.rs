//! Rows of the data set, served from memory.

use std::path::PathBuf;

use engine_core::Batch;

use super::arrays::Arrays;
use super::folder::Folder;
use super::grid::Grid;
use super::pixels::{self, COLOURS};
use super::split::{Extent, SplitData};
use super::{CocoHdf5, FEATURES};
use crate::scenes::SceneJudge;
use crate::{DataError, Judge, Source, Split, Vocabulary};

/// A data set in the CS231n layout, in memory.
pub(super) struct CocoSource {
    vocabulary: Vocabulary,
    train: SplitData,
    val: SplitData,
    judge: Option<SceneJudge>,
}

impl CocoSource {
    /// Reads the folder, with what the set asks for.
    pub(super) fn read(folder: &Folder<'_>, set: &CocoHdf5) -> Result<Self, DataError> {
        let captions = folder.captions()?;
        let vocabulary = Vocabulary::read(&folder.vocabulary()?)?;
        let (train_path, val_path) = (folder.features(Split::Train)?, folder.features(Split::Val)?);
        // The headers first: a mismatch need not wait for the whole file.
        let [_, train_width] = Arrays::open(&train_path)?.numbers_shape("features", FEATURES)?;
        let [_, val_width] = Arrays::open(&val_path)?.numbers_shape("features", FEATURES)?;
        if train_width != val_width {
            return Err(DataError::WidthsDiffer {
                train: train_path,
                train_width,
                val: val_path,
                val_width,
            });
        }
        let grids = set.grid.then(|| grids(folder)).transpose()?;
        let pixels = set.pixels.then(|| pixels::size(folder)).transpose()?;
        let captions = Arrays::open(&captions)?;
        let words = vocabulary.len();
        let read = |split, most| {
            let grid = grids.as_ref().map(|grids| grids[split as usize].as_path());
            SplitData::read(folder, split, &captions, words, Extent { grid, pixels, most })
        };
        // HDF5 reads one array at a time; the checks of one split go on beside the reading of the other.
        let (train, val) =
            rayon::join(|| read(Split::Train, set.max_train), || read(Split::Val, None));
        let (train, val) = (train?, val?);
        let judge = folder
            .record()
            .map(|path| SceneJudge::read(&path, train.images(), val.images()))
            .transpose()?;
        Ok(CocoSource { vocabulary, train, val, judge })
    }

    fn split(&self, split: Split) -> &SplitData {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

impl Source for CocoSource {
    fn sizes(&self) -> Vec<(&'static str, usize)> {
        let mut sizes =
            vec![("Features", self.train.width()), ("Vocabulary", self.vocabulary.len())];
        let grid = self.train.grid();
        let of_grid = grid.map(|g| [("Regions", g.regions()), ("Channels", g.channels())]);
        sizes.extend(of_grid.into_iter().flatten());
        let of_pixels = self.train.pixels().map(|pixels| {
            let [height, width] = pixels.sides();
            [("Height", height), ("Width", width)]
        });
        sizes.extend(of_pixels.into_iter().flatten());
        sizes
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn captions(&self, split: Split) -> usize {
        self.split(split).rows()
    }

    fn images(&self, split: Split) -> usize {
        self.split(split).images()
    }

    fn caption(&self, split: Split, row: usize) -> &[u32] {
        self.split(split).caption(row)
    }

    fn image_of(&self, split: Split, row: usize) -> usize {
        self.split(split).image_of(row)
    }

    fn fill(&self, split: Split, rows: &[usize], batch: &mut Batch) {
        let data = self.split(split);
        fill_pictures(data, rows.iter().map(|row| data.image_of(*row)), batch);
        let steps = data.columns() - 1;
        let words_in = batch.tokens_mut("words_in", &[rows.len(), steps]);
        for (to, row) in words_in.chunks_exact_mut(steps).zip(rows) {
            to.copy_from_slice(&data.caption(*row)[..steps]);
        }
        let words_out = batch.tokens_mut("words_out", &[rows.len(), steps]);
        for (to, row) in words_out.chunks_exact_mut(steps).zip(rows) {
            to.copy_from_slice(&data.caption(*row)[1..]);
        }
    }

    fn fill_images(&self, split: Split, images: &[usize], batch: &mut Batch) {
        fill_pictures(self.split(split), images.iter().copied(), batch);
    }

    fn references<'a>(
        &'a self,
        split: Split,
        image: usize,
    ) -> Box<dyn ExactSizeIterator<Item = &'a [u32]> + 'a> {
        let data = self.split(split);
        Box::new(data.rows_of(image).iter().map(|row| data.caption(*row as usize)))
    }

    fn image_name(&self, split: Split, image: usize) -> Option<&str> {
        self.split(split).name(image)
    }

    fn judge(&self) -> Option<&dyn Judge> {
        self.judge.as_ref().map(|judge| judge as &dyn Judge)
    }
}

/// The files of grids of both splits, which have one shape.
fn grids(folder: &Folder<'_>) -> Result<[PathBuf; 2], DataError> {
    let [train, val] = Split::ALL.map(|split| folder.grid(split));
    let (train, val) = (train?, val?);
    let [_, regions, channels] = Grid::shape(&train)?;
    let [_, val_regions, val_channels] = Grid::shape(&val)?;
    let (train_shape, val_shape) = ([regions, channels], [val_regions, val_channels]);
    if train_shape != val_shape {
        return Err(DataError::GridsDiffer { train, train_shape, val, val_shape });
    }
    Ok([train, val])
}

/// Writes what the data has of each image.
fn fill_pictures(
    data: &SplitData,
    images: impl ExactSizeIterator<Item = usize> + Clone,
    batch: &mut Batch,
) {
    let features = batch.f32_mut("features", &[images.len(), data.width()]);
    for (to, image) in features.chunks_exact_mut(data.width()).zip(images.clone()) {
        to.copy_from_slice(data.features(image));
    }
    if let Some(grid) = data.grid() {
        let (regions, channels) = (grid.regions(), grid.channels());
        let to = batch.f32_mut("grid", &[images.len(), regions, channels]);
        for (to, image) in to.chunks_exact_mut(regions * channels).zip(images.clone()) {
            to.copy_from_slice(grid.of(image));
        }
    }
    if let Some(pixels) = data.pixels() {
        let [height, width] = pixels.sides();
        let to = batch.f32_mut("images", &[images.len(), COLOURS, height, width]);
        for (to, image) in to.chunks_exact_mut(COLOURS * height * width).zip(images) {
            pixels.write(image, to);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use engine_core::Elements;

    use super::super::Dataset;
    use super::super::fixture::Fixture;
    use super::*;

    fn tokens<'a>(batch: &'a Batch, name: &str) -> &'a [u32] {
        match batch.get(name).unwrap().elements() {
            Elements::Tokens(tokens) => tokens,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn rows_are_what_the_files_hold() {
        for seed in 0..12 {
            println!("seed {seed}");
            let fixture = Fixture::random(seed);
            let source = fixture.set().open().unwrap();
            let mut batch = Batch::new();
            for split in Split::ALL {
                let made = fixture.split(split);
                assert_eq!(source.captions(split), made.captions.len());
                assert_eq!(source.images(split), made.features.len());
                let rows: Vec<usize> = (0..made.captions.len()).rev().collect();
                source.fill(split, &rows, &mut batch);
                let steps = made.captions[0].len() - 1;
                assert_eq!(batch.get("words_in").unwrap().shape(), [rows.len(), steps]);
                for (i, row) in rows.iter().enumerate() {
                    let caption = &made.captions[*row];
                    assert_eq!(tokens(&batch, "words_in")[i * steps..][..steps], caption[..steps]);
                    assert_eq!(tokens(&batch, "words_out")[i * steps..][..steps], caption[1..]);
                    assert_eq!(source.caption(split, *row), caption);
                }
                let expected: Vec<f32> =
                    rows.iter().flat_map(|r| made.features[made.images[*r]].clone()).collect();
                assert_eq!(batch.get("features").unwrap().elements(), &Elements::F32(expected));
                for image in 0..made.features.len() {
                    let expected: Vec<&[u32]> = (0..made.captions.len())
                        .filter(|row| made.images[*row] == image)
                        .map(|row| made.captions[row].as_slice())
                        .collect();
                    assert_eq!(source.references(split, image).collect::<Vec<_>>(), expected);
                    assert_eq!(
                        source.image_name(split, image),
                        Some(format!("images/{split}_{image}.png").as_str())
                    );
                }
                source.fill_images(split, &[0], &mut batch);
                assert_eq!(
                    batch.get("features").unwrap().elements(),
                    &Elements::F32(made.features[0].clone())
                );
            }
            assert!(source.judge().is_none());
        }
    }

    #[test]
    fn max_train_keeps_the_same_rows_every_time() {
        let fixture = Fixture::random(2);
        let rows = fixture.split(Split::Train).captions.len();
        let set = CocoHdf5 { max_train: Some(rows / 2), ..fixture.set() };
        let (a, b) = (set.open().unwrap(), set.open().unwrap());
        assert_eq!(a.captions(Split::Train), rows / 2);
        assert_eq!(a.captions(Split::Val), fixture.split(Split::Val).captions.len());
        for row in 0..rows / 2 {
            assert_eq!(a.caption(Split::Train, row), b.caption(Split::Train, row));
        }
        let all = CocoHdf5 { max_train: Some(rows + 5), ..fixture.set() };
        assert_eq!(all.open().unwrap().captions(Split::Train), rows);
    }

    #[test]
    fn every_fault_says_where_it_is() {
        type Damage = fn(&mut Fixture);
        let cases: [(Damage, &[&str]); 9] = [
            (
                |f| f.train.captions[2][1] = 4000,
                &["`train_captions`", "row 2, column 1", "token 4000"],
            ),
            (|f| f.val.image_idxs[1] = -7, &["`val_image_idxs`", "row 1", "image -7", "val2014"]),
            (|f| f.train.image_idxs[3] = 999, &["`train_image_idxs`", "row 3", "image 999"]),
            (
                |f| f.train.image_idxs.truncate(4),
                &["train captions, but 4 image numbers", "coco2014_captions.h5"],
            ),
            (|f| f.train.image_idxs.push(0), &["train captions, but"]),
            (|f| f.val.features[1][0] = f32::NAN, &["val2014", "row 1, column 0", "NaN"]),
            (
                |f| f.val.features.iter_mut().for_each(|row| row.push(0.0)),
                &["differ in width", "train2014", "val2014"],
            ),
            (|f| f.val.features.clear(), &["val2014", "is empty"]),
            (|f| f.names_dropped = 1, &["train2014_urls.txt", "names"]),
        ];
        for (damage, expected) in cases {
            let mut fixture = Fixture::random(11);
            damage(&mut fixture);
            fixture.write();
            let error = fixture.set().open().err().expect("a fault");
            let message = error.to_string();
            for part in expected {
                assert!(message.contains(part), "{message}\nshould contain\n{part}");
            }
        }
    }

    #[test]
    fn the_names_are_optional() {
        let fixture = Fixture::random(6);
        std::fs::remove_file(fixture.dir().join("train2014_urls.txt")).unwrap();
        let source = fixture.set().open().unwrap();
        assert_eq!(source.image_name(Split::Train, 0), None);
    }

    #[test]
    fn a_real_data_set_loads() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/flickr8k_mini");
        if !dir.is_dir() {
            println!("skipped: there is no `{}`", dir.display());
            return;
        }
        for pca_features in [true, false] {
            let set = CocoHdf5 {
                dir: dir.clone(),
                pca_features,
                grid: false,
                pixels: false,
                max_train: None,
            };
            let source = set.open().unwrap();
            assert_eq!(source.sizes(), set.peek().unwrap());
            for split in Split::ALL {
                assert_eq!(source.captions(split), 5 * source.images(split));
                assert!(source.image_name(split, 0).unwrap().ends_with(".jpg"));
                assert!(!source.vocabulary().decode(source.caption(split, 0)).is_empty());
            }
        }
    }
}
