//! The pictures that captions name, where they lie, and which are validated on.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use engine_datasets::Split;
use engine_datasets::captions::{CaptionFile, Part, words};
use sha2::{Digest, Sha256};

use super::{DataBuildError, Options};

/// A picture that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its name.
    pub name: String,
    /// Why not.
    pub reason: String,
}

/// A picture of the data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Image {
    /// Its file below the folder of pictures, with `/` between the parts.
    pub(super) name: String,
    /// Its file.
    pub(super) path: PathBuf,
    /// What it is for.
    pub(super) split: Split,
    /// Its captions, as words with single spaces between them; each has one at least.
    pub(super) captions: Vec<String>,
}

/// The pictures of a data set, and those that captions name and it does without.
#[derive(Debug, Clone, Default)]
pub(super) struct Images {
    /// The pictures, sorted by name.
    pub(super) all: Vec<Image>,
    /// Names of pictures that are not in the folder.
    pub(super) absent: Vec<String>,
    /// Pictures of a test split.
    pub(super) set_aside: usize,
    /// Captions without a word.
    pub(super) empty: usize,
}

impl Images {
    /// Finds the pictures of a file of captions.
    pub(super) fn gather(file: &CaptionFile, options: &Options) -> Result<Self, DataBuildError> {
        check_folder(&options.images)?;
        let mut images = Images::default();
        let mut found: BTreeMap<String, (PathBuf, Option<Part>, Vec<String>)> = BTreeMap::new();
        for picture in &file.pictures {
            let places =
                picture.places().into_iter().map(|place| (options.images.join(&place), place));
            let Some((path, place)) = places.into_iter().find(|(path, _)| path.is_file()) else {
                images.absent.push(picture.name.clone());
                continue;
            };
            if picture.part == Some(Part::Test) {
                images.set_aside += 1;
                continue;
            }
            let captions = picture.captions.iter().map(|caption| words(caption).join(" "));
            let (captions, empty): (Vec<_>, Vec<_>) =
                captions.partition(|caption| !caption.is_empty());
            images.empty += empty.len();
            if !captions.is_empty() {
                let entry =
                    found.entry(slashed(&place)).or_insert((path, picture.part, Vec::new()));
                entry.2.extend(captions);
            }
        }
        if found.is_empty() {
            return Err(images.none_left(file, options));
        }
        let divided = found.values().any(|(_, part, _)| part.is_some());
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        let shares = divide(&names, options.val, options.seed);
        let split = |part, share| match part {
            Some(Part::Val) => Split::Val,
            Some(_) => Split::Train,
            None => share,
        };
        let all = found.into_iter().zip(shares).map(|((name, (path, part, captions)), share)| {
            Image { name, path, split: split(part, share), captions }
        });
        images.all = all.collect();
        let why = match divided {
            true => "the captions put all that are there into the other split",
            false => "one picture cannot be both trained and validated on",
        };
        check_splits(&images.all, "none", why)?;
        Ok(images)
    }

    /// The pictures without those that could not be read. They take the captions with them, so that these are in memory
    /// once.
    pub(super) fn without(&mut self, refused: &[Refused]) -> Result<Vec<Image>, DataBuildError> {
        let names: HashSet<&str> = refused.iter().map(|refused| refused.name.as_str()).collect();
        let left = self.all.iter_mut().filter(|image| !names.contains(image.name.as_str()));
        let left: Vec<Image> = left
            .map(|image| {
                let captions = std::mem::take(&mut image.captions);
                Image { captions, ..image.clone() }
            })
            .collect();
        match (left.is_empty(), refused.first()) {
            (true, Some(first)) => {
                let path = self.all.first().map(|image| image.path.clone()).unwrap_or_default();
                Err(DataBuildError::Unreadable {
                    path,
                    reason: format!("{}; nor can any other be read", first.reason),
                })
            }
            _ => check_splits(&left, "none", "those that it had cannot be read").map(|()| left),
        }
    }

    /// Why there is no picture with a caption.
    fn none_left(&self, file: &CaptionFile, options: &Options) -> DataBuildError {
        if self.empty > 0 {
            return DataBuildError::NoSentence { path: options.captions.clone() };
        }
        if self.set_aside > 0 {
            let why = "the captions put all that are there into the split `test`, which no data set takes in";
            return DataBuildError::EmptySplit {
                split: Split::Train,
                found: "none",
                pictures: self.set_aside,
                why,
            };
        }
        let Listing { pictures, others, first } = list(&options.images);
        match first {
            Some(present) if pictures > 0 => DataBuildError::NoneNamed {
                captions: options.captions.clone(),
                images: options.images.clone(),
                count: file.pictures.len(),
                named: self.absent.first().cloned().unwrap_or_default(),
                present,
            },
            first => DataBuildError::NoPictures {
                path: options.images.clone(),
                found: match first {
                    None => "nothing".to_owned(),
                    Some(first) if others == 1 => format!("`{first}`"),
                    Some(first) => format!("{others} other things, such as `{first}`"),
                },
            },
        }
    }
}

fn check_folder(path: &Path) -> Result<(), DataBuildError> {
    let found = match fs::metadata(path) {
        Ok(found) if found.is_dir() => return Ok(()),
        Ok(_) => "a file",
        Err(_) => "nothing",
    };
    Err(DataBuildError::NoFolder { path: path.to_owned(), found })
}

fn check_splits(
    all: &[Image],
    found: &'static str,
    why: &'static str,
) -> Result<(), DataBuildError> {
    for split in Split::ALL {
        if !all.iter().any(|image| image.split == split) {
            return Err(DataBuildError::EmptySplit { split, found, pictures: all.len(), why });
        }
    }
    Ok(())
}

fn slashed(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts.join("/")
}

/// What a folder holds.
struct Listing {
    pictures: usize,
    others: usize,
    /// The first picture by name; where there is none, the first of the others.
    first: Option<String>,
}

/// Counts pictures by the ends of their names, subfolders among the others.
fn list(dir: &Path) -> Listing {
    let is_picture = |name: &str| {
        let end = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
        ["jpg", "jpeg", "png", "webp"].contains(&end.to_ascii_lowercase().as_str())
    };
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let (pictures, others): (Vec<_>, Vec<_>) = names.into_iter().partition(|name| is_picture(name));
    let first = pictures.first().or(others.first()).cloned();
    Listing { pictures: pictures.len(), others: others.len(), first }
}

/// Which of these pictures are validated on: those whose hash with the seed falls into the lowest `share` of all hashes.
/// Neither their order nor what other pictures there are has a say in it, but that there is one of each split where there
/// are two pictures.
fn divide(names: &[&str], share: f64, seed: u64) -> Vec<Split> {
    let hashes: Vec<u64> = names.iter().map(|name| hash(name, seed)).collect();
    let limit = share * 2f64.powi(64);
    let mut val: Vec<bool> = hashes.iter().map(|hash| (*hash as f64) < limit).collect();
    let (lowest, highest) = (
        (0..hashes.len()).min_by_key(|i| hashes[*i]),
        (0..hashes.len()).max_by_key(|i| hashes[*i]),
    );
    if let (Some(lowest), Some(highest)) = (lowest, highest)
        && lowest != highest
    {
        (val[lowest], val[highest]) = (true, false);
    }
    val.into_iter().map(|val| if val { Split::Val } else { Split::Train }).collect()
}

/// A number that is spread evenly and the same on every machine: the first eight bytes of a SHA-256.
fn hash(name: &str, seed: u64) -> u64 {
    let digest = Sha256::new().chain_update(seed.to_le_bytes()).chain_update(name).finalize();
    digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_stays_in_its_split_whatever_comes_beside_it() {
        let names: Vec<String> = (0..4000).map(|i| format!("{i}.jpg")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        for (share, seed) in [(0.1, 0), (0.1, 7), (0.5, 7), (0.9, 1)] {
            let all = divide(&names, share, seed);
            let val = all.iter().filter(|split| **split == Split::Val).count();
            let deviation = (4000.0 * share * (1.0 - share)).sqrt();
            assert!((val as f64 - 4000.0 * share).abs() < 5.0 * deviation, "{share} {seed}: {val}");
            let mut reversed = names.clone();
            reversed.reverse();
            let mut backwards = divide(&reversed, share, seed);
            backwards.reverse();
            assert_eq!(all, backwards);
            assert_eq!(all[..2000], divide(&names[..2000], share, seed));
        }
        assert_ne!(divide(&names, 0.1, 1), divide(&names, 0.1, 2));
    }

    #[test]
    fn two_pictures_are_one_of_each() {
        for seed in 0..50 {
            for share in [1e-9, 0.5, 1.0 - 1e-9] {
                let mut splits = divide(&["a", "b"], share, seed);
                splits.sort_by_key(|split| split.name());
                assert_eq!(splits, [Split::Train, Split::Val]);
            }
            assert_eq!(divide(&["a"], 1e-9, seed), [Split::Train]);
        }
        assert!(divide(&[], 0.5, 0).is_empty());
    }
}
