//! Finding folders and files, and saying what is wrong where one is missing.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::DataError;

/// Makes sure that there is such a folder.
pub(crate) fn check_folder(dir: &Path) -> Result<(), DataError> {
    match fs::metadata(dir) {
        Ok(found) if found.is_dir() => Ok(()),
        Ok(_) => Err(DataError::NotAFolder { dir: dir.to_owned() }),
        Err(_) => Err(DataError::MissingFolder { dir: dir.to_owned(), help: missing_folder(dir) }),
    }
}

/// The file of this name in a folder; where it is missing, `role` says what it would hold and `help` what to do.
pub(crate) fn find_file(
    dir: &Path,
    name: impl AsRef<Path>,
    role: &'static str,
    help: Option<String>,
) -> Result<PathBuf, DataError> {
    let path = dir.join(name);
    if path.is_file() {
        return Ok(path);
    }
    let present = names_in(dir, |path| path.is_file());
    let help = help.or_else(|| {
        present.is_empty().then(|| {
            format!("the folder holds no data: `engine data scenes {}` fills it", quote(dir))
        })
    });
    Err(DataError::MissingFile { path, role, present, help })
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

/// Makes sure that a folder of this name can be made: there is none, or an empty one.
///
/// # Errors
/// When there is one that holds something, or something else of that name.
pub fn check_free(dir: &Path) -> Result<(), DataError> {
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) if e.kind() == ErrorKind::NotADirectory => {
            return Err(DataError::NotAFolder { dir: dir.to_owned() });
        }
        Err(e) => return Err(DataError::io("read", dir, e)),
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(DataError::FolderInUse { dir: dir.to_owned() }),
    }
}

/// Gives a finished folder its name in one step.
///
/// # Errors
/// When a folder of that name has been filled meanwhile, or the file system refuses.
pub fn take_name(finished: &Path, dir: &Path) -> Result<(), DataError> {
    // An empty folder in the way is removed; one that has been filled meanwhile stays, and stops the renaming.
    match fs::remove_dir(dir) {
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => {
            return Err(DataError::FolderInUse { dir: dir.to_owned() });
        }
        _ => {}
    }
    fs::rename(finished, dir).map_err(|e| DataError::io("make", dir, e))
}

/// A hidden name beside `dir`, on the same file system, for what is to become `dir`: `.mine.building`.
///
/// # Errors
/// When `dir` ends in no name, as `/` and `..` do.
pub fn hidden_beside(dir: &Path, suffix: &str) -> Result<PathBuf, DataError> {
    let nameless = || DataError::io("make", dir, io::Error::other("it ends in no name"));
    let mut name = OsString::from(".");
    name.push(dir.file_name().ok_or_else(nameless)?);
    name.push(suffix);
    Ok(dir.with_file_name(name))
}

/// A path as a shell takes it.
pub fn quote(path: &Path) -> String {
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
