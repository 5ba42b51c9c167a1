//! The hidden folder beside the data set that is being built, and what is kept there.
//!
//! | file | holds |
//! |---|---|
//! | `manifest.json` | what features depend on besides the pictures |
//! | `lock` | held by the process that builds |
//! | `features/<number>.safetensors` | the features of a batch of pictures, and which pictures these are |
//! | `set/` | the data set as it is written |

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use engine_datasets::hidden_beside;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use super::images::Image;
use super::{DataBuildError, Options, whole};
use crate::encoder::{Features, Grid};
use crate::files::{self, Lock, LockError, replace};

/// The form of the folder that this program writes.
const FORMAT: u32 = 1;

/// The hidden folder, held by this process.
pub(super) struct Staging {
    path: PathBuf,
    _lock: Lock,
}

/// What features depend on besides the pictures.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Manifest {
    format: u32,
    /// The SHA-256 of the encoder's graph file and of its weights.
    encoder: String,
    weights: String,
    images: PathBuf,
    grid: Option<(usize, usize)>,
    batch: usize,
}

/// A picture of a batch: its file as it was when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourceFile {
    pub(super) name: String,
    bytes: u64,
    /// Nanoseconds since 1970.
    modified: u64,
    /// Why it could not be read, where that is so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refused: Option<String>,
}

/// The features of a batch of pictures.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chunk {
    /// The pictures of the batch.
    pub(super) pictures: Vec<SourceFile>,
    /// The features of those that could be read.
    pub(super) features: Features,
}

impl Staging {
    /// Makes the folder, or takes the one of a build that was stopped.
    pub(super) fn open(options: &Options) -> Result<Self, DataBuildError> {
        let path = hidden_beside(&options.out, ".building")?;
        let features = path.join("features");
        fs::create_dir_all(&features).map_err(made(&features))?;
        let lock = match Lock::take(&path.join("lock")) {
            Ok(lock) => lock,
            Err(LockError::Taken(process)) => {
                return Err(DataBuildError::Taken { out: options.out.clone(), process });
            }
            Err(LockError::Io(error)) => return Err(written(&path.join("lock"))(error)),
        };
        let staging = Staging { path, _lock: lock };
        staging.agree(&Manifest::of(options)?)?;
        Ok(staging)
    }

    /// Makes sure that what is kept is of the same encoder, and says so for the next build.
    fn agree(&self, manifest: &Manifest) -> Result<(), DataBuildError> {
        let path = self.path.join("manifest.json");
        let before = match fs::read(&path) {
            Ok(before) => before,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let text = serde_json::to_vec_pretty(manifest)
                    .expect("paths came from arguments or are UTF-8");
                return replace(&path, &text).map_err(written(&path));
            }
            Err(error) => return Err(DataBuildError::Io { action: "read", path, error }),
        };
        let before: Manifest = serde_json::from_slice(&before)
            .map_err(|error| DataBuildError::Damaged { path, message: error.to_string() })?;
        match before.differences(manifest) {
            differences if differences.is_empty() => Ok(()),
            differences => {
                Err(DataBuildError::OtherBuild { folder: self.path.clone(), differences })
            }
        }
    }

    fn file(&self, number: usize) -> PathBuf {
        self.path.join("features").join(format!("{number:07}.safetensors"))
    }

    /// The features of this batch, if they are kept and the pictures are still the same.
    pub(super) fn kept(&self, number: usize, images: &[Image]) -> Option<Chunk> {
        let chunk = self.chunk(number).ok()?;
        let same = chunk.pictures.len() == images.len()
            && chunk.pictures.iter().zip(images).all(|(seen, image)| seen.is(image));
        same.then_some(chunk)
    }

    /// The features of a batch.
    pub(super) fn chunk(&self, number: usize) -> Result<Chunk, DataBuildError> {
        let path = self.file(number);
        let bytes = fs::read(&path);
        let bytes = bytes.map_err(|error| DataBuildError::Io {
            action: "read",
            path: path.clone(),
            error,
        })?;
        Chunk::parse(&bytes).map_err(|message| DataBuildError::Damaged { path, message })
    }

    /// Keeps the features of a batch.
    pub(super) fn keep(&self, number: usize, chunk: &Chunk) -> Result<(), DataBuildError> {
        let path = self.file(number);
        let bytes = chunk.bytes().map_err(written(&path))?;
        replace(&path, &bytes).map_err(written(&path))
    }

    /// A new folder for the data set.
    pub(super) fn set(&self) -> Result<PathBuf, DataBuildError> {
        let set = self.path.join("set");
        match fs::remove_dir_all(&set) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(made(&set)(error)),
            _ => {}
        }
        fs::create_dir(&set).map_err(made(&set))?;
        Ok(set)
    }

    /// Removes the folder, when nobody needs it any more.
    pub(super) fn remove(self) {
        // The data set stands; what is left over of its making does no harm.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What to say of a file that cannot be written.
fn written(path: &Path) -> impl FnOnce(io::Error) -> DataBuildError + use<> {
    let path = path.to_owned();
    |error| DataBuildError::Io { action: "write", path, error }
}

fn made(path: &Path) -> impl FnOnce(io::Error) -> DataBuildError + use<> {
    let path = path.to_owned();
    |error| DataBuildError::Io { action: "make", path, error }
}

impl Manifest {
    fn of(options: &Options) -> Result<Self, DataBuildError> {
        Ok(Manifest {
            format: FORMAT,
            encoder: sum(&options.encoder)?,
            weights: sum(&options.weights)?,
            images: whole(&options.images)?,
            grid: options.grid,
            batch: options.batch,
        })
    }

    /// What this one has and `other` has not.
    fn differences(&self, other: &Manifest) -> Vec<&'static str> {
        let parts = [
            (self.format != other.format, "another version of engine"),
            (self.encoder != other.encoder, "another encoder"),
            (self.weights != other.weights, "other weights"),
            (self.images != other.images, "another folder of pictures"),
            (self.grid != other.grid, "another --grid"),
            (self.batch != other.batch, "another --batch"),
        ];
        parts.into_iter().filter(|(differs, _)| *differs).map(|(_, part)| part).collect()
    }
}

/// The SHA-256 of a file.
fn sum(path: &Path) -> Result<String, DataBuildError> {
    let sum = files::of_file(path).map(|(_, sum)| sum);
    sum.map_err(|error| DataBuildError::Io { action: "read", path: path.to_owned(), error })
}

impl SourceFile {
    /// The file of a picture as it is now. One that is not there any more has no size and no time.
    pub(super) fn of(image: &Image) -> Self {
        let found = fs::metadata(&image.path).ok();
        let modified = found.as_ref().and_then(|found| found.modified().ok());
        let modified = modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        SourceFile {
            name: image.name.clone(),
            bytes: found.map_or(0, |found| found.len()),
            modified: modified.map_or(0, |time| time.as_nanos() as u64),
            refused: None,
        }
    }

    fn is(&self, image: &Image) -> bool {
        let now = SourceFile::of(image);
        (&self.name, self.bytes, self.modified) == (&now.name, now.bytes, now.modified)
    }
}

impl Chunk {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        let Features { features, width, grid } = &self.features;
        let rows = features.len() / (*width).max(1);
        let mut arrays = vec![("features", vec![rows, *width], features)];
        if let Some(Grid { features, regions, channels }) = grid {
            arrays.push(("grid", vec![rows, *regions, *channels], features));
        }
        let bytes: Vec<Vec<u8>> = arrays
            .iter()
            .map(|(_, _, numbers)| numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
            .collect();
        let views = arrays.into_iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            TensorView::new(Dtype::F32, shape, bytes).map(|view| (name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(io::Error::other)?;
        let pictures = serde_json::to_string(&self.pictures)?;
        let said = HashMap::from([("pictures".to_owned(), pictures)]);
        serialize(views, Some(said)).map_err(io::Error::other)
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| e.to_string())?;
        let file = SafeTensors::deserialize(bytes).map_err(|e| e.to_string())?;
        let said = header.metadata().as_ref().and_then(|said| said.get("pictures"));
        let pictures: Vec<SourceFile> =
            serde_json::from_str(said.ok_or("it names no pictures")?).map_err(|e| e.to_string())?;
        let read = pictures.iter().filter(|seen| seen.refused.is_none()).count();
        let (features, shape) = numbers(&file, "features")?;
        let [rows, width] = shape[..] else { return Err("its features are no matrix".into()) };
        if rows != read {
            return Err(format!("it has features of {rows} pictures, and {read} were read"));
        }
        let grid = match file.names().contains(&"grid") {
            false => None,
            true => {
                let (features, shape) = numbers(&file, "grid")?;
                let [rows, regions, channels] = shape[..] else {
                    return Err("its grids are no array of regions".into());
                };
                if rows != read {
                    return Err(format!("it has grids of {rows} pictures, and {read} were read"));
                }
                Some(Grid { features, regions, channels })
            }
        };
        Ok(Chunk { pictures, features: Features { features, width, grid } })
    }
}

fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<f32>, Vec<usize>), String> {
    let array = file.tensor(name).map_err(|e| e.to_string())?;
    if array.dtype() != Dtype::F32 {
        return Err(format!("`{name}` holds {:?}, expected F32", array.dtype()));
    }
    let quads = array.data().chunks_exact(4);
    let numbers = quads.map(|quad| f32::from_le_bytes(quad.try_into().expect("four bytes")));
    Ok((numbers.collect(), array.shape().to_vec()))
}

#[cfg(test)]
pub(super) mod tests {
    use engine_datasets::Split;

    use super::*;

    pub(in super::super) fn options() -> Options {
        Options {
            images: PathBuf::new(),
            captions: PathBuf::new(),
            encoder: PathBuf::new(),
            weights: PathBuf::new(),
            out: PathBuf::new(),
            pca: None,
            grid: None,
            min_count: 1,
            max_length: 15,
            val: 0.1,
            seed: 231,
            strict: false,
            standardize: false,
            batch: 2,
        }
    }

    /// Options with files of their own in a folder.
    pub(in super::super) fn furnished(dir: &Path) -> Options {
        let file = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).unwrap();
            path
        };
        let (encoder, weights) = (file("e.ron", "graph"), file("w.safetensors", "weights"));
        Options { images: dir.to_owned(), encoder, weights, out: dir.join("set"), ..options() }
    }

    fn image(dir: &Path, name: &str) -> Image {
        let path = dir.join(name);
        fs::write(&path, name).unwrap();
        Image { name: name.to_owned(), path, split: Split::Train, captions: Vec::new() }
    }

    #[test]
    fn what_is_kept_is_found_again_as_long_as_the_pictures_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let options = furnished(dir.path());
        let images = [image(dir.path(), "a.png"), image(dir.path(), "b.png")];
        let mut pictures: Vec<SourceFile> = images.iter().map(SourceFile::of).collect();
        pictures[1].refused = Some("no picture".into());
        let grid = Grid { features: vec![4.0, 5.0], regions: 2, channels: 1 };
        let features = Features { features: vec![1.0, 2.0, 3.0], width: 3, grid: Some(grid) };
        let chunk = Chunk { pictures, features };
        let staging = Staging::open(&options).unwrap();
        assert!(staging.kept(0, &images).is_none());
        staging.keep(0, &chunk).unwrap();
        drop(staging);
        let staging = Staging::open(&options).unwrap();
        assert_eq!(staging.kept(0, &images), Some(chunk));
        assert!(staging.kept(0, &images[..1]).is_none());
        assert!(staging.kept(1, &images).is_none());
        fs::write(&images[1].path, "another").unwrap();
        assert!(staging.kept(0, &images).is_none());
        let bytes = fs::read(staging.file(0)).unwrap();
        for cut in [0, 9, bytes.len() - 1] {
            fs::write(staging.file(0), &bytes[..cut]).unwrap();
            assert!(matches!(staging.chunk(0), Err(DataBuildError::Damaged { .. })), "{cut}");
        }
    }

    #[test]
    fn nothing_of_another_build_is_used() {
        let dir = tempfile::tempdir().unwrap();
        let options = furnished(dir.path());
        drop(Staging::open(&options).unwrap());
        let refused = |options: &Options| match Staging::open(options).err().unwrap() {
            error @ DataBuildError::OtherBuild { .. } => error.to_string(),
            other => panic!("{other}"),
        };
        let message = refused(&Options { batch: 3, grid: Some((1, 1)), ..options.clone() });
        assert!(message.contains("another --grid and another --batch"), "{message}");
        fs::write(&options.weights, "others").unwrap();
        assert!(refused(&options).ends_with("had other weights"));
        fs::write(&options.weights, "weights").unwrap();
        let held = Staging::open(&Options { pca: Some(3), seed: 1, ..options.clone() }).unwrap();
        let error = Staging::open(&options).err().unwrap().to_string();
        assert!(error.contains(&format!("({})", std::process::id())), "{error}");
        held.remove();
        assert!(!dir.path().join(".set.building").exists());
    }
}
