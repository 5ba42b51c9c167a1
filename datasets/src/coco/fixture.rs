//! A small data set of random content in the CS231n layout, for tests.

use std::fs;
use std::path::Path;

use ndarray::{Array2, ArrayD};
use serde_json::json;

use super::CocoHdf5;
use crate::random::{Purpose, Stream};
use crate::{Split, Vocabulary};

/// What a test expects to read, and the folder that it was written to.
pub(crate) struct Fixture {
    dir: tempfile::TempDir,
    words: Vec<String>,
    pub(crate) train: Made,
    pub(crate) val: Made,
    /// Lines to leave out of the list of training images.
    pub(crate) names_dropped: usize,
}

pub(crate) struct Made {
    pub(crate) captions: Vec<Vec<u32>>,
    pub(crate) images: Vec<usize>,
    /// As written: a test may put a wrong number here.
    pub(crate) image_idxs: Vec<i64>,
    pub(crate) features: Vec<Vec<f32>>,
    /// `[images, regions, channels]`.
    pub(crate) grid: ArrayD<f32>,
}

impl Fixture {
    pub(crate) fn random(seed: u64) -> Self {
        let mut stream = Stream::new(seed, Purpose::TrainScene, 0);
        let mut words: Vec<String> = Vocabulary::SPECIAL.map(str::to_owned).to_vec();
        words.extend((0..1 + stream.below(30)).map(|i| format!("word{i}")));
        let (columns, width) = (2 + stream.below(18), 1 + stream.below(40));
        let grid = [1 + stream.below(5), 1 + stream.below(6)];
        let mut made = || Made::random(&mut stream, words.len(), columns, width, grid);
        let (train, val) = (made(), made());
        let dir = tempfile::tempdir().unwrap();
        let fixture = Fixture { dir, words, train, val, names_dropped: 0 };
        fixture.write();
        fixture
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn set(&self) -> CocoHdf5 {
        CocoHdf5 {
            dir: self.dir().to_owned(),
            pca_features: true,
            grid: false,
            pixels: false,
            max_train: None,
        }
    }

    pub(crate) fn split(&self, split: Split) -> &Made {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }

    /// Writes the files again, after a test has changed the content.
    pub(crate) fn write(&self) {
        let dir = self.dir();
        let vocabulary = json!({ "idx_to_word": self.words });
        fs::write(dir.join("coco2014_vocab.json"), vocabulary.to_string()).unwrap();
        let file = hdf5::File::create(dir.join("coco2014_captions.h5")).unwrap();
        for split in Split::ALL {
            let made = self.split(split);
            let captions = matrix(&made.captions).mapv(|t| t as i32);
            let put = file.new_dataset_builder().with_data(&captions);
            put.create(format!("{split}_captions").as_str()).unwrap();
            let put = file.new_dataset_builder().with_data(&made.image_idxs);
            put.create(format!("{split}_image_idxs").as_str()).unwrap();
            let features = dir.join(format!("{split}2014_vgg16_fc7_pca.h5"));
            let features = hdf5::File::create(features).unwrap();
            let rows = matrix(&made.features);
            let put = features.new_dataset_builder().with_data(&rows);
            put.create("features").unwrap();
            let grid = hdf5::File::create(dir.join(format!("{split}2014_grid.h5"))).unwrap();
            grid.new_dataset_builder()
                .with_data(&made.grid.as_standard_layout())
                .create("features")
                .unwrap();
            let dropped = if split == Split::Train { self.names_dropped } else { 0 };
            let names: String = (dropped..made.features.len())
                .map(|image| format!("images/{split}_{image}.png\n"))
                .collect();
            fs::write(dir.join(format!("{split}2014_urls.txt")), names).unwrap();
        }
    }
}

impl Made {
    fn random(
        stream: &mut Stream,
        words: usize,
        columns: usize,
        width: usize,
        [regions, channels]: [usize; 2],
    ) -> Self {
        let (rows, images) = (5 + stream.below(60), 2 + stream.below(20));
        let of: Vec<usize> = (0..rows).map(|_| stream.below(images)).collect();
        let mut caption = || (0..columns).map(|_| stream.below(words) as u32).collect::<Vec<_>>();
        let captions = (0..rows).map(|_| caption()).collect();
        let mut feature = || (0..width).map(|_| stream.within(-3.0, 3.0)).collect::<Vec<_>>();
        let features = (0..images).map(|_| feature()).collect();
        let image_idxs = of.iter().map(|i| *i as i64).collect();
        let grid =
            ArrayD::from_shape_fn(vec![images, regions, channels], |_| stream.within(-3.0, 3.0));
        Made { captions, images: of, image_idxs, features, grid }
    }
}

fn matrix<T: Clone + hdf5::H5Type>(rows: &[Vec<T>]) -> Array2<T> {
    let columns = rows.first().map_or(0, Vec::len);
    Array2::from_shape_vec((rows.len(), columns), rows.concat()).unwrap()
}
