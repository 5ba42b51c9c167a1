//! Finding the files of a data set, and saying what is wrong where one is missing.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{DataError, Split};

/// The folder of a data set, which exists.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    pca_features: bool,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Path, pca_features: bool) -> Result<Self, DataError> {
        match fs::metadata(dir) {
            Ok(found) if found.is_dir() => Ok(Folder { dir, pca_features }),
            Ok(_) => Err(DataError::NotAFolder { dir: dir.to_owned() }),
            Err(_) => {
                Err(DataError::MissingFolder { dir: dir.to_owned(), help: missing_folder(dir) })
            }
        }
    }

    pub(super) fn captions(&self) -> Result<PathBuf, DataError> {
        self.file("coco2014_captions.h5", "the captions of both splits", None)
    }

    pub(super) fn vocabulary(&self) -> Result<PathBuf, DataError> {
        self.file("coco2014_vocab.json", "the vocabulary", None)
    }

    pub(super) fn features(&self, split: Split) -> Result<PathBuf, DataError> {
        let name = |pca| format!("{split}2014_vgg16_fc7{}.h5", if pca { "_pca" } else { "" });
        let other = name(!self.pca_features);
        let help =
            self.dir.join(&other).is_file().then(|| {
                format!("`{other}` is there: write `pca_features: {}`", !self.pca_features)
            });
        let role = match split {
            Split::Train => "the features of the training images",
            Split::Val => "the features of the validation images",
        };
        self.file(&name(self.pca_features), role, help)
    }

    /// The optional list of image names.
    pub(super) fn names(&self, split: Split) -> Option<PathBuf> {
        let path = self.dir.join(format!("{split}2014_urls.txt"));
        path.is_file().then_some(path)
    }

    /// The optional record of what generated pictures show.
    pub(super) fn record(&self) -> Option<PathBuf> {
        let path = self.dir.join(crate::scenes::RECORD);
        path.is_file().then_some(path)
    }

    fn file(
        &self,
        name: &str,
        role: &'static str,
        help: Option<String>,
    ) -> Result<PathBuf, DataError> {
        let path = self.dir.join(name);
        if path.is_file() {
            return Ok(path);
        }
        let present = names_in(self.dir, |path| path.is_file());
        let help = help.or_else(|| {
            present.is_empty().then(|| {
                format!(
                    "the folder holds no data: `engine data scenes {}` fills it",
                    quote(self.dir)
                )
            })
        });
        Err(DataError::MissingFile { path, role, present, help })
    }
}

/// What to do about a folder that does not exist: the nearest one that does, and how to make one.
fn missing_folder(dir: &Path) -> String {
    let make = format!("`engine data scenes {}` makes a data set there", quote(dir));
    let parent = match dir.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !parent.is_dir() {
        let nearest = parent.ancestors().find(|a| a.is_dir() && *a != Path::new(""));
        return match nearest {
            Some(nearest) => {
                format!("the nearest folder that exists is `{}`; {make}", nearest.display())
            }
            None => make,
        };
    }
    let wanted = dir.file_name().unwrap_or_default().to_string_lossy();
    let near = names_in(parent, |path| path.is_dir())
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&name, &wanted), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    match near {
        Some((_, name)) => format!("did you mean `{}`? {make}", parent.join(name).display()),
        None => make,
    }
}

fn quote(path: &Path) -> String {
    let text = path.display().to_string();
    if text.contains(char::is_whitespace) { format!("'{text}'") } else { text }
}

/// The sorted names in `dir` that satisfy `keep`; none where it cannot be read. Hidden ones are left out.
fn names_in(dir: &Path, keep: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| keep(path))
        .filter_map(|path| path.file_name().map(OsStr::to_string_lossy).map(|n| n.into_owned()))
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(dir: &Path) -> (String, String) {
        let error = Folder::new(dir, true).err().unwrap();
        (error.to_string(), error.help().unwrap())
    }

    #[test]
    fn a_missing_folder_names_the_nearest_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("scenes")).unwrap();
        let (message, help) = fault(&dir.path().join("sceens"));
        assert!(message.contains("sceens"), "{message}");
        assert!(help.contains("did you mean") && help.contains("scenes`?"), "{help}");
        assert!(help.contains("engine data scenes"), "{help}");
        let (_, help) = fault(&dir.path().join("unlike"));
        assert!(!help.contains("did you mean"), "{help}");
        let (_, help) = fault(&dir.path().join("no/such/path"));
        assert!(help.contains(&format!("exists is `{}`", dir.path().display())), "{help}");
    }

    #[test]
    fn a_file_in_place_of_the_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("scenes");
        fs::write(&file, "").unwrap();
        assert!(fault(&file).0.contains("is not a folder"));
    }

    #[test]
    fn a_missing_file_lists_those_that_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), true).unwrap();
        let error = folder.captions().unwrap_err();
        assert!(error.to_string().contains("holds nothing"), "{error}");
        assert!(error.help().unwrap().contains("engine data scenes"));
        fs::write(dir.path().join("train2014_vgg16_fc7.h5"), "").unwrap();
        let error = folder.features(Split::Train).unwrap_err();
        assert!(error.to_string().contains("holds `train2014_vgg16_fc7.h5`"), "{error}");
        assert!(error.help().unwrap().contains("`pca_features: false`"));
        let error = Folder::new(dir.path(), true).unwrap().features(Split::Val).unwrap_err();
        assert!(error.help().is_none());
    }
}
