//! The words of a data set, and its captions as numbers.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use engine_datasets::coco::Rows;
use engine_datasets::{Split, Vocabulary};

use super::images::Image;
use super::{DataBuildError, Options};

/// The captions of a data set as it stores them.
#[derive(Debug)]
pub(super) struct Sentences {
    pub(super) vocabulary: Vocabulary,
    pub(super) train: Rows,
    pub(super) val: Rows,
    /// Captions that were cut.
    pub(super) cut: usize,
    /// Words, and how many of them have no number.
    pub(super) words: usize,
    pub(super) unknown: usize,
}

impl Sentences {
    /// The captions of these pictures. The vocabulary is that of the training captions alone, so that validation meets
    /// unknown words as the world does.
    pub(super) fn of(images: &[Image], options: &Options) -> Result<Self, DataBuildError> {
        let vocabulary = vocabulary(images, options.min_count)?;
        let mut sentences = Sentences {
            vocabulary,
            train: Rows::default(),
            val: Rows::default(),
            cut: 0,
            words: 0,
            unknown: 0,
        };
        let lengths = images
            .iter()
            .flat_map(|image| &image.captions)
            .map(|caption| caption.split(' ').count());
        let columns = lengths.max().unwrap_or(0).min(options.max_length) + 2;
        // Images count from 0 in each split.
        let mut next = [0, 0];
        for image in images {
            let number = &mut next[image.split as usize];
            for caption in &image.captions {
                sentences.push(caption, (image.split, *number), columns);
            }
            *number += 1;
        }
        (sentences.train.columns, sentences.val.columns) = (columns, columns);
        Ok(sentences)
    }

    /// Adds a caption: `<START>`, its words as far as there is room, `<END>`, and 0 up to the common length.
    fn push(&mut self, caption: &str, (split, image): (Split, i32), columns: usize) {
        let mut tokens = self.vocabulary.encode(caption);
        if tokens.len() > columns {
            self.cut += 1;
            tokens.truncate(columns - 1);
            tokens.push(self.vocabulary.end());
        }
        self.words += tokens.len() - 2;
        self.unknown += tokens.iter().filter(|token| **token == self.vocabulary.unknown()).count();
        tokens.resize(columns, self.vocabulary.null());
        let rows = match split {
            Split::Train => &mut self.train,
            Split::Val => &mut self.val,
        };
        // Words are numbered far below 2^31: each takes bytes of a file in memory.
        rows.tokens.extend(tokens.into_iter().map(|token| token as i32));
        rows.images.push(image);
    }

    /// The rows of a split.
    pub(super) fn rows(&self, split: Split) -> &Rows {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

/// The words that come `min_count` times in the training captions, the commonest first, equally common ones in the order
/// of their letters, after the special ones.
fn vocabulary(images: &[Image], min_count: usize) -> Result<Vocabulary, DataBuildError> {
    let training = || {
        let images = images.iter().filter(|image| image.split == Split::Train);
        images.flat_map(|image| &image.captions)
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for word in training().flat_map(|caption| caption.split(' ')) {
        *counts.entry(word).or_default() += 1;
    }
    let mut words: Vec<(&str, usize)> = counts.into_iter().collect();
    words.sort_by_key(|(_, count)| Reverse(*count));
    match words.first() {
        Some((commonest, most)) if *most < min_count => {
            return Err(DataBuildError::NoWord {
                min_count,
                captions: training().count(),
                commonest: (*commonest).to_owned(),
                most: *most,
            });
        }
        _ => {}
    }
    let words =
        words.into_iter().take_while(|(_, count)| *count >= min_count).map(|(word, _)| word);
    let words = Vocabulary::SPECIAL.into_iter().chain(words).map(str::to_owned);
    Ok(Vocabulary::new(words.collect())
        .expect("words differ, and none has the signs of a special one"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn image(split: Split, captions: &[&str]) -> Image {
        let captions = captions.iter().map(|caption| (*caption).to_owned()).collect();
        Image { name: String::new(), path: PathBuf::new(), split, captions }
    }

    fn options(min_count: usize, max_length: usize) -> Options {
        Options { min_count, max_length, ..super::super::staging::tests::options() }
    }

    #[test]
    fn captions_become_rows() {
        let images = [
            image(Split::Val, &["a cat"]),
            image(Split::Train, &["a dog runs", "a dog"]),
            image(Split::Train, &["the dog and a cat run far"]),
            image(Split::Val, &["a bird", "the cat the cat the cat the cat"]),
        ];
        let made = Sentences::of(&images, &options(1, 5)).unwrap();
        let words: Vec<&str> = made.vocabulary.words().skip(4).collect();
        assert_eq!(words, ["a", "dog", "and", "cat", "far", "run", "runs", "the"]);
        assert_eq!(made.train.columns, 7);
        let row = |rows: &Rows, at: usize| rows.tokens[at * 7..][..7].to_vec();
        assert_eq!(row(&made.train, 0), [1, 4, 5, 10, 2, 0, 0]);
        assert_eq!(row(&made.train, 2), [1, 11, 5, 6, 4, 7, 2]);
        assert_eq!(row(&made.val, 1), [1, 4, 3, 2, 0, 0, 0]);
        assert_eq!(
            (made.train.images.clone(), made.val.images.clone()),
            (vec![0, 0, 1], vec![0, 1, 1])
        );
        assert_eq!((made.cut, made.words, made.unknown), (2, 19, 1));
        let common = Sentences::of(&images, &options(2, 15)).unwrap();
        assert_eq!(common.vocabulary.words().skip(4).collect::<Vec<_>>(), ["a", "dog"]);
        assert_eq!((common.val.columns, common.cut), (10, 0));
    }

    #[test]
    fn words_that_are_all_rare_are_an_error() {
        let images = [image(Split::Train, &["a dog", "a cat"]), image(Split::Val, &["x x x x"])];
        let error = Sentences::of(&images, &options(3, 5)).unwrap_err();
        assert!(error.to_string().contains("`a`, comes 2 times"), "{error}");
        assert!(
            miette::Diagnostic::help(&error).unwrap().to_string().contains("--min-count 2"),
            "{error}"
        );
    }
}
