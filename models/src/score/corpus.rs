//! Sentences that are scored, and those that they are scored against.

use std::collections::HashMap;
use std::sync::OnceLock;

use foldhash::fast::FixedState;
use rayon::prelude::*;

use super::ScoreError;
use super::ngrams::{GramIndex, Grams};
use super::stemming::Stems;

/// The references of each image, with what metrics count in them. Each count is taken once, when a metric first asks.
#[derive(Debug)]
pub struct References {
    words: Vec<String>,
    numbers: HashMap<String, u32, FixedState>,
    images: Vec<Vec<Vec<u32>>>,
    grams: OnceLock<ReferenceGrams>,
    stems: OnceLock<Stems>,
}

/// The n-grams of references.
#[derive(Debug)]
pub(crate) struct ReferenceGrams {
    /// All of them.
    pub(crate) index: GramIndex,
    /// Those of each reference of each image.
    pub(crate) images: Vec<Vec<Grams>>,
    /// In how many images' references each occurs.
    pub(crate) document_frequency: Vec<u32>,
}

impl References {
    /// These references: for each image some sentences, each a list of tokens.
    ///
    /// # Errors
    /// When there is no image, an image has no reference, or a reference no token.
    pub fn new<S: AsRef<str>>(images: &[Vec<Vec<S>>]) -> Result<Self, ScoreError> {
        let place = || "references".to_owned();
        if images.is_empty() {
            return Err(ScoreError::Empty { place: place() });
        }
        let mut references = References {
            words: Vec::new(),
            numbers: HashMap::default(),
            images: Vec::with_capacity(images.len()),
            grams: OnceLock::new(),
            stems: OnceLock::new(),
        };
        for (image, sentences) in images.iter().enumerate() {
            let image = image.to_string();
            if sentences.is_empty() {
                return Err(ScoreError::NoReferences { place: place(), image });
            }
            if let Some(at) = sentences.iter().position(Vec::is_empty) {
                let (number, text) = (at + 1, String::new());
                return Err(ScoreError::EmptyReference { place: place(), image, number, text });
            }
            let numbered = sentences.iter().map(|words| references.numbered(words)).collect();
            references.images.push(numbered);
        }
        Ok(references)
    }

    fn numbered<S: AsRef<str>>(&mut self, words: &[S]) -> Vec<u32> {
        words.iter().map(|word| self.number(word.as_ref())).collect()
    }

    fn number(&mut self, word: &str) -> u32 {
        if let Some(number) = self.numbers.get(word) {
            return *number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_owned());
        self.numbers.insert(word.to_owned(), number);
        number
    }

    /// The sentences of each image, as numbers of words.
    pub(crate) fn images(&self) -> &[Vec<Vec<u32>>] {
        &self.images
    }

    pub(crate) fn grams(&self) -> &ReferenceGrams {
        self.grams.get_or_init(|| {
            let sentences: Vec<&[u32]> = self.images.iter().flatten().map(Vec::as_slice).collect();
            let (index, grams) = GramIndex::new(&sentences);
            let mut grams = grams.into_iter();
            let images: Vec<Vec<Grams>> = self
                .images
                .iter()
                .map(|image| grams.by_ref().take(image.len()).collect())
                .collect();
            let document_frequency = document_frequency(&index, &images);
            ReferenceGrams { index, images, document_frequency }
        })
    }

    fn stems(&self) -> &Stems {
        self.stems.get_or_init(|| Stems::new(&self.words))
    }
}

fn document_frequency(index: &GramIndex, images: &[Vec<Grams>]) -> Vec<u32> {
    let mut frequency = vec![0; index.len()];
    // The last image, from 1, that an n-gram was counted for.
    let mut counted_for = vec![0; index.len()];
    for (image, references) in (1_u32..).zip(images) {
        for (gram, _) in references.iter().flat_map(|grams| &grams.counted) {
            let counted_for = &mut counted_for[*gram as usize];
            if *counted_for != image {
                *counted_for = image;
                frequency[*gram as usize] += 1;
            }
        }
    }
    frequency
}

/// A caption for each image that has references.
#[derive(Debug)]
pub struct Corpus<'r> {
    references: &'r References,
    candidates: Vec<Vec<u32>>,
    /// Words that no reference has; their numbers go on where those of references end.
    words: Vec<String>,
    grams: OnceLock<Vec<CandidateGrams>>,
    stems: OnceLock<Stems>,
}

/// A candidate's n-grams that references have, and for the others n less 1 and the count.
pub(crate) type CandidateGrams = (Grams, Vec<(usize, u32)>);

impl<'r> Corpus<'r> {
    /// These candidates, each a list of tokens, in the order of the references' images. An empty one scores 0.
    ///
    /// # Errors
    /// When there are not as many of them as images.
    pub fn new<S: AsRef<str>>(
        references: &'r References,
        candidates: &[Vec<S>],
    ) -> Result<Self, ScoreError> {
        let (images, captions) = (references.images.len(), candidates.len());
        if images != captions {
            return Err(ScoreError::Counts { images, captions });
        }
        let (mut words, mut numbers) = (Vec::new(), HashMap::<&str, u32, FixedState>::default());
        let mut number = |word| {
            *numbers.entry(word).or_insert_with(|| {
                words.push(str::to_owned(word));
                (references.words.len() + words.len() - 1) as u32
            })
        };
        let mut numbered =
            |word| references.numbers.get(word).copied().unwrap_or_else(|| number(word));
        let candidates = candidates
            .iter()
            .map(|words| words.iter().map(|word| numbered(word.as_ref())).collect())
            .collect();
        let (grams, stems) = (OnceLock::new(), OnceLock::new());
        Ok(Corpus { references, candidates, words, grams, stems })
    }

    /// The candidates, as numbers of words.
    pub(crate) fn candidates(&self) -> &[Vec<u32>] {
        &self.candidates
    }

    /// The references of each image, as numbers of words.
    pub(crate) fn references(&self) -> &'r [Vec<Vec<u32>>] {
        self.references.images()
    }

    pub(crate) fn reference_grams(&self) -> &'r ReferenceGrams {
        self.references.grams()
    }

    /// The n-grams of each candidate.
    pub(crate) fn grams(&self) -> &[CandidateGrams] {
        self.grams.get_or_init(|| {
            let index = &self.references.grams().index;
            self.candidates.par_iter().map(|words| index.of(words)).collect()
        })
    }

    /// The stems of all words.
    pub(crate) fn stems(&self) -> &Stems {
        self.stems.get_or_init(|| self.references.stems().with(&self.words))
    }

    /// What `score` says of each image, in order, computed by all threads.
    pub(crate) fn each<S: Send>(&self, score: impl Fn(usize) -> S + Sync + Send) -> Vec<S> {
        (0..self.candidates.len()).into_par_iter().map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_have_one_number_on_both_sides() {
        let references =
            References::new(&[vec![vec!["a", "b"]], vec![vec!["b"], vec!["c", "a"]]]).unwrap();
        let corpus = Corpus::new(&references, &[vec!["x", "b", "x"], vec![]]).unwrap();
        assert_eq!(corpus.references(), [vec![vec![0, 1]], vec![vec![1], vec![2, 0]]]);
        assert_eq!(corpus.candidates(), [vec![3, 1, 3], vec![]]);
        // a and b are in both images, c in one, pairs in one.
        let grams = corpus.reference_grams();
        let mut frequency = grams.document_frequency.clone();
        frequency.sort_unstable();
        assert_eq!(frequency, [1, 1, 1, 2, 2]);
    }

    #[test]
    fn what_cannot_be_scored_is_refused() {
        let none: [Vec<Vec<&str>>; 0] = [];
        assert!(matches!(References::new(&none), Err(ScoreError::Empty { .. })));
        assert!(matches!(
            References::new(&[vec![vec!["a"]], vec![]]),
            Err(ScoreError::NoReferences { image, .. }) if image == "1"
        ));
        assert!(matches!(
            References::new(&[vec![vec!["a"], vec![]]]),
            Err(ScoreError::EmptyReference { number: 2, .. })
        ));
        let references = References::new(&[vec![vec!["a"]]]).unwrap();
        assert!(matches!(
            Corpus::new::<&str>(&references, &[]),
            Err(ScoreError::Counts { images: 1, captions: 0 })
        ));
    }
}
