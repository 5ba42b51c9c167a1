//! The words of a data set's captions and their numbers.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::DataError;

/// The words and the numbers that stand for them in captions.
///
/// Word 0 is `<NULL>`, which fills captions up to a common length; `<START>` opens a caption, `<END>` closes it, and
/// `<UNK>` stands for a word that has no number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    numbers: HashMap<String, u32>,
    start: u32,
    end: u32,
    unknown: u32,
    /// What stands between two words in a sentence.
    space: &'static str,
}

/// `coco2014_vocab.json`.
#[derive(Serialize, Deserialize)]
struct Record {
    idx_to_word: Vec<String>,
    #[serde(default)]
    word_to_idx: Option<HashMap<String, i64>>,
}

impl Vocabulary {
    /// The four words that every vocabulary begins with when it is made here.
    pub const SPECIAL: [&str; 4] = ["<NULL>", "<START>", "<END>", "<UNK>"];

    /// Reads `coco2014_vocab.json`: the list `idx_to_word` and, if it is there, the map `word_to_idx`, which must agree.
    ///
    /// # Errors
    /// Where the file is missing or is not such JSON, where the two parts disagree, where a word comes twice, and where
    /// a special word is missing or `<NULL>` is not word 0.
    pub fn read(path: &Path) -> Result<Self, DataError> {
        let text = fs::read(path).map_err(|e| DataError::io("read", path, e))?;
        let record: Record =
            serde_json::from_slice(&text).map_err(|e| DataError::json(path, &e))?;
        let fault = |message| DataError::Vocabulary { path: path.to_owned(), message };
        let vocabulary = Self::new(record.idx_to_word).map_err(fault)?;
        if let Some(numbers) = record.word_to_idx {
            vocabulary.agrees_with(&numbers).map_err(fault)?;
        }
        Ok(vocabulary)
    }

    /// The vocabulary of these words, numbered in this order.
    ///
    /// # Errors
    /// What is wrong with the list, as a predicate of the vocabulary: "has no `<END>`".
    pub fn new(words: Vec<String>) -> Result<Self, String> {
        let mut numbers = HashMap::with_capacity(words.len());
        for (i, word) in words.iter().enumerate() {
            let number = u32::try_from(i).map_err(|_| "has too many words".to_owned())?;
            if let Some(first) = numbers.insert(word.clone(), number) {
                return Err(format!("has the word `{word}` twice, at {first} and at {i}"));
            }
        }
        let special = |word: &str| {
            numbers.get(word).copied().ok_or_else(|| {
                format!("has no word `{word}`; it needs {}", Self::SPECIAL.join(", "))
            })
        };
        let (null, start) = (special("<NULL>")?, special("<START>")?);
        let (end, unknown) = (special("<END>")?, special("<UNK>")?);
        if null != 0 {
            return Err(format!("has `<NULL>` at {null}, but captions are filled up with 0"));
        }
        Ok(Vocabulary { words, numbers, start, end, unknown, space: " " })
    }

    /// The characters of these texts as words, sorted, after the special ones. Nothing stands between them in a sentence.
    pub fn of_characters(text: &str) -> Self {
        let characters: BTreeSet<char> = text.chars().collect();
        let characters = characters.into_iter().map(String::from);
        let words = Self::SPECIAL.into_iter().map(str::to_owned).chain(characters).collect();
        let spaced = Self::new(words).expect("the special words come first, and characters differ");
        Vocabulary { space: "", ..spaced }
    }

    /// The words that a text is made of: what white space separates, or every character.
    pub fn split<'a>(&self, text: &'a str) -> Vec<&'a str> {
        match self.space {
            "" => text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]).collect(),
            _ => text.split_whitespace().collect(),
        }
    }

    fn agrees_with(&self, numbers: &HashMap<String, i64>) -> Result<(), String> {
        for (i, word) in self.words.iter().enumerate() {
            match numbers.get(word) {
                Some(number) if *number == i as i64 => {}
                Some(number) => {
                    return Err(format!(
                        "contradicts itself: `idx_to_word` has `{word}` at {i}, `word_to_idx` says \
                         {number}"
                    ));
                }
                None => {
                    return Err(format!(
                        "contradicts itself: `word_to_idx` lacks `{word}`, which `idx_to_word` has \
                         at {i}"
                    ));
                }
            }
        }
        // The smallest, so that the message does not depend on the order of a hash table.
        let extra = numbers.keys().filter(|word| !self.numbers.contains_key(*word)).min();
        match extra {
            Some(word) => Err(format!(
                "contradicts itself: `word_to_idx` has `{word}`, which `idx_to_word` lacks"
            )),
            None => Ok(()),
        }
    }

    /// As the text of `coco2014_vocab.json`. The same words give the same text.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Sorted<'a> {
            idx_to_word: &'a [String],
            word_to_idx: std::collections::BTreeMap<&'a str, u32>,
        }
        let record = Sorted {
            idx_to_word: &self.words,
            word_to_idx: self.numbers.iter().map(|(word, i)| (word.as_str(), *i)).collect(),
        };
        serde_json::to_string(&record).expect("every key is a text")
    }

    /// Writes `coco2014_vocab.json`.
    pub(crate) fn write(&self, path: &Path) -> Result<(), DataError> {
        fs::write(path, self.to_json()).map_err(|e| DataError::io("write", path, e))
    }

    /// The number of words, the special ones included.
    pub fn len(&self) -> usize {
        self.words.len()
    }

    /// Never: a vocabulary has at least its special words.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// `<NULL>`, which fills a caption up.
    pub fn null(&self) -> u32 {
        0
    }

    /// `<START>`, the first token of every caption.
    pub fn start(&self) -> u32 {
        self.start
    }

    /// `<END>`, the last token of every caption.
    pub fn end(&self) -> u32 {
        self.end
    }

    /// `<UNK>`, for a word without a number.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// The word with this number.
    pub fn word(&self, number: u32) -> Option<&str> {
        self.words.get(number as usize).map(String::as_str)
    }

    /// The number of this word.
    pub fn index(&self, word: &str) -> Option<u32> {
        self.numbers.get(word).copied()
    }

    /// All words in the order of their numbers.
    pub fn words(&self) -> impl ExactSizeIterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The tokens of a caption that a reader sees: up to `<END>`, without `<NULL>` and a leading `<START>`.
    pub fn visible<'a>(&self, tokens: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
        let (end, null) = (self.end, self.null());
        let tokens = match tokens {
            [first, rest @ ..] if *first == self.start => rest,
            all => all,
        };
        tokens.iter().copied().take_while(move |t| *t != end).filter(move |t| *t != null)
    }

    /// The sentence that these tokens spell, with single spaces, or with none if words are characters. A number without a word reads `<UNK>`.
    ///
    /// It ends before `<END>`, and leaves `<NULL>` and a leading `<START>` out.
    pub fn decode(&self, tokens: &[u32]) -> String {
        let words = self.visible(tokens).map(|token| self.word(token).unwrap_or("<UNK>"));
        words.collect::<Vec<_>>().join(self.space)
    }

    /// `<START>`, the numbers of a sentence's words, `<END>`. Unknown words become `<UNK>`.
    pub fn encode(&self, sentence: &str) -> Vec<u32> {
        let words = self.split(sentence).into_iter();
        let words = words.map(|word| self.index(word).unwrap_or(self.unknown));
        std::iter::once(self.start).chain(words).chain([self.end]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(more: &[&str]) -> Vec<String> {
        Vocabulary::SPECIAL.iter().chain(more).map(|w| (*w).to_owned()).collect()
    }

    fn read(text: &str) -> Result<Vocabulary, DataError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("coco2014_vocab.json");
        fs::write(&path, text).unwrap();
        Vocabulary::read(&path)
    }

    #[test]
    fn sentences_end_at_end() {
        let v = Vocabulary::new(words(&["a", "cat"])).unwrap();
        assert_eq!(v.decode(&[1, 4, 5, 2, 4, 0]), "a cat");
        assert_eq!(v.decode(&[4, 0, 5]), "a cat");
        assert_eq!(v.decode(&[1, 3, 99]), "<UNK> <UNK>");
        assert_eq!(v.decode(&[]), "");
        assert_eq!(v.decode(&[1, 1, 2]), "<START>");
        assert_eq!(v.encode("a dog"), [1, 4, 3, 2]);
        assert_eq!((v.null(), v.start(), v.end(), v.unknown()), (0, 1, 2, 3));
        assert_eq!((v.len(), v.word(5), v.index("cat")), (6, Some("cat"), Some(5)));
    }

    #[test]
    fn characters_are_words_without_spaces() {
        let v = Vocabulary::of_characters("bä b\n");
        assert_eq!(v.words().skip(4).collect::<Vec<_>>(), ["\n", " ", "b", "ä"]);
        assert_eq!(v.split("äb c"), ["ä", "b", " ", "c"]);
        assert_eq!(v.encode("ä c"), [1, 7, 5, 3, 2]);
        assert_eq!(v.decode(&[6, 5, 7]), "b ä");
    }

    #[test]
    fn written_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("v.json");
        let v = Vocabulary::new(words(&["a", "\"quoted\"", "ü"])).unwrap();
        v.write(&path).unwrap();
        assert_eq!(Vocabulary::read(&path).unwrap(), v);
    }

    #[test]
    fn the_map_may_be_absent() {
        let v = read(r#"{"idx_to_word": ["<NULL>", "<START>", "<END>", "<UNK>", "a"]}"#).unwrap();
        assert_eq!(v.index("a"), Some(4));
    }

    #[test]
    fn faults_are_named() {
        for (text, expected) in [
            ("{\n  \"idx_to_word\": [1]\n}", "line 2, column 19"),
            ("{", "line 1, column 1"),
            ("{}", "missing field `idx_to_word`"),
            (r#"{"idx_to_word": ["<NULL>", "<START>", "<UNK>"]}"#, "no word `<END>`"),
            (r#"{"idx_to_word": ["<START>", "<NULL>", "<END>", "<UNK>"]}"#, "`<NULL>` at 1"),
            (
                r#"{"idx_to_word": ["<NULL>", "<START>", "<END>", "<UNK>", "a", "a"]}"#,
                "`a` twice, at 4 and at 5",
            ),
            (
                r#"{"idx_to_word": ["<NULL>", "<START>", "<END>", "<UNK>"],
                    "word_to_idx": {"<NULL>": 0, "<START>": 2, "<END>": 1, "<UNK>": 3}}"#,
                "`<START>` at 1, `word_to_idx` says 2",
            ),
            (
                r#"{"idx_to_word": ["<NULL>", "<START>", "<END>", "<UNK>"],
                    "word_to_idx": {"<NULL>": 0, "<START>": 1, "<END>": 2}}"#,
                "lacks `<UNK>`",
            ),
            (
                r#"{"idx_to_word": ["<NULL>", "<START>", "<END>", "<UNK>"],
                    "word_to_idx": {"<NULL>": 0, "<START>": 1, "<END>": 2, "<UNK>": 3, "b": 4}}"#,
                "has `b`",
            ),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error} should contain {expected}");
            assert!(error.contains("coco2014_vocab.json"), "{error}");
        }
    }
}
