//! Files that say what is on pictures, for data sets that are made of one's own.
//!
//! | Format | One caption |
//! |---|---|
//! | COCO's annotations, JSON | `images: [{id, file_name}]`, `annotations: [{image_id, caption}]` |
//! | Karpathy's `dataset.json` | `images: [{filename, split, sentences: [{tokens, raw}]}]` |
//! | a table | `picture<TAB>caption` a line; also Flickr8k's `picture#0<TAB>caption` |
//!
//! [`read`] finds out from the content which one a file is, and gives the same [`Captioned`] pictures for the same
//! captions. [`words`] takes a caption apart for training.

mod error;
mod json;
mod table;
mod words;

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Component, Path, PathBuf};

pub use error::CaptionsError;
pub use words::words;

/// A picture and its captions, as a file has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captioned {
    /// The picture's file, as the captions name it: `42.jpg`, `train2014/42.jpg`.
    pub name: String,
    /// The folder in which the captions say that it lies, where they keep that apart from its name.
    pub folder: Option<String>,
    /// What the captions say that the picture is for.
    pub part: Option<Part>,
    /// Its captions in the order of the file, at least one.
    pub captions: Vec<String>,
}

/// What a picture is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Training; also Karpathy's `restval`, which is trained on as everybody does.
    Train,
    /// Validation.
    Val,
    /// The last test, which no data set here takes in.
    Test,
}

/// How a file writes captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// COCO's annotations.
    Coco,
    /// Karpathy's `dataset.json`.
    Karpathy,
    /// A table.
    Table,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Coco => "COCO's annotations",
            Format::Karpathy => "Karpathy's dataset.json",
            Format::Table => "a table",
        })
    }
}

/// What a file of captions holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptionFile {
    /// How it is written.
    pub format: Format,
    /// The pictures that have captions, sorted by name.
    pub pictures: Vec<Captioned>,
    /// Pictures that the file lists without a caption.
    pub bare: usize,
}

impl Captioned {
    /// Where the picture may lie in a folder of pictures, relative to it and the likeliest first. Names that lead out of
    /// the folder, or would break a line, have no place in it.
    pub fn places(&self) -> Vec<PathBuf> {
        let below = self.folder.iter().map(|folder| format!("{folder}/{}", self.name));
        std::iter::once(self.name.clone()).chain(below).filter_map(|name| inside(&name)).collect()
    }
}

/// The name as a path that stays in its folder.
fn inside(name: &str) -> Option<PathBuf> {
    if name.chars().any(char::is_control) {
        return None;
    }
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!path.as_os_str().is_empty()).then_some(path)
}

/// Reads a file of captions, in whichever of the formats it is.
///
/// # Errors
/// When the file cannot be read, is in none of the formats, contradicts itself or holds no caption; the message names the
/// line or the entry.
pub fn read(path: &Path) -> Result<CaptionFile, CaptionsError> {
    let failed = |error| CaptionsError::Read { path: path.to_owned(), error };
    let mut file = BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?);
    const MARK: &[u8] = "\u{feff}".as_bytes();
    if file.fill_buf().map_err(failed)?.starts_with(MARK) {
        file.consume(MARK.len());
    }
    let first = file.fill_buf().map_err(failed)?.iter().find(|byte| !byte.is_ascii_whitespace());
    let mut found = match first {
        Some(b'{') => json::read(file, path)?,
        Some(b'[') => {
            let message = "is a list, expected an object with `images`".to_owned();
            return Err(CaptionsError::Other { path: path.to_owned(), message });
        }
        _ => table::read(file, path)?,
    };
    if found.pictures.is_empty() {
        return Err(CaptionsError::Empty { path: path.to_owned(), format: found.format });
    }
    found.pictures.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_lies_in_the_folder_or_nowhere() {
        let places = |name: &str, folder: Option<&str>| {
            let folder = folder.map(str::to_owned);
            Captioned { name: name.to_owned(), folder, part: None, captions: Vec::new() }.places()
        };
        assert_eq!(places("a.jpg", None), [Path::new("a.jpg")]);
        assert_eq!(places("./b/a.jpg", None), [Path::new("b/a.jpg")]);
        let both = [Path::new("a.jpg"), Path::new("val2014/a.jpg")];
        assert_eq!(places("a.jpg", Some("val2014")), both);
        for name in ["", "..", "../a.jpg", "/etc/passwd", "b/../../a.jpg", "a\nb.jpg", "."] {
            assert!(places(name, None).is_empty(), "{name:?}");
        }
    }
}
