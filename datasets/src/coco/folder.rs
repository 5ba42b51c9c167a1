//! Finding the files of a data set, and saying what is wrong where one is missing.

use std::path::{Path, PathBuf};

use crate::folder::{check_folder, find_file, quote};
use crate::{DataError, Split};

/// The folder of a data set, which exists.
pub(super) struct Folder<'a> {
    dir: &'a Path,
    pca_features: bool,
}

impl<'a> Folder<'a> {
    pub(super) fn new(dir: &'a Path, pca_features: bool) -> Result<Self, DataError> {
        check_folder(dir)?;
        Ok(Folder { dir, pca_features })
    }

    pub(super) fn dir(&self) -> &Path {
        self.dir
    }

    pub(super) fn captions(&self) -> Result<PathBuf, DataError> {
        find_file(self.dir, "coco2014_captions.h5", "the captions of both splits", None)
    }

    pub(super) fn vocabulary(&self) -> Result<PathBuf, DataError> {
        find_file(self.dir, "coco2014_vocab.json", "the vocabulary", None)
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
        find_file(self.dir, name(self.pca_features), role, help)
    }

    /// The grids, which someone has asked for.
    pub(super) fn grid(&self, split: Split) -> Result<PathBuf, DataError> {
        let role = match split {
            Split::Train => "the grids of the training images, for `grid: true`",
            Split::Val => "the grids of the validation images, for `grid: true`",
        };
        let help = self.record().map(|_| {
            format!(
                "the set was made without grids: remove the folder, and `engine data scenes {}` makes it with them; or write \
                 `grid: false`",
                quote(self.dir)
            )
        });
        let help = help.or_else(|| Some("put it there, or write `grid: false`".to_owned()));
        find_file(self.dir, format!("{split}2014_grid.h5"), role, help)
    }

    /// The list of picture files, which someone has asked for.
    pub(super) fn files(&self, split: Split) -> Result<PathBuf, DataError> {
        let role = match split {
            Split::Train => "the files of the training images, for `pixels: true`",
            Split::Val => "the files of the validation images, for `pixels: true`",
        };
        let help = "write the file of each image into it, one a line, relative to the folder; or write `pixels: false`";
        find_file(self.dir, format!("{split}2014_urls.txt"), role, Some(help.to_owned()))
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
}

#[cfg(test)]
mod tests {
    use std::fs;

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
        let error = folder.features(Split::Val).unwrap_err();
        assert!(error.help().is_none());
    }

    #[test]
    fn a_missing_grid_says_who_asked_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::new(dir.path(), true).unwrap();
        let error = folder.grid(Split::Val).unwrap_err();
        for part in ["val2014_grid.h5", "`grid: true`"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(error.help().unwrap().contains("`grid: false`"));
        fs::write(dir.path().join(crate::scenes::RECORD), "").unwrap();
        let help = folder.grid(Split::Val).unwrap_err().help().unwrap();
        assert!(help.contains("`engine data scenes"), "{help}");
    }
}
