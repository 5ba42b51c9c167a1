//! The different indices of an array, each once.

/// The different words among many, in the order in which they first occur, and for each position which of them stands
/// there.
#[derive(Debug, Clone, Default)]
pub struct DistinctTokens {
    distinct: Vec<u32>,
    index: Vec<u32>,
    /// For every word of the vocabulary met so far, its place in `distinct`, or [`ABSENT`].
    places: Vec<u32>,
    /// Whether the different words are those of the whole vocabulary, whatever stands in the array.
    covers: bool,
}

const ABSENT: u32 = u32::MAX;

impl DistinctTokens {
    /// Forgets all words. Memory is kept.
    pub fn clear(&mut self) {
        for word in self.distinct.drain(..) {
            self.places[word as usize] = ABSENT;
        }
        self.index.clear();
        self.covers = false;
    }

    /// Takes all words of a vocabulary of this size as the different ones from now on, also those that do not stand in
    /// the array.
    pub fn cover(&mut self, vocabulary: usize) {
        self.clear();
        self.places.resize(vocabulary.max(self.places.len()), ABSENT);
        self.distinct.extend(0..vocabulary as u32);
        self.places[..vocabulary].copy_from_slice(&self.distinct);
        self.covers = true;
    }

    /// Whether the different words are those of the whole vocabulary.
    pub fn covers(&self) -> bool {
        self.covers
    }

    /// Takes on the words of an array. Memory is kept.
    pub fn collect(&mut self, words: &[u32]) {
        if self.covers {
            self.index.clear();
            self.index.extend_from_slice(words);
            return;
        }
        self.clear();
        for &word in words {
            let at = word as usize;
            if at >= self.places.len() {
                self.places.resize(at + 1, ABSENT);
            }
            if self.places[at] == ABSENT {
                self.places[at] = self.distinct.len() as u32;
                self.distinct.push(word);
            }
            self.index.push(self.places[at]);
        }
    }

    /// Makes room for so many positions of a vocabulary of this size, so that no array of them takes more; a vocabulary of
    /// unknown size counts as 0, and grows with the words that come.
    pub fn reserve(&mut self, positions: usize, vocabulary: usize) {
        self.index.reserve(positions.saturating_sub(self.index.len()));
        let most = positions.min(vocabulary);
        self.distinct.reserve(most.saturating_sub(self.distinct.len()));
        if vocabulary > self.places.len() {
            self.places.resize(vocabulary, ABSENT);
        }
    }

    /// The different words.
    pub fn distinct(&self) -> &[u32] {
        &self.distinct
    }

    /// For each position the place of its word in [`distinct`](Self::distinct).
    pub fn index(&self) -> &[u32] {
        &self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vocabulary_that_is_covered_stays() {
        let mut words = DistinctTokens::default();
        words.collect(&[4, 2, 4]);
        words.cover(6);
        for array in [&[3, 3, 0][..], &[5]] {
            words.collect(array);
            assert_eq!((words.distinct(), words.index()), (&[0, 1, 2, 3, 4, 5][..], array));
        }
        words.clear();
        words.collect(&[5, 1, 5]);
        assert_eq!((words.distinct(), words.index()), (&[5, 1][..], &[0, 1, 0][..]));
    }

    #[test]
    fn every_word_once_in_order_of_appearance() {
        let mut words = DistinctTokens::default();
        words.collect(&[7, 2, 7, 0, 2]);
        assert_eq!(words.distinct(), [7, 2, 0]);
        assert_eq!(words.index(), [0, 1, 0, 2, 1]);
        words.collect(&[2, 9]);
        assert_eq!((words.distinct(), words.index()), (&[2, 9][..], &[0, 1][..]));
        words.collect(&[]);
        assert!(words.distinct().is_empty() && words.index().is_empty());
    }
}
