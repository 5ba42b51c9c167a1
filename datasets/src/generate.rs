//! The folder of a generated data set.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::coco::{Rows, Writer};
use crate::folder::{check_free, hidden_beside, take_name};
use crate::random::{Purpose, Stream};
use crate::scenes::components::patches;
use crate::scenes::draw::draw;
use crate::scenes::features::{SLOTS, WIDTH, features_of};
use crate::scenes::grammar::{MOST_WORDS, say};
use crate::scenes::grid::{CHANNELS, REGIONS, grid_of};
use crate::scenes::judge::SceneJudge;
use crate::scenes::scene::Scene;
use crate::scenes::standard::Standard;
use crate::scenes::texts;
use crate::{DataError, Split, Vocabulary};

/// How many captions each picture has.
pub const CAPTIONS_PER_PICTURE: usize = 5;

/// `<START>`, the words, `<END>`.
const COLUMNS: usize = MOST_WORDS + 2;

/// The most pictures of one split: beyond it a folder becomes unwieldy.
const MOST_PICTURES: usize = 1_000_000;

/// The pictures that are made between two reports of progress.
const STEP: usize = 128;

/// How large a set to make, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The number of training pictures.
    pub train: usize,
    /// The number of validation pictures.
    pub val: usize,
    /// The same seed gives the same files, byte for byte.
    pub seed: u64,
}

impl Default for Options {
    /// A set that a network learns in a few minutes on two cores.
    fn default() -> Self {
        Options { train: 4000, val: 500, seed: 231 }
    }
}

/// What was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The folder.
    pub dir: PathBuf,
    /// The number of training pictures.
    pub train: usize,
    /// The number of validation pictures.
    pub val: usize,
    /// The number of captions of all pictures.
    pub captions: usize,
    /// The size of the vocabulary, special words included.
    pub words: usize,
    /// The numbers that describe a picture.
    pub features: usize,
    /// How long it took.
    pub elapsed: Duration,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}: {} training and {} validation pictures, {} captions of {} words, {} features, in {:.1} s",
            self.dir.display(),
            self.train,
            self.val,
            self.captions,
            self.words,
            self.features,
            self.elapsed.as_secs_f64()
        )
    }
}

/// Makes a data set in `dir`, which must not exist or be empty.
///
/// Everything is written to a folder beside it, which takes its name at the end: an interrupted run leaves no half of a
/// data set behind. `progress` is called now and then with the number of pictures made and their total.
///
/// # Errors
/// Where the options ask for no pictures or too many, the folder is in use, or a file cannot be written.
pub fn generate(
    dir: &Path,
    options: &Options,
    progress: &dyn Fn(usize, usize),
) -> Result<Report, DataError> {
    let began = Instant::now();
    for (name, value) in [("train", options.train), ("val", options.val)] {
        if !(1..=MOST_PICTURES).contains(&value) {
            let expected = "give a number of pictures from 1 to 1000000";
            return Err(DataError::BadOption { name, value, expected });
        }
    }
    check_free(dir)?;
    let staging = Staging::beside(dir)?;
    let pictures = staging.path.join("images");
    fs::create_dir(&pictures).map_err(|e| DataError::io("make", &pictures, e))?;

    let total = options.train + options.val;
    let train = make(options.train, Split::Train, options.seed, &staging.path, &|done| {
        progress(done, total);
    })?;
    let val = make(options.val, Split::Val, options.seed, &staging.path, &|done| {
        progress(options.train + done, total);
    })?;
    let vocabulary = vocabulary(&[&train, &val], &staging.path)?;
    let writer = Writer::new(&staging.path);
    writer.vocabulary(&vocabulary)?;
    let standard = Standard::of(&train.features, WIDTH);
    standard.write(&staging.path)?;
    let [train_rows, val_rows] =
        [(Split::Train, &train), (Split::Val, &val)].map(|(split, made)| {
            let mut made = made.clone();
            standard.apply(&mut made.features);
            write_split(&writer, split, &made, &vocabulary)
        });
    writer.captions(&train_rows?, &val_rows?)?;
    texts::write(&staging.path, train.captions.iter().chain(&val.captions))?;
    let words = vocabulary.len();
    SceneJudge::new(train.scenes, val.scenes).write(&staging.path.join(crate::scenes::RECORD))?;
    staging.finish(dir)?;
    Ok(Report {
        dir: dir.to_owned(),
        train: options.train,
        val: options.val,
        captions: total * CAPTIONS_PER_PICTURE,
        words,
        features: WIDTH,
        elapsed: began.elapsed(),
    })
}

/// The pictures of one split.
#[derive(Clone, Default)]
struct Made {
    scenes: Vec<Scene>,
    captions: Vec<Vec<String>>,
    /// `[pictures, WIDTH]`.
    features: Vec<f32>,
    /// `[pictures, REGIONS, CHANNELS]`.
    grid: Vec<f32>,
}

/// Makes and writes the pictures of one split, each from a random stream of its own.
fn make(
    count: usize,
    split: Split,
    seed: u64,
    dir: &Path,
    progress: &dyn Fn(usize),
) -> Result<Made, DataError> {
    let purpose = match split {
        Split::Train => Purpose::TrainScene,
        Split::Val => Purpose::ValScene,
    };
    let mut made = Made::default();
    for first in (0..count).step_by(STEP) {
        let step: Vec<_> = (first..(first + STEP).min(count))
            .into_par_iter()
            .map(|i| {
                let mut stream = Stream::new(seed, purpose, i as u64);
                let scene = Scene::random(&mut stream);
                let captions = say(&scene, CAPTIONS_PER_PICTURE, &mut stream);
                let picture = draw(&scene);
                let path = dir.join(picture_name(split, i));
                picture.save(&path).map_err(|e| DataError::Picture {
                    action: "write",
                    path,
                    message: e.to_string(),
                })?;
                let patches = patches(&picture, SLOTS);
                Ok((scene, captions, features_of(&patches), grid_of(&patches)))
            })
            .collect::<Result<_, DataError>>()?;
        for (scene, captions, features, grid) in step {
            made.scenes.push(scene);
            made.captions.push(captions);
            made.features.extend(features);
            made.grid.extend(grid);
        }
        progress(made.scenes.len());
    }
    Ok(made)
}

/// The file of a picture, relative to the data set's folder.
fn picture_name(split: Split, i: usize) -> String {
    format!("images/{split}_{:05}.png", i + 1)
}

/// The words of all captions, the commonest first, after the special ones.
fn vocabulary(all: &[&Made], dir: &Path) -> Result<Vocabulary, DataError> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for caption in all.iter().flat_map(|made| made.captions.iter().flatten()) {
        for word in caption.split(' ') {
            *counts.entry(word).or_insert(0) += 1;
        }
    }
    let mut words: Vec<_> = counts.into_iter().collect();
    words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let words = Vocabulary::SPECIAL.into_iter().chain(words.into_iter().map(|(word, _)| word));
    let fault = |message| DataError::Vocabulary { path: dir.join("coco2014_vocab.json"), message };
    Vocabulary::new(words.map(str::to_owned).collect()).map_err(fault)
}

fn write_split(
    writer: &Writer<'_>,
    split: Split,
    made: &Made,
    vocabulary: &Vocabulary,
) -> Result<Rows, DataError> {
    let count = made.scenes.len();
    let mut features = writer.features(split, false, [count, WIDTH])?;
    features.push(&made.features)?;
    features.finish()?;
    let mut grid = writer.grid(split, [count, REGIONS, CHANNELS])?;
    grid.push(&made.grid)?;
    grid.finish()?;
    writer.names(split, (0..count).map(|i| picture_name(split, i)))?;
    let mut tokens = Vec::with_capacity(count * CAPTIONS_PER_PICTURE * COLUMNS);
    for caption in made.captions.iter().flatten() {
        let mut row: Vec<i32> = vocabulary.encode(caption).into_iter().map(|t| t as i32).collect();
        row.resize(COLUMNS, 0);
        tokens.extend(row);
    }
    let rows = count * CAPTIONS_PER_PICTURE;
    let images = (0..rows).map(|row| (row / CAPTIONS_PER_PICTURE) as i32).collect();
    Ok(Rows { tokens, columns: COLUMNS, images })
}

/// A folder in the making, removed unless it is finished.
struct Staging {
    path: PathBuf,
}

impl Staging {
    /// A new folder beside `dir`, on the same file system, so that it can take its name in one step.
    fn beside(dir: &Path) -> Result<Self, DataError> {
        // Different runs, and different calls in one run, stay out of each other's way.
        static CALLS: AtomicU64 = AtomicU64::new(0);
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        let path = hidden_beside(dir, &format!(".unfinished-{}-{call}", process::id()))?;
        fs::create_dir_all(&path).map_err(|e| DataError::io("make", &path, e))?;
        Ok(Staging { path })
    }

    fn finish(self, dir: &Path) -> Result<(), DataError> {
        take_name(&self.path, dir)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After renaming there is nothing left under this name; otherwise a failed run is not made worse by a failure
        // to clean up.
        let _ = fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;

    use super::*;
    use crate::{CocoHdf5, Dataset, describe};

    fn small(seed: u64) -> Options {
        Options { train: 40, val: 12, seed }
    }

    fn bytes(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for folder in [dir.to_owned(), dir.join("images")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_file() {
                    let name = path.strip_prefix(dir).unwrap().to_owned();
                    files.insert(name, fs::read(path).unwrap());
                }
            }
        }
        files
    }

    #[test]
    fn the_set_loads_and_every_caption_is_true() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("new/scenes");
        let seen = Cell::new(0);
        let report = generate(&dir, &small(3), &|done, total| {
            assert!(done > seen.get() && done <= total && total == 52);
            seen.set(done);
        })
        .unwrap();
        assert_eq!(seen.get(), 52);
        assert_eq!((report.captions, report.features), (260, WIDTH));
        let set = CocoHdf5::in_dir(&dir).unwrap();
        assert!(!set.pca_features);
        let source = set.open().unwrap();
        assert_eq!(source.sizes(), set.peek().unwrap());
        assert_eq!(source.sizes(), [("Features", WIDTH), ("Vocabulary", report.words)]);
        let judge = source.judge().unwrap();
        for split in Split::ALL {
            for image in 0..source.images(split) {
                assert_eq!(source.references(split, image).len(), CAPTIONS_PER_PICTURE);
                for tokens in source.references(split, image) {
                    assert_eq!(tokens.len(), COLUMNS);
                    let caption = source.vocabulary().decode(tokens);
                    let verdict = judge.judge(split, image, &caption);
                    assert!(verdict.is_true(), "{caption}: {verdict}");
                }
            }
        }
        assert!(describe(&*source).judged);
        assert_eq!(fs::read_dir(root.path().join("new")).unwrap().count(), 1, "nothing else");
    }

    #[test]
    fn features_come_from_the_written_pictures_alone() {
        let root = tempfile::tempdir().unwrap();
        generate(root.path(), &small(4), &|_, _| ()).unwrap();
        let set = CocoHdf5 { grid: true, ..CocoHdf5::in_dir(root.path()).unwrap() };
        let source = set.open().unwrap();
        let standard = Standard::read(root.path()).unwrap();
        let mut batch = engine_core::Batch::new();
        for split in Split::ALL {
            for image in 0..source.images(split) {
                source.fill_images(split, &[image], &mut batch);
                let path = root.path().join(source.image_name(split, image).unwrap());
                let described = standard.describe_file(&path).unwrap();
                let stored = batch.get("features").unwrap().elements();
                assert_eq!(stored, &engine_core::Elements::F32(described));
                let picture = image::open(path).unwrap().to_rgb8();
                let stored = batch.get("grid").unwrap().elements();
                assert_eq!(stored, &engine_core::Elements::F32(crate::scenes::grid(&picture)));
            }
        }
        assert!(standard.describe_file(&root.path().join("none.png")).is_err());
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_with_any_number_of_threads() {
        let made = |seed, threads| {
            let root = tempfile::tempdir().unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| generate(root.path(), &small(seed), &|_, _| ()).map(|_| ())).unwrap();
            bytes(root.path())
        };
        let first = made(5, 1);
        // Files that hold the time, in seconds, must show themselves.
        std::thread::sleep(Duration::from_millis(1100));
        assert_eq!(first.len(), 40 + 12 + 3 + 3 + 2 + 2 + 2);
        let again = made(5, 3);
        let names = first.iter().zip(&again).filter(|(a, b)| a != b).map(|((name, _), _)| name);
        assert_eq!(names.collect::<Vec<_>>(), Vec::<&PathBuf>::new(), "files that differ");
        assert!(first != made(6, 1));
    }

    #[test]
    fn a_used_folder_and_impossible_numbers_are_refused() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("thesis.tex"), "").unwrap();
        let error = generate(root.path(), &small(1), &|_, _| ()).unwrap_err();
        assert!(matches!(error, DataError::FolderInUse { .. }), "{error}");
        let file = root.path().join("thesis.tex");
        let error = generate(&file, &small(1), &|_, _| ()).unwrap_err();
        assert!(matches!(error, DataError::NotAFolder { .. }), "{error}");
        let none = Options { val: 0, ..small(1) };
        let error = generate(&root.path().join("x"), &none, &|_, _| ()).unwrap_err().to_string();
        assert!(error.contains("`val: 0`"), "{error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "nothing is left behind");
    }
}
