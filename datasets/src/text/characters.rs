//! A text that a network learns to go on with, character by character.

use std::ops::Range;
use std::path::{Path, PathBuf};

use engine_core::field::{Count, Fraction};
use engine_core::registry::DATASET;
use engine_core::{Batch, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{here, read, tenth};
use crate::{DataError, Dataset, Offer, Source, Split, Vocabulary};

/// A text, cut into chunks of characters, for networks that predict each character from those before it.
///
/// Binds the size `Vocabulary`, and feeds `words_in` `[Batch, Time]`, the characters of a chunk, and `words_out`
/// `[Batch, Time]`, for each the one after it: the last is the first of the chunk that follows. `Time` is `chunk`.
/// Characters are numbered from 4 on in the order of Unicode; 0 to 3 are the special words of every vocabulary, which no
/// text holds.
///
/// With `train: (order: Streams)` a batch goes on where the one before it ended, row by row, so that a state can be
/// carried from one to the next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Text {
    /// The folder that the file lies in. Default: where the program runs.
    #[serde(default = "here")]
    pub dir: PathBuf,

    /// The text, in UTF-8.
    pub file: PathBuf,

    /// Characters a chunk, at least 1. Default: 50.
    #[serde(default = "fifty")]
    pub chunk: Count,

    /// The share of the text that is kept for validation, at its end. Default: 0.1.
    #[serde(default = "tenth")]
    pub validation: Fraction,
}

fn fifty() -> Count {
    Count::constant(50)
}

#[typetag::serde]
impl Dataset for Text {
    fn sizes(&self) -> &'static [&'static str] {
        &["Vocabulary"]
    }

    fn inputs(&self) -> &'static [Offer] {
        const WORDS: Offer =
            Offer { name: "words_in", shape: &["Batch", "Time"], tokens_below: Some("Vocabulary") };
        &[WORDS, Offer { name: "words_out", ..WORDS }]
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn peek(&self) -> Result<Vec<(&'static str, usize)>, DataError> {
        let (_, text) = read(&self.dir, &self.file)?;
        Ok(vec![("Vocabulary", Vocabulary::of_characters(&text).len())])
    }

    fn open(&self) -> Result<Box<dyn Source>, DataError> {
        let (path, text) = read(&self.dir, &self.file)?;
        let vocabulary = Vocabulary::of_characters(&text);
        let words = vocabulary.split(&text);
        let tokens: Vec<u32> = words.iter().filter_map(|word| vocabulary.index(word)).collect();
        let val = (tokens.len() as f64 * self.validation.get()) as usize;
        let train = tokens.len() - val;
        let chunk = self.chunk.as_usize();
        for (split, found) in [(Split::Train, train), (Split::Val, val)] {
            // A chunk is followed by the character that its last one is to predict.
            if found <= chunk {
                let least = chunk.saturating_add(1);
                return Err(DataError::TooShort { path, split, found, least });
            }
        }
        Ok(Box::new(Chunks { vocabulary, tokens, train, chunk }))
    }
}

register!(Text in DATASET, example: "Text(dir: \"datasets/scenes\", file: \"captions.txt\", chunk: 50)");

/// A text in memory.
struct Chunks {
    vocabulary: Vocabulary,
    /// The whole text.
    tokens: Vec<u32>,
    /// Its characters that are trained on; the others are kept for validation.
    train: usize,
    /// Characters a chunk.
    chunk: usize,
}

impl Chunks {
    fn text(&self, split: Split) -> Range<usize> {
        match split {
            Split::Train => 0..self.train,
            Split::Val => self.train..self.tokens.len(),
        }
    }
}

impl Source for Chunks {
    fn sizes(&self) -> Vec<(&'static str, usize)> {
        vec![("Vocabulary", self.vocabulary.len())]
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn captions(&self, split: Split) -> usize {
        (self.text(split).len() - 1) / self.chunk
    }

    /// The characters of a chunk and the one after it.
    fn caption(&self, split: Split, row: usize) -> &[u32] {
        let text = &self.tokens[self.text(split)];
        &text[row * self.chunk..][..self.chunk + 1]
    }

    fn fill(&self, split: Split, rows: &[usize], batch: &mut Batch) {
        for (name, first) in [("words_in", 0), ("words_out", 1)] {
            let to = batch.tokens_mut(name, &[rows.len(), self.chunk]);
            for (to, row) in to.chunks_exact_mut(self.chunk).zip(rows) {
                to.copy_from_slice(&self.caption(split, *row)[first..][..self.chunk]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine_core::Elements;

    use super::*;
    use crate::Order;

    fn text(content: &str, chunk: u64, validation: f64) -> (tempfile::TempDir, Text) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t.txt"), content).unwrap();
        let chunk = Count::constant(chunk);
        let validation = Fraction::new(validation).unwrap();
        let set = Text { dir: dir.path().to_owned(), file: "t.txt".into(), chunk, validation };
        (dir, set)
    }

    fn spelled(source: &dyn Source, batch: &Batch, name: &str) -> Vec<String> {
        let array = batch.get(name).unwrap();
        let Elements::Tokens(tokens) = array.elements() else { panic!("{array:?}") };
        tokens.chunks(array.shape()[1]).map(|row| source.vocabulary().decode(row)).collect()
    }

    #[test]
    fn streams_run_on_from_batch_to_batch() {
        // 26 letters to train on: 8 whole chunks of 3 and what the last one predicts, in two streams of 4.
        let (_dir, set) = text("abcdefghijklmnopqrstuvwxyz0123456789", 3, 10.0 / 36.0);
        let source = set.open().unwrap();
        assert_eq!((source.captions(Split::Train), source.captions(Split::Val)), (8, 3));
        let mut batch = Batch::new();
        let expected = [
            (["abc", "mno"], ["bcd", "nop"]),
            (["def", "pqr"], ["efg", "qrs"]),
            (["ghi", "stu"], ["hij", "tuv"]),
            (["jkl", "vwx"], ["klm", "wxy"]),
        ];
        let epoch = Order::Streams.epoch(0, 0, 8, 2);
        assert_eq!(epoch.len(), expected.len());
        for (rows, (words_in, words_out)) in epoch.batches().zip(expected) {
            source.fill(Split::Train, rows, &mut batch);
            assert_eq!(spelled(&*source, &batch, "words_in"), words_in);
            assert_eq!(spelled(&*source, &batch, "words_out"), words_out);
        }
        source.fill(Split::Val, &[0, 2], &mut batch);
        assert_eq!(spelled(&*source, &batch, "words_out"), ["123", "789"]);
    }

    #[test]
    fn characters_are_sorted_after_the_special_words() {
        let (_dir, set) = text("ba\u{e9}\nba\u{e9}\n", 1, 0.5);
        let source = set.open().unwrap();
        assert_eq!(set.peek().unwrap(), source.sizes());
        assert_eq!(source.sizes(), [("Vocabulary", 8)]);
        let words: Vec<_> = source.vocabulary().words().skip(4).collect();
        assert_eq!(words, ["\n", "a", "b", "\u{e9}"]);
        assert_eq!(source.images(Split::Train), 0);
        assert!(source.references(Split::Val, 0).len() == 0 && source.judge().is_none());
    }

    #[test]
    fn texts_that_are_too_short_are_refused() {
        for (content, chunk, validation, expected) in [
            ("", 3, 0.1, "has 0 characters for training, expected at least 4"),
            ("abcd", 3, 0.25, "has 3 characters for training"),
            ("abcdefgh", 3, 0.25, "has 2 characters for validation"),
            ("abcdefgh", 3, 0.0, "has 0 characters for validation"),
            ("abc", 1 << 50, 0.5, "expected at least 1125899906842625"),
        ] {
            let (_dir, set) = text(content, chunk, validation);
            let error = set.open().err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.help().unwrap().contains("`chunk`"));
        }
    }
}
