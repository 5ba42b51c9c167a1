//! The grids of one split: for each image the features of its regions.

use std::path::Path;

use super::arrays::Arrays;
use super::arrays::first_not_finite;
use crate::DataError;

const FEATURES: &str = "[images, regions, channels]";

/// `[images, regions, channels]`, image after image.
pub(super) struct Grid {
    numbers: Vec<f32>,
    regions: usize,
    channels: usize,
}

impl Grid {
    /// The shape of the grids in a file, from its header alone.
    pub(super) fn shape(path: &Path) -> Result<[usize; 3], DataError> {
        Arrays::open(path)?.numbers_shape("features", FEATURES)
    }

    /// Reads the grids of `images` images, which have features in another file, and checks every number.
    pub(super) fn read(path: &Path, (features, images): (&Path, usize)) -> Result<Self, DataError> {
        let file = Arrays::open(path)?;
        let of_others = |grids| DataError::GridsOfOthers {
            path: path.to_owned(),
            grids,
            features: features.to_owned(),
            images,
        };
        // The header first: a mismatch need not wait for the whole file.
        let [grids, ..] = file.numbers_shape::<3>("features", FEATURES)?;
        if grids != images {
            return Err(of_others(grids));
        }
        let (numbers, [_, regions, channels]) = file.numbers("features", FEATURES)?;
        match first_not_finite(&numbers) {
            None => Ok(Grid { numbers, regions, channels }),
            Some(at) => {
                let (region, channel) = (at / channels % regions, at % channels);
                let image = at / (regions * channels);
                Err(DataError::NotFinite {
                    path: path.to_owned(),
                    dataset: "features",
                    place: format!("image {image}, region {region}, channel {channel}"),
                    value: numbers[at],
                })
            }
        }
    }

    pub(super) fn regions(&self) -> usize {
        self.regions
    }

    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// The regions of one image, row by row.
    pub(super) fn of(&self, image: usize) -> &[f32] {
        let length = self.regions * self.channels;
        &self.numbers[image * length..][..length]
    }
}

#[cfg(test)]
mod tests {
    use engine_core::{Batch, Elements};
    use ndarray::{ArrayD, Axis};

    use super::super::fixture::Fixture;
    use super::super::{CocoHdf5, Dataset};
    use crate::Split;

    #[test]
    fn rows_are_those_of_their_images() {
        for seed in 0..6 {
            println!("seed {seed}");
            let fixture = Fixture::random(seed);
            let source = CocoHdf5 { grid: true, ..fixture.set() }.open().unwrap();
            let mut batch = Batch::new();
            for split in Split::ALL {
                let made = fixture.split(split);
                let rows: Vec<usize> = (0..made.captions.len()).rev().collect();
                source.fill(split, &rows, &mut batch);
                let images: Vec<usize> = rows.iter().map(|row| made.images[*row]).collect();
                let expected = made.grid.select(Axis(0), &images);
                let found = batch.get("grid").unwrap();
                assert_eq!(found.shape(), expected.shape());
                assert_eq!(found.elements(), &Elements::F32(expected.iter().copied().collect()));
                source.fill_images(split, &[1], &mut batch);
                let one = made.grid.index_axis(Axis(0), 1).iter().copied().collect();
                assert_eq!(batch.get("grid").unwrap().elements(), &Elements::F32(one));
            }
        }
    }

    #[test]
    fn without_asking_there_is_no_grid() {
        let fixture = Fixture::random(1);
        std::fs::remove_file(fixture.dir().join("val2014_grid.h5")).unwrap();
        let source = fixture.set().open().unwrap();
        let mut batch = Batch::new();
        source.fill(Split::Train, &[0], &mut batch);
        assert!(batch.get("grid").is_none());
        let error = CocoHdf5 { grid: true, ..fixture.set() }.open().err().unwrap().to_string();
        assert!(error.contains("val2014_grid.h5` is missing"), "{error}");
    }

    #[test]
    fn every_fault_says_where_it_is() {
        type Damage = fn(&mut ArrayD<f32>);
        let cases: [(Damage, &[&str]); 5] = [
            (
                |grid| *grid = grid.index_axis(Axis(0), 0).to_owned(),
                &["val2014_grid.h5", "[images, regions, channels], but has ["],
            ),
            (
                |grid| *grid = grid.select(Axis(0), &[0]),
                &["val2014_grid.h5` holds the grids of 1 images", "val2014_vgg16_fc7_pca.h5"],
            ),
            (
                |grid| *grid = grid.select(Axis(1), &[0, 0, 0, 0, 0, 0, 0]),
                &["grids of the two splits differ", "train2014_grid.h5", "7 of "],
            ),
            (
                |grid| grid[[1, 0, 0]] = f32::NAN,
                &["val2014_grid.h5", "image 1, region 0, channel 0: NaN"],
            ),
            (|grid| *grid = grid.select(Axis(0), &[]), &["val2014_grid.h5", "is empty"]),
        ];
        for (damage, expected) in cases {
            let mut fixture = Fixture::random(11);
            damage(&mut fixture.val.grid);
            fixture.write();
            fixture.set().open().unwrap();
            let error = CocoHdf5 { grid: true, ..fixture.set() }.open().err().expect("a fault");
            let message = error.to_string();
            for part in expected {
                assert!(message.contains(part), "{message}\nshould contain\n{part}");
            }
        }
    }

    #[test]
    fn integers_are_no_features() {
        let fixture = Fixture::random(3);
        let path = fixture.dir().join("train2014_grid.h5");
        let file = hdf5::File::create(&path).unwrap();
        let integers = fixture.train.grid.mapv(|x| x as i32);
        file.new_dataset_builder().with_data(&integers).create("features").unwrap();
        file.close().unwrap();
        let set = CocoHdf5 { grid: true, ..fixture.set() };
        for error in [set.peek().unwrap_err(), set.open().err().unwrap()] {
            let message = error.to_string();
            for part in ["train2014_grid.h5", "floating-point numbers, but holds int32"] {
                assert!(message.contains(part), "{message}");
            }
        }
    }

    #[test]
    fn real_grids_load() {
        let dir =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/flickr8k_mini");
        if !dir.is_dir() {
            println!("skipped: there is no `{}`", dir.display());
            return;
        }
        let set = CocoHdf5 { grid: true, ..CocoHdf5::in_dir(dir).unwrap() };
        let source = set.open().unwrap();
        assert_eq!(source.sizes()[2..], [("Regions", 16), ("Channels", 512)]);
        let mut batch = Batch::new();
        source.fill(Split::Val, &[0, 7], &mut batch);
        assert_eq!(batch.get("grid").unwrap().shape(), [2, 16, 512]);
    }
}
