//! One run a folder at a time.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Holds a folder until it is dropped, or the process ends in whatever way.
#[derive(Debug)]
pub(crate) struct Lock {
    // The lock is the open file's; closing it lets go.
    _file: File,
}

/// Why a folder could not be taken.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process holds it: its number, where it could be read.
    Taken(Option<u32>),
    /// The file system refused.
    Io(io::Error),
}

impl Lock {
    /// Takes the folder in which the file `path` lies.
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let options =
            File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = file.read_to_string(&mut holder);
                return Err(LockError::Taken(read.ok().and_then(|_| holder.trim().parse().ok())));
            }
            Err(TryLockError::Error(error)) => return Err(LockError::Io(error)),
        }
        let written = file.set_len(0).and_then(|()| file.rewind());
        let written = written.and_then(|()| writeln!(file, "{}", std::process::id()));
        written.map_err(LockError::Io)?;
        Ok(Lock { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_learns_who_was_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = Lock::take(&path).unwrap();
        match Lock::take(&path) {
            Err(LockError::Taken(holder)) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(Lock::take(&path).is_ok());
    }
}
