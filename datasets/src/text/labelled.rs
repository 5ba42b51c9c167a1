//! Texts with labels, for networks that tell them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use engine_core::field::{Count, Fraction};
use engine_core::registry::DATASET;
use engine_core::{Batch, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{here, read, tenth};
use crate::{DataError, Dataset, Offer, Source, Split, Vocabulary};

/// A table of texts, `label<TAB>text` a line, for networks that tell what label a text has.
///
/// Binds the sizes `Vocabulary` and `Classes`, and feeds `words_in` `[Batch, Time]`, the words of each text in lower case
/// and 0 up to the longest of the batch, and `labels` `[Batch]`, numbered from 0 in alphabetical order. Words are what
/// white space separates, the commonest numbered first, after the special words of every vocabulary; one that is too rare
/// is `<UNK>`.
///
/// Lines without anything on them are passed over. Validation texts are spread evenly over the table: of `n` lines, line
/// `i` from 0 is one if `(i + 1) validation` is larger than `i validation` once both are rounded down.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Labelled {
    /// The folder that the file lies in. Default: where the program runs.
    #[serde(default = "here")]
    pub dir: PathBuf,

    /// The table, in UTF-8.
    pub file: PathBuf,

    /// The fewest times that the training texts hold a word that has a number, at least 1. Default: 1.
    #[serde(default = "once")]
    pub min_count: Count,

    /// The share of the texts that is kept for validation. Default: 0.1.
    #[serde(default = "tenth")]
    pub validation: Fraction,
}

fn once() -> Count {
    Count::constant(1)
}

impl Labelled {
    fn table(&self) -> Result<Table, DataError> {
        let (path, text) = read(&self.dir, &self.file)?;
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let mut table = Table::default();
        for (row, (line, text)) in lines.enumerate() {
            let fault = |message| DataError::Line { path: path.clone(), line: line + 1, message };
            let (label, words) = label_and_words(text).map_err(fault)?;
            let share = |rows: usize| (rows as f64 * self.validation.get()).floor();
            let rows = match share(row + 1) > share(row) {
                true => &mut table.val,
                false => &mut table.train,
            };
            rows.texts.push(words);
            rows.labels.push(label);
        }
        table.check(&path)?;
        Ok(table)
    }
}

/// What a line says.
fn label_and_words(line: &str) -> Result<(String, Vec<String>), String> {
    let Some((label, text)) = line.split_once('\t') else {
        let shown: String = line.chars().take(24).collect();
        return Err(format!("expected `label<TAB>text`, found no tab in {shown:?}"));
    };
    let label = label.trim();
    if label.is_empty() {
        return Err("expected a label before the tab, found none".to_owned());
    }
    let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
    if words.is_empty() {
        return Err("expected a text after the tab, found no word".to_owned());
    }
    Ok((label.to_owned(), words))
}

/// The lines of the file.
#[derive(Default)]
struct Table {
    train: Rows,
    val: Rows,
}

#[derive(Default)]
struct Rows {
    texts: Vec<Vec<String>>,
    labels: Vec<String>,
}

impl Table {
    /// All labels, sorted.
    fn labels(&self) -> Vec<&str> {
        let all = self.train.labels.iter().chain(&self.val.labels).map(String::as_str);
        all.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Whether there is something to learn, and something to measure it on.
    fn check(&self, path: &Path) -> Result<(), DataError> {
        let fault = |message| Err(DataError::Labels { path: path.to_owned(), message });
        let (train, val) = (self.train.labels.len(), self.val.labels.len());
        match self.labels().as_slice() {
            [] => fault("holds no labelled text".to_owned()),
            [label] => fault(format!("has one label, `{label}`: there is nothing to tell apart")),
            _ if train == 0 || val == 0 => fault(format!(
                "has {train} texts for training and {val} for validation: expected at least one of each; change \
                 `validation` or give more texts"
            )),
            _ => Ok(()),
        }
    }

    /// The words of the training texts that come often enough, the commonest first.
    fn vocabulary(&self, min_count: usize, path: &Path) -> Result<Vocabulary, DataError> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for word in self.train.texts.iter().flatten() {
            *counts.entry(word).or_default() += 1;
        }
        let mut words: Vec<_> = counts.into_iter().filter(|(_, n)| *n >= min_count).collect();
        // The sort is stable, so that equally common words stay in alphabetical order.
        words.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let words = words.into_iter().map(|(word, _)| word);
        // Special words are in upper case, so that no word of a text is one of them.
        let words = Vocabulary::SPECIAL.into_iter().chain(words).map(str::to_owned);
        Vocabulary::new(words.collect())
            .map_err(|message| DataError::Vocabulary { path: path.to_owned(), message })
    }
}

#[typetag::serde]
impl Dataset for Labelled {
    fn sizes(&self) -> &'static [&'static str] {
        &["Vocabulary", "Classes"]
    }

    fn inputs(&self) -> &'static [Offer] {
        &[
            Offer { name: "words_in", shape: &["Batch", "Time"], tokens_below: Some("Vocabulary") },
            Offer { name: "labels", shape: &["Batch"], tokens_below: Some("Classes") },
        ]
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn peek(&self) -> Result<Vec<(&'static str, usize)>, DataError> {
        self.open().map(|source| source.sizes())
    }

    fn open(&self) -> Result<Box<dyn Source>, DataError> {
        let table = self.table()?;
        let vocabulary = table.vocabulary(self.min_count.as_usize(), &self.dir.join(&self.file))?;
        let labels = table.labels();
        let numbered = |rows: &Rows| Numbered::of(rows, &vocabulary, &labels);
        let (train, val) = (numbered(&table.train), numbered(&table.val));
        let classes = labels.len();
        Ok(Box::new(Texts { vocabulary, classes, train, val }))
    }
}

register!(Labelled in DATASET, example: "Labelled(dir: \"datasets/scenes\", file: \"labelled.tsv\")");

/// The texts of one split as numbers.
struct Numbered {
    texts: Vec<Vec<u32>>,
    labels: Vec<u32>,
}

impl Numbered {
    fn of(rows: &Rows, vocabulary: &Vocabulary, labels: &[&str]) -> Self {
        let number = |word: &String| vocabulary.index(word).unwrap_or(vocabulary.unknown());
        let texts = rows.texts.iter().map(|words| words.iter().map(number).collect()).collect();
        // Labels are sorted and all there, so that the partition point is the label's place.
        let label = |label: &String| labels.partition_point(|other| *other < label.as_str()) as u32;
        Numbered { texts, labels: rows.labels.iter().map(label).collect() }
    }
}

/// A table in memory.
struct Texts {
    vocabulary: Vocabulary,
    classes: usize,
    train: Numbered,
    val: Numbered,
}

impl Texts {
    fn split(&self, split: Split) -> &Numbered {
        match split {
            Split::Train => &self.train,
            Split::Val => &self.val,
        }
    }
}

impl Source for Texts {
    fn sizes(&self) -> Vec<(&'static str, usize)> {
        vec![("Vocabulary", self.vocabulary.len()), ("Classes", self.classes)]
    }

    fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    fn captions(&self, split: Split) -> usize {
        self.split(split).labels.len()
    }

    fn caption(&self, split: Split, row: usize) -> &[u32] {
        &self.split(split).texts[row]
    }

    fn image_of(&self, split: Split, row: usize) -> usize {
        self.split(split).labels[row] as usize
    }

    fn fill(&self, split: Split, rows: &[usize], batch: &mut Batch) {
        let Numbered { texts, labels } = self.split(split);
        let longest = rows.iter().map(|row| texts[*row].len()).max().unwrap_or(0);
        let words = batch.tokens_mut("words_in", &[rows.len(), longest]);
        for (to, row) in words.chunks_exact_mut(longest.max(1)).zip(rows) {
            to[..texts[*row].len()].copy_from_slice(&texts[*row]);
        }
        let to = batch.tokens_mut("labels", &[rows.len()]);
        to.iter_mut().zip(rows).for_each(|(to, row)| *to = labels[*row]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use engine_core::Elements;

    use super::*;

    fn table(content: &str, min_count: u64, validation: f64) -> (tempfile::TempDir, Labelled) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("t.tsv"), content).unwrap();
        let min_count = Count::constant(min_count);
        let validation = Fraction::new(validation).unwrap();
        let set = Labelled { dir: dir.path().into(), file: "t.tsv".into(), min_count, validation };
        (dir, set)
    }

    const TABLE: &str =
        "good\tA fine day\nbad\ta wet day\n\ngood\ta FINE and sunny one\nbad\train\n";

    #[test]
    fn rows_are_what_the_lines_say() {
        let (_dir, set) = table(TABLE, 2, 0.5);
        let source = set.open().unwrap();
        assert_eq!(set.peek().unwrap(), source.sizes());
        // Lines 0 and 2 are trained on: `a` and `fine` come twice.
        assert_eq!(source.sizes(), [("Vocabulary", 6), ("Classes", 2)]);
        assert_eq!(source.vocabulary().words().skip(4).collect::<Vec<_>>(), ["a", "fine"]);
        let mut batch = Batch::new();
        source.fill(Split::Train, &[1, 0], &mut batch);
        let tokens = |batch: &Batch, name| batch.get(name).unwrap().elements().clone();
        assert_eq!(batch.get("words_in").unwrap().shape(), [2, 5]);
        let words = Elements::Tokens(vec![4, 5, 3, 3, 3, 4, 5, 3, 0, 0]);
        assert_eq!(tokens(&batch, "words_in"), words);
        assert_eq!(tokens(&batch, "labels"), Elements::Tokens(vec![1, 1]));
        source.fill(Split::Val, &[0, 1], &mut batch);
        assert_eq!(tokens(&batch, "labels"), Elements::Tokens(vec![0, 0]));
        assert_eq!(batch.get("words_in").unwrap().shape(), [2, 3]);
        assert_eq!(source.image_of(Split::Val, 1), 0);
    }

    #[test]
    fn validation_is_spread_evenly() {
        let lines: String = (0..40).map(|i| format!("{}\tword{i}\n", i % 3)).collect();
        let (_dir, set) = table(&lines, 1, 0.1);
        let source = set.open().unwrap();
        assert_eq!((source.captions(Split::Train), source.captions(Split::Val)), (36, 4));
        assert_eq!(source.vocabulary().index("word9"), None);
        assert!(source.vocabulary().index("word8").is_some());
    }

    #[test]
    fn faults_say_their_line_and_what_to_write() {
        for (content, validation, expected) in [
            ("", 0.5, "holds no labelled text"),
            (
                "a\tone\nb two\n",
                0.5,
                "line 2: expected `label<TAB>text`, found no tab in \"b two\"",
            ),
            ("a\tone\n\n \ttwo\n", 0.5, "line 3: expected a label before the tab"),
            ("a\t \n", 0.5, "line 1: expected a text after the tab"),
            ("a\tone\na\ttwo\n", 0.5, "has one label, `a`"),
            ("a\tone\nb\ttwo\n", 0.1, "has 2 texts for training and 0 for validation"),
        ] {
            let (_dir, set) = table(content, 1, validation);
            let error = set.open().err().unwrap();
            assert!(error.to_string().contains(expected), "{error}");
            assert!(error.help().unwrap().contains("`label<TAB>text`"));
        }
    }
}
