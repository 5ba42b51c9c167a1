//! Texts without pictures: one to be gone on with, character by character, and tables of texts with labels.

mod characters;
mod labelled;

use std::fs;
use std::path::{Path, PathBuf};

use engine_core::field::Fraction;

pub use self::characters::Text;
pub use self::labelled::Labelled;
use crate::DataError;
use crate::folder::{check_folder, find_file, quote};
use crate::scenes::{CAPTIONS, LABELLED, RECORD};

/// The default of `dir`: where the program runs.
fn here() -> PathBuf {
    PathBuf::from(".")
}

/// The default of `validation`.
fn tenth() -> Fraction {
    Fraction::constant(0.1)
}

/// The text in a file, which must be UTF-8.
fn read(dir: &Path, file: &Path) -> Result<(PathBuf, String), DataError> {
    check_folder(dir)?;
    let generated = [CAPTIONS, LABELLED].iter().any(|name| file == Path::new(name))
        && dir.join(RECORD).is_file();
    let help = generated.then(|| {
        format!(
            "the set was made without texts: remove the folder, and `engine data scenes {}` makes it with them",
            quote(dir)
        )
    });
    let path = find_file(dir, file, "the text", help)?;
    let bytes = fs::read(&path).map_err(|e| DataError::io("read", &path, e))?;
    match String::from_utf8(bytes) {
        Ok(text) => Ok((path, text)),
        Err(error) => {
            let byte = error.utf8_error().valid_up_to();
            let line = error.as_bytes()[..byte].iter().filter(|byte| **byte == b'\n').count() + 1;
            Err(DataError::NotUtf8 { path, line, byte })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_utf_8_is_found() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t.txt"), b"two\nlines \xff\n").unwrap();
        let error = read(dir.path(), Path::new("t.txt")).unwrap_err();
        assert!(error.to_string().contains("t.txt`, line 2: byte 10 is not UTF-8"), "{error}");
        assert!(error.help().unwrap().contains("UTF-8"));
    }

    #[test]
    fn a_missing_text_is_named_with_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(RECORD), "").unwrap();
        let error = read(dir.path(), Path::new("captions.txt")).unwrap_err();
        assert!(error.to_string().contains("captions.txt` is missing (the text)"), "{error}");
        assert!(error.help().unwrap().contains("`engine data scenes"));
        let error = read(&dir.path().join("none"), Path::new("t")).unwrap_err();
        assert!(matches!(error, DataError::MissingFolder { .. }), "{error}");
    }
}
