//! Words without their endings.

use std::collections::HashMap;

use rust_stemmers::{Algorithm, Stemmer};

/// The stem of each word as a number: words with the same stem have the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stems {
    numbers: HashMap<String, u32>,
    of_words: Vec<u32>,
}

impl Stems {
    /// The stems of these words, by Snowball's English stemmer.
    pub(crate) fn new(words: &[String]) -> Self {
        Stems::default().with(words)
    }

    /// These stems, and those of more words, whose numbers go on where these end.
    pub(crate) fn with(&self, words: &[String]) -> Self {
        let stemmer = Stemmer::create(Algorithm::English);
        let mut stems = self.clone();
        for word in words {
            let next = stems.numbers.len() as u32;
            let number = *stems.numbers.entry(stemmer.stem(word).into_owned()).or_insert(next);
            stems.of_words.push(number);
        }
        stems
    }

    /// The stem of a word.
    pub(crate) fn of(&self, word: u32) -> u32 {
        self.of_words[word as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_word_have_one_stem() {
        let words = ["riding", "rides", "ride", "rider", "dog"].map(str::to_owned);
        let stems = Stems::new(&words[..2]).with(&words[2..]);
        assert_eq!(stems.of(0), stems.of(1));
        assert_eq!(stems.of(0), stems.of(2));
        assert_ne!(stems.of(0), stems.of(3));
        assert_ne!(stems.of(0), stems.of(4));
    }
}
