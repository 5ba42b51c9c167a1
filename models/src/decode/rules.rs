//! What must not be written, whatever the network makes of it.

use engine_core::field::Count;
use engine_datasets::Vocabulary;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DecodeError;

/// What must not be written. A word that is ruled out counts as if its probability were 0; those of the others, and the
/// probabilities that are reported, stay as the network has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("format" = "(ban: [word, ..], block_ngrams: whole number)"))]
pub struct Rules {
    /// Words that are never written, such as `<UNK>`. Default: none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ban: Vec<String>,
    /// So many words in a row come at most once in a sentence (Paulus et al. 2017). Default: they may come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_ngrams: Option<Count>,
}

impl Rules {
    /// Whether they rule nothing out.
    pub fn is_empty(&self) -> bool {
        *self == Rules::default()
    }

    /// The rules in the numbers of a vocabulary. `<NULL>` and `<START>`, which are no words of a sentence, are ruled out
    /// as well.
    ///
    /// # Errors
    /// When a word to ban is not in the vocabulary or has a meaning of its own, or when no word is left.
    pub(super) fn of(&self, vocabulary: &Vocabulary) -> Result<Writable, DecodeError> {
        let end = vocabulary.end();
        let marks = [vocabulary.null(), vocabulary.start()];
        let mut allowed = vec![true; vocabulary.len()];
        for word in &self.ban {
            match vocabulary.index(word) {
                Some(at) if at == end || marks.contains(&at) => {
                    return Err(DecodeError::BanOfMark { word: word.clone(), ends: at == end });
                }
                Some(at) => allowed[at as usize] = false,
                None => return Err(DecodeError::unknown_ban(word, vocabulary)),
            }
        }
        marks.iter().for_each(|mark| allowed[*mark as usize] = false);
        if (0..).zip(&allowed).all(|(word, allowed)| word == end || !allowed) {
            return Err(DecodeError::NothingLeft { words: vocabulary.len() });
        }
        let ngram = self.block_ngrams.map(Count::as_usize);
        Ok(Writable { allowed, ngram, end })
    }
}

/// [`Rules`] in the numbers of a vocabulary.
#[derive(Debug, Clone)]
pub(super) struct Writable {
    /// For each word whether it can be written at all.
    allowed: Vec<bool>,
    ngram: Option<usize>,
    end: u32,
}

/// What can follow on one sentence.
#[derive(Debug, Clone, Copy)]
pub(super) struct Next<'a> {
    writable: &'a Writable,
    /// Words that its own words rule out.
    repeats: &'a [u32],
    /// Whether it may end.
    may_end: bool,
}

impl Writable {
    /// Whether what can follow depends on the words so far.
    pub(super) fn looks_back(&self) -> bool {
        self.ngram.is_some()
    }

    /// The words that would repeat words of a sentence, in place of what `repeats` holds.
    pub(super) fn find_repeats(&self, sentence: &[u32], repeats: &mut Vec<u32>) {
        repeats.clear();
        let Some(n) = self.ngram.filter(|n| sentence.len() >= *n) else { return };
        let last = &sentence[sentence.len() + 1 - n..];
        let same = sentence.windows(n).filter(|words| words[..n - 1] == *last);
        repeats.extend(same.map(|words| words[n - 1]));
    }

    /// What can follow where these words would be repeats.
    pub(super) fn next<'a>(&'a self, repeats: &'a [u32], may_end: bool) -> Next<'a> {
        Next { writable: self, repeats, may_end }
    }
}

impl Next<'_> {
    /// Whether a word can follow.
    #[inline]
    pub(super) fn allows(&self, word: u32) -> bool {
        let Next { writable, repeats, may_end } = *self;
        writable.allowed[word as usize]
            && (may_end || word != writable.end)
            && !repeats.contains(&word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary() -> Vocabulary {
        let words = Vocabulary::SPECIAL.into_iter().chain(["cat", "dog", "tree"]);
        Vocabulary::new(words.map(str::to_owned).collect()).unwrap()
    }

    fn rules(ban: &[&str], block_ngrams: Option<u64>) -> Rules {
        let block_ngrams = block_ngrams.map(Count::constant);
        Rules { ban: ban.iter().map(|word| (*word).to_owned()).collect(), block_ngrams }
    }

    #[test]
    fn what_is_banned_does_not_come() {
        let writable = rules(&["dog", "<UNK>"], None).of(&vocabulary()).unwrap();
        let all = |may_end| {
            let next = writable.next(&[6], may_end);
            (0..7).filter(|word| next.allows(*word)).collect::<Vec<_>>()
        };
        assert_eq!(all(true), [2, 4]);
        assert_eq!(all(false), [4]);
    }

    #[test]
    fn repeats_are_what_followed_before() {
        let mut repeats = vec![9];
        let cases: [(u64, &[u32], &[u32]); 7] = [
            (1, &[], &[]),
            (1, &[4, 5, 4], &[4, 5, 4]),
            (2, &[4], &[]),
            (2, &[4, 5, 4], &[5]),
            (2, &[4, 4], &[4]),
            (3, &[4, 5, 6, 4, 5], &[6]),
            (3, &[4, 5], &[]),
        ];
        for (n, sentence, right) in cases {
            let writable = rules(&[], Some(n)).of(&vocabulary()).unwrap();
            writable.find_repeats(sentence, &mut repeats);
            assert_eq!(repeats, right, "{n}, {sentence:?}");
        }
    }

    #[test]
    fn bans_that_cannot_be_are_refused() {
        let error = |ban: &[&str]| rules(ban, None).of(&vocabulary()).unwrap_err();
        let help = miette::Diagnostic::help(&error(&["dgo"])).unwrap().to_string();
        assert!(help.contains("`dog`"), "{help}");
        for mark in ["<NULL>", "<START>", "<END>"] {
            assert!(error(&[mark]).to_string().contains(mark));
        }
        let all = error(&["cat", "dog", "tree", "<UNK>"]);
        assert_eq!(all, DecodeError::NothingLeft { words: 7 });
    }
}
