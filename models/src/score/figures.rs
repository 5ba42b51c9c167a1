//! What captions are like, whatever the references say.

use std::collections::BTreeSet;

/// Words, lengths and repetition of a set of captions.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// Captions, empty ones included.
    pub captions: usize,
    /// Captions without words.
    pub empty: usize,
    /// Different words that they use.
    pub words: usize,
    /// Of these, those that the data set knows, and how many it knows; without a data set, none.
    pub of_vocabulary: Option<(usize, usize)>,
    /// Words of the shortest caption.
    pub shortest: usize,
    /// Words of the caption in the middle; of an even number the shorter of the two.
    pub median: usize,
    /// Words of the longest caption.
    pub longest: usize,
    /// Words a caption, on average.
    pub mean: f64,
    /// Different captions.
    pub distinct: usize,
    /// Captions that training has not seen; without a data set, none.
    pub novel: Option<usize>,
}

impl Figures {
    /// The figures of these captions, each a list of tokens.
    pub fn new(captions: &[Vec<String>]) -> Self {
        let mut lengths: Vec<usize> = captions.iter().map(Vec::len).collect();
        lengths.sort_unstable();
        let all: usize = lengths.iter().sum();
        Figures {
            captions: captions.len(),
            empty: lengths.iter().filter(|length| **length == 0).count(),
            words: words(captions).len(),
            of_vocabulary: None,
            shortest: lengths.first().copied().unwrap_or(0),
            median: lengths.get(lengths.len().saturating_sub(1) / 2).copied().unwrap_or(0),
            longest: lengths.last().copied().unwrap_or(0),
            mean: all as f64 / lengths.len().max(1) as f64,
            distinct: captions.iter().collect::<BTreeSet<_>>().len(),
            novel: None,
        }
    }

    /// With the words that the data set knows and the captions that training has seen.
    pub fn against<'a>(
        mut self,
        captions: &[Vec<String>],
        vocabulary: impl Iterator<Item = &'a str>,
        seen: &BTreeSet<Vec<String>>,
    ) -> Self {
        let known: BTreeSet<&str> = vocabulary.collect();
        let used = words(captions).into_iter().filter(|word| known.contains(word)).count();
        self.of_vocabulary = Some((used, known.len()));
        self.novel = Some(captions.iter().filter(|caption| !seen.contains(*caption)).count());
        self
    }
}

fn words(captions: &[Vec<String>]) -> BTreeSet<&str> {
    captions.iter().flatten().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(captions: &[&str]) -> Vec<Vec<String>> {
        captions.iter().map(|caption| super::super::spaced(caption)).collect()
    }

    #[test]
    fn figures_by_hand() {
        let captions = split(&["a dog", "a dog", "a big red cat", ""]);
        let seen = split(&["a dog"]).into_iter().collect();
        let figures =
            Figures::new(&captions).against(&captions, ["a", "dog", "bus"].into_iter(), &seen);
        let expected = Figures {
            captions: 4,
            empty: 1,
            words: 5,
            of_vocabulary: Some((2, 3)),
            shortest: 0,
            median: 2,
            longest: 4,
            mean: 2.0,
            distinct: 3,
            novel: Some(2),
        };
        assert_eq!(figures, expected);
        assert_eq!(Figures::new(&[]).mean, 0.0);
    }
}
