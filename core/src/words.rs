//! The different indices of an array, each once.

/// The different words among many, in the order in which they first occur, and for each position which of them stands
/// there.
#[derive(Debug, Clone, Default)]
pub struct Words {
    distinct: Vec<u32>,
    index: Vec<u32>,
    /// For every word of the vocabulary met so far, its place in `distinct`, or [`ABSENT`].
    places: Vec<u32>,
}

const ABSENT: u32 = u32::MAX;

impl Words {
    /// Takes on the words of an array. Memory is kept.
    pub fn collect(&mut self, words: &[u32]) {
        for word in self.distinct.drain(..) {
            self.places[word as usize] = ABSENT;
        }
        self.index.clear();
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
    fn every_word_once_in_order_of_appearance() {
        let mut words = Words::default();
        words.collect(&[7, 2, 7, 0, 2]);
        assert_eq!(words.distinct(), [7, 2, 0]);
        assert_eq!(words.index(), [0, 1, 0, 2, 1]);
        words.collect(&[2, 9]);
        assert_eq!((words.distinct(), words.index()), (&[2, 9][..], &[0, 1][..]));
        words.collect(&[]);
        assert!(words.distinct().is_empty() && words.index().is_empty());
    }
}
