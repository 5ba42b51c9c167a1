//! The sentences of a generated set as plain texts, for networks that read no pictures.

use std::fs;
use std::path::Path;

use super::scene::Shape;
use crate::DataError;

/// Every sentence, one a line, those of validation pictures last: what [`Text`](crate::Text) reads.
pub(crate) const CAPTIONS: &str = "captions.txt";

/// The first sentence of every picture after the shape that it names first, one a line: what
/// [`Labelled`](crate::Labelled) reads. Every sentence names two shapes at least, so that only their order tells which.
pub(crate) const LABELLED: &str = "labelled.tsv";

/// Writes both files from the sentences of each picture, training pictures first.
pub(crate) fn write<'a>(
    dir: &Path,
    pictures: impl Iterator<Item = &'a Vec<String>>,
) -> Result<(), DataError> {
    let (mut captions, mut labelled) = (String::new(), String::new());
    for sentences in pictures {
        for sentence in sentences {
            captions += sentence;
            captions.push('\n');
        }
        let first = sentences.first().and_then(|sentence| Some((first_shape(sentence)?, sentence)));
        if let Some((shape, sentence)) = first {
            labelled += &format!("{}\t{sentence}\n", shape.word());
        }
    }
    for (name, text) in [(CAPTIONS, captions), (LABELLED, labelled)] {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|e| DataError::io("write", &path, e))?;
    }
    Ok(())
}

/// The shape that a sentence names first.
fn first_shape(sentence: &str) -> Option<Shape> {
    sentence.split(' ').find_map(Shape::from_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_a_line_and_every_picture_has_a_label() {
        let dir = tempfile::tempdir().unwrap();
        let pictures = [
            vec!["a red cross beside a star".to_owned(), "a star".to_owned()],
            vec!["a large blue star is above a square".to_owned()],
        ];
        write(dir.path(), pictures.iter()).unwrap();
        let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!(
            read(CAPTIONS),
            "a red cross beside a star\na star\na large blue star is above a square\n"
        );
        assert_eq!(
            read(LABELLED),
            "cross\ta red cross beside a star\nstar\ta large blue star is above a square\n"
        );
    }
}
