//! Files that are there whole or not at all, also after a crash or a power cut.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// Writes a file in the place of one that may be there. Whoever opens it, at any time, finds the old one or the new one.
///
/// # Errors
/// When the file system refuses; the old file is still there then.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    write_new(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .inspect_err(|_| _ = fs::remove_file(&part))?;
    sync_folder(path.parent().unwrap_or(Path::new("")))
}

/// Writes a file and waits until its bytes are on the disk. That it is in its folder is not certain before
/// [`sync_folder`].
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Waits until what was made, renamed or removed in a folder is on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_old_file_stays_until_the_new_one_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        replace(&path, b"old").unwrap();
        replace(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        // A folder in the way of the part: nothing is written, the file stays.
        fs::create_dir(dir.path().join("a.json.part")).unwrap();
        assert!(replace(&path, b"newer").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"new");
    }
}
