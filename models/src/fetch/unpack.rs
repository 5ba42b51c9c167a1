//! An archive as a folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};

use zip::ZipArchive;
use zip::read::ZipFile;

use super::{FetchError, Stage};

/// Bytes that are unpacked at a time.
const PIECE: usize = 1 << 16;

/// Unpacks an archive into a new folder and returns the number of files. If all of it lies in one folder, what is in that
/// folder is unpacked; what a Mac adds is left out.
///
/// # Errors
/// When the file is no archive or damaged, when a name in it leads out of the folder, when there is more in it than `limit`
/// bytes, whatever it says, and when a file cannot be written.
pub fn unpack(
    archive: &Path,
    into: &Path,
    limit: u64,
    watch: &mut dyn FnMut(Stage),
) -> Result<usize, FetchError> {
    let damaged = |message: String| FetchError::Archive { path: archive.to_owned(), message };
    let too_large =
        || FetchError::TooLarge { what: format!("what is in {}", archive.display()), limit };
    let file = File::open(archive).map_err(|error| FetchError::Io {
        action: "read",
        path: archive.to_owned(),
        error,
    })?;
    let mut zip = ZipArchive::new(BufReader::new(file)).map_err(|e| damaged(e.to_string()))?;
    let mut entries = Vec::new();
    let mut total = 0u64;
    for number in 0..zip.len() {
        let entry = zip.by_index(number).map_err(|e| damaged(e.to_string()))?;
        let name = safe_name(&entry).map_err(damaged)?;
        if entry.is_dir() || name.starts_with("__MACOSX") {
            continue;
        }
        total = total
            .checked_add(entry.size())
            .filter(|total| *total <= limit)
            .ok_or_else(too_large)?;
        entries.push((number, name));
    }
    let skip = usize::from(common_folder(&entries).is_some());
    fs::create_dir_all(into).map_err(unwritten(into))?;
    let mut done = 0u64;
    for (number, name) in &entries {
        let path: PathBuf = into.join(name.components().skip(skip).collect::<PathBuf>());
        let folder = path.parent().unwrap_or(into);
        fs::create_dir_all(folder).map_err(unwritten(folder))?;
        let mut entry = zip.by_index(*number).map_err(|e| damaged(e.to_string()))?;
        let mut file = File::create_new(&path).map_err(unwritten(&path))?;
        let mut piece = vec![0; PIECE];
        loop {
            let read = entry.read(&mut piece);
            let read = read.map_err(|e| damaged(format!("{}: {e}", name.display())))?;
            if read == 0 {
                break;
            }
            done += read as u64;
            // A file may hold more than its entry says.
            if done > limit {
                return Err(too_large());
            }
            file.write_all(&piece[..read]).map_err(unwritten(&path))?;
            watch(Stage::Unpack { done, total });
        }
        file.sync_all().map_err(unwritten(&path))?;
    }
    Ok(entries.len())
}

/// The name of an entry, if it leads to a plain file or folder below where it is unpacked.
fn safe_name<R: Read + ?Sized>(entry: &ZipFile<'_, R>) -> Result<PathBuf, String> {
    let name = entry.name().map_err(|e| e.to_string())?;
    if entry.is_symlink() {
        return Err(format!("{name:?} is a link, expected files and folders"));
    }
    let name = name.as_ref();
    let path = Path::new(name);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    match plain && !name.is_empty() && !name.contains(['\\', '\0']) {
        true => Ok(path.to_owned()),
        false => Err(format!("the name {name:?} leads out of the folder")),
    }
}

/// The folder in which all entries lie, if there is one.
fn common_folder(entries: &[(usize, PathBuf)]) -> Option<OsString> {
    let folder = |path: &Path| {
        let mut parts = path.iter();
        let first = parts.next()?.to_owned();
        parts.next().map(|_| first)
    };
    let first = folder(&entries.first()?.1)?;
    entries.iter().all(|(_, path)| folder(path).as_ref() == Some(&first)).then_some(first)
}

fn unwritten(path: &Path) -> impl FnOnce(io::Error) -> FetchError + use<> {
    let path = path.to_owned();
    |error| FetchError::Io { action: "write", path, error }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn unpacked(names: &[&str], limit: u64) -> (tempfile::TempDir, Result<usize, FetchError>) {
        let dir = tempfile::tempdir().unwrap();
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        for name in names {
            match name.strip_prefix("link:") {
                Some(name) => {
                    zip.add_symlink(name, "/etc/passwd", SimpleFileOptions::default()).unwrap()
                }
                None if name.ends_with('/') => {
                    zip.add_directory(*name, SimpleFileOptions::default()).unwrap()
                }
                None => {
                    zip.start_file(*name, SimpleFileOptions::default()).unwrap();
                    zip.write_all(&[7; 1000]).unwrap();
                }
            }
        }
        let archive = dir.path().join("a.zip");
        fs::write(&archive, zip.finish().unwrap().into_inner()).unwrap();
        let result = unpack(&archive, &dir.path().join("into"), limit, &mut |_| ());
        (dir, result)
    }

    #[test]
    fn the_one_folder_of_an_archive_is_left_out() {
        for (names, expected) in [
            (&["set/a", "set/b/c", "set/"][..], &["a", "b/c"][..]),
            (&["set/a", "b"], &["set/a", "b"]),
            (&["set/a", "other/b"], &["set/a", "other/b"]),
            (&["set/a", "__MACOSX/set/._a"], &["a"]),
            (&["a"], &["a"]),
            (&[], &[]),
        ] {
            let (dir, result) = unpacked(names, 1 << 20);
            assert_eq!(result.unwrap(), expected.len(), "{names:?}");
            for name in expected {
                assert_eq!(
                    fs::read(dir.path().join("into").join(name)).unwrap(),
                    [7; 1000],
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn what_leads_out_of_the_folder_is_refused() {
        for name in ["../a", "set/../../a", "/tmp/a", "link:set/a", "a\\..\\b"] {
            let (dir, result) = unpacked(&["set/good", name], 1 << 20);
            let error = result.unwrap_err();
            assert!(matches!(error, FetchError::Archive { .. }), "{name}: {error}");
            assert!(!dir.path().join("into").exists() && !dir.path().join("a").exists(), "{name}");
        }
    }

    #[test]
    fn more_than_the_limit_is_refused() {
        assert_eq!(unpacked(&["a", "b"], 2000).1.unwrap(), 2);
        let (dir, result) = unpacked(&["a", "b"], 1999);
        assert!(matches!(result, Err(FetchError::TooLarge { limit: 1999, .. })));
        assert!(!dir.path().join("into").exists());
    }
}
