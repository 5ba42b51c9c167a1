//! The names of a split's images: one text, and where each line of it begins.

use std::fs;
use std::path::Path;

use crate::DataError;

/// A list of names, one a line, held as it is in its file: a string for each would take twice the memory.
pub(super) struct ImageNames {
    text: String,
    /// Where each line begins, in bytes, and at the end the length of the text.
    begins: Vec<usize>,
}

impl ImageNames {
    /// Reads the list, which must have as many lines as there are images. What is no UTF-8 becomes U+FFFD.
    pub(super) fn read(path: &Path, images: usize) -> Result<Self, DataError> {
        let names = Self::of(path, images)?;
        let lines = names.begins.len() - 1;
        if lines != images {
            return Err(DataError::NamesDiffer { path: path.to_owned(), lines, images });
        }
        Ok(names)
    }

    /// Reads the list, however many lines it has; about as many as are expected.
    pub(super) fn of(path: &Path, expected: usize) -> Result<Self, DataError> {
        let bytes = fs::read(path).map_err(|e| DataError::io("read", path, e))?;
        let text = String::from_utf8(bytes)
            .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
        Ok(Self::new(text, expected))
    }

    fn new(text: String, expected: usize) -> Self {
        let mut begins = Vec::with_capacity(expected + 1);
        begins.push(0);
        begins.extend(text.match_indices('\n').map(|(at, _)| at + 1));
        // A last line may or may not end in a line feed.
        if begins.last() != Some(&text.len()) {
            begins.push(text.len());
        }
        ImageNames { text, begins }
    }

    /// Line `image`, without white space around it.
    pub(super) fn get(&self, image: usize) -> Option<&str> {
        let (begin, end) = (self.begins.get(image)?, self.begins.get(image + 1)?);
        Some(self.text[*begin..*end].trim())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_standard_library() {
        for text in ["", "\n", "a", "a\n", "a\nb", " a \r\n\r\n\tb\n", "\n\n", "ä\n\u{fffd}\nx"] {
            let names = ImageNames::new(text.to_owned(), 0);
            let found: Vec<&str> = (0..).map_while(|line| names.get(line)).collect();
            let expected: Vec<&str> = text.lines().map(str::trim).collect();
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("urls.txt");
        fs::write(&path, b"a\xff\nb\n").unwrap();
        let names = ImageNames::read(&path, 2).unwrap();
        assert_eq!(
            (names.get(0), names.get(1), names.get(2)),
            (Some("a\u{fffd}"), Some("b"), None)
        );
        let message = ImageNames::read(&path, 3).err().unwrap().to_string();
        assert!(message.contains("names 2 images, but there are features of 3"), "{message}");
    }
}
