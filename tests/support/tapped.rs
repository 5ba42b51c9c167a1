//! A source with an ear on it: whatever is asked of it goes through, and a test hears of every batch.

use engine_core::Batch;
use engine_datasets::{Judge, Source, Split, Vocabulary};

/// `source`, with `tap` called before a batch is filled with rows.
pub(crate) struct Tapped<'a, F> {
    pub(crate) source: &'a dyn Source,
    pub(crate) tap: F,
}

impl<F: Fn(Split, &[usize]) + Send + Sync> Source for Tapped<'_, F> {
    fn sizes(&self) -> Vec<(&'static str, usize)> {
        self.source.sizes()
    }

    fn vocabulary(&self) -> &Vocabulary {
        self.source.vocabulary()
    }

    fn captions(&self, split: Split) -> usize {
        self.source.captions(split)
    }

    fn images(&self, split: Split) -> usize {
        self.source.images(split)
    }

    fn caption(&self, split: Split, row: usize) -> &[u32] {
        self.source.caption(split, row)
    }

    fn image_of(&self, split: Split, row: usize) -> usize {
        self.source.image_of(split, row)
    }

    fn fill(&self, split: Split, rows: &[usize], batch: &mut Batch) {
        (self.tap)(split, rows);
        self.source.fill(split, rows, batch);
    }

    fn fill_images(&self, split: Split, images: &[usize], batch: &mut Batch) {
        self.source.fill_images(split, images, batch);
    }

    fn references<'a>(
        &'a self,
        split: Split,
        image: usize,
    ) -> Box<dyn ExactSizeIterator<Item = &'a [u32]> + 'a> {
        self.source.references(split, image)
    }

    fn image_name(&self, split: Split, image: usize) -> Option<&str> {
        self.source.image_name(split, image)
    }

    fn judge(&self) -> Option<&dyn Judge> {
        self.source.judge()
    }
}

/// A small generated data set, in memory.
pub(crate) fn scenes() -> Box<dyn Source> {
    use engine_datasets::{CocoHdf5, Dataset};
    use engine_datasets::{Options, generate};
    let dir = tempfile::tempdir().expect("a temporary folder");
    let dir = dir.path().join("scenes");
    generate(&dir, &Options { train: 20, val: 5, seed: 1 }, &|_, _| {}).expect("a data set");
    let set = CocoHdf5::in_dir(&dir).expect("its features are there");
    set.open().expect("what is made is right")
}
