//! A description of an opened data set, for people.

use std::collections::HashMap;
use std::fmt;

use engine_core::{Batch, Elements};

use crate::{Source, Split};

/// How many of the commonest words a description lists.
const WORDS: usize = 20;
/// How many captions it shows.
const EXAMPLES: usize = 5;
/// From how many images it takes the statistics of the features.
const SAMPLED_IMAGES: usize = 1000;

/// What a data set holds. Its `Display` is the report of `engine data info DIR`.
#[derive(Debug, Clone, PartialEq)]
pub struct Info {
    /// The symbolic sizes and their values.
    pub sizes: Vec<(&'static str, usize)>,
    /// Training, then validation.
    pub splits: Vec<SplitInfo>,
    /// The commonest words of the training captions and how often each comes, the special words left out.
    pub common_words: Vec<(String, usize)>,
    /// Training captions from all over the set.
    pub examples: Vec<Example>,
    /// Whether the truth of a caption can be judged.
    pub judged: bool,
}

/// What one split holds.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitInfo {
    /// Which one.
    pub split: Split,
    /// The number of rows.
    pub captions: usize,
    /// The tokens stored for each caption, padding included.
    pub columns: usize,
    /// The number of images.
    pub images: usize,
    /// How many of these have no caption.
    pub images_without_caption: usize,
    /// How many features an image has.
    pub feature_width: usize,
    /// The mean of the features, over the first thousand images.
    pub feature_mean: f64,
    /// Their standard deviation about it.
    pub feature_deviation: f64,
    /// `lengths[n]` captions have `n` words, the special ones left out.
    pub lengths: Vec<usize>,
    /// How many of their words are `<UNK>`.
    pub unknown_words: usize,
}

/// One decoded caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// Its row in the training split.
    pub row: usize,
    /// The image's file or address, if the data set has one.
    pub image: Option<String>,
    /// The sentence.
    pub caption: String,
}

impl SplitInfo {
    /// The smallest number of words in a caption.
    pub fn shortest(&self) -> usize {
        self.lengths.iter().position(|n| *n > 0).unwrap_or(0)
    }

    /// The largest number of words in a caption.
    pub fn longest(&self) -> usize {
        self.lengths.iter().rposition(|n| *n > 0).unwrap_or(0)
    }

    /// The mean number of words in a caption.
    pub fn mean_length(&self) -> f64 {
        let words: usize = self.lengths.iter().enumerate().map(|(length, n)| length * n).sum();
        words as f64 / self.captions.max(1) as f64
    }
}

/// Counts what `source` holds.
pub fn describe(source: &dyn Source) -> Info {
    let mut counts = HashMap::new();
    let splits = Split::ALL.map(|split| describe_split(source, split, &mut counts)).into();
    let vocabulary = source.vocabulary();
    let mut common_words: Vec<(String, usize)> = counts
        .into_iter()
        .filter_map(|(token, n)| Some((vocabulary.word(token)?.to_owned(), n)))
        .collect();
    common_words.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    common_words.truncate(WORDS);
    let captions = source.captions(Split::Train);
    let shown = captions.min(EXAMPLES);
    let examples = (0..shown).map(|i| example(source, i * captions / shown)).collect();
    let judged = source.judge().is_some();
    Info { sizes: source.sizes(), splits, common_words, examples, judged }
}

fn describe_split(
    source: &dyn Source,
    split: Split,
    counts: &mut HashMap<u32, usize>,
) -> SplitInfo {
    let vocabulary = source.vocabulary();
    let (captions, images) = (source.captions(split), source.images(split));
    let mut lengths = Vec::new();
    let mut unknown_words = 0;
    for row in 0..captions {
        let mut length = 0;
        for token in vocabulary.visible(source.caption(split, row)) {
            length += 1;
            if token == vocabulary.unknown() {
                unknown_words += 1;
            } else if split == Split::Train {
                *counts.entry(token).or_insert(0) += 1;
            }
        }
        if lengths.len() <= length {
            lengths.resize(length + 1, 0);
        }
        lengths[length] += 1;
    }
    let columns = if captions == 0 { 0 } else { source.caption(split, 0).len() };
    let bare = (0..images).filter(|image| source.references(split, *image).len() == 0).count();
    let (feature_mean, feature_deviation) = feature_statistics(source, split);
    let sizes = source.sizes();
    let feature_width = sizes.iter().find(|(name, _)| *name == "Features").map_or(0, |(_, n)| *n);
    SplitInfo {
        split,
        captions,
        columns,
        images,
        images_without_caption: bare,
        feature_width,
        feature_mean,
        feature_deviation,
        lengths,
        unknown_words,
    }
}

fn feature_statistics(source: &dyn Source, split: Split) -> (f64, f64) {
    let images: Vec<usize> = (0..source.images(split).min(SAMPLED_IMAGES)).collect();
    let mut batch = Batch::new();
    source.fill_images(split, &images, &mut batch);
    let Some(Elements::F32(values)) = batch.get("features").map(|array| array.elements()) else {
        return (0.0, 0.0);
    };
    let n = values.len().max(1) as f64;
    let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / n;
    let variance = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / n;
    (mean, variance.sqrt())
}

fn example(source: &dyn Source, row: usize) -> Example {
    let image = source.image_of(Split::Train, row);
    Example {
        row,
        image: source.image_name(Split::Train, image).map(str::to_owned),
        caption: source.vocabulary().decode(source.caption(Split::Train, row)),
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.sizes {
            writeln!(f, "{name:<12}{:>10}", grouped(*value))?;
        }
        writeln!(f, "Judge       {:>10}", if self.judged { "yes" } else { "no" })?;
        for split in &self.splits {
            writeln!(f)?;
            write!(f, "{split}")?;
        }
        writeln!(f, "\nThe commonest words of the training captions")?;
        let widest = self.common_words.iter().map(|(word, _)| word.chars().count()).max();
        let (word_width, per_line) = (widest.unwrap_or(0), 4);
        for line in self.common_words.chunks(per_line) {
            let cells: Vec<String> = line
                .iter()
                .map(|(word, n)| format!("{word:<word_width$} {:>9}", grouped(*n)))
                .collect();
            writeln!(f, "  {}", cells.join("   "))?;
        }
        writeln!(f, "\nCaptions")?;
        for Example { row, image, caption } in &self.examples {
            write!(f, "  {:>9}  {caption}", grouped(*row))?;
            match image {
                Some(image) => writeln!(f, "  ({image})")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for SplitInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.captions as f64 / self.images.max(1) as f64;
        writeln!(
            f,
            "{}: {} captions of {} images ({each:.1} each), {} tokens a caption",
            self.split,
            grouped(self.captions),
            grouped(self.images),
            self.columns
        )?;
        if self.images_without_caption > 0 {
            writeln!(f, "  {} images have no caption", grouped(self.images_without_caption))?;
        }
        writeln!(
            f,
            "  captions [{}, {}]; features [{}, {}], mean {:.4}, standard deviation {:.4}",
            self.captions,
            self.columns,
            self.images,
            self.feature_width,
            self.feature_mean,
            self.feature_deviation
        )?;
        if self.unknown_words > 0 {
            writeln!(f, "  unknown words: {}", grouped(self.unknown_words))?;
        }
        let (shortest, longest) = (self.shortest(), self.longest());
        writeln!(f, "  words a caption: {shortest} to {longest}, mean {:.1}", self.mean_length())?;
        let most = self.lengths.iter().copied().max().unwrap_or(0).max(1);
        for (length, n) in self.lengths.iter().enumerate().take(longest + 1).skip(shortest) {
            let bar = "#".repeat((n * 40).div_ceil(most));
            writeln!(f, "  {length:>4} {:>9}  {bar}", grouped(*n))?;
        }
        Ok(())
    }
}

/// The digits of a whole number with commas between thousands: `1234567` as `1,234,567`.
pub fn grouped(n: impl ToString) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dataset;
    use crate::coco::fixture::Fixture;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!([0, 999, 1000, 1234567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_description_counts_what_is_there() {
        for seed in 0..8 {
            println!("seed {seed}");
            let fixture = Fixture::random(seed);
            let source = fixture.set().open().unwrap();
            let info = describe(&*source);
            for (split, info) in Split::ALL.into_iter().zip(&info.splits) {
                let made = fixture.split(split);
                let lengths: Vec<usize> = made
                    .captions
                    .iter()
                    .map(|caption| source.vocabulary().visible(caption).count())
                    .collect();
                assert_eq!(info.captions, lengths.len());
                assert_eq!(info.shortest(), *lengths.iter().min().unwrap());
                assert_eq!(info.longest(), *lengths.iter().max().unwrap());
                let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
                assert!((info.mean_length() - mean).abs() < 1e-9);
            }
            assert!(info.common_words.is_sorted_by_key(|(_, n)| std::cmp::Reverse(*n)));
            assert_eq!(info.examples.len(), 5);
            let report = info.to_string();
            assert!(report.contains("train: ") && report.contains("Vocabulary"), "{report}");
        }
    }
}
