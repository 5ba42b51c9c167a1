//! The n-grams of sentences, for n from 1 to 4, and how often they occur.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::FixedState;
use rayon::prelude::*;

/// The longest n-grams.
pub(crate) const LONGEST: usize = 4;

/// An n-gram as one number: each word in 32 bits, plus one, so that 0 is no word.
type Key = u128;

/// An n-gram by its number, and how often a sentence has it.
pub(crate) type Counted = (u32, u32);

/// A sentence's n-grams, each once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Grams {
    /// By number.
    pub(crate) counted: Vec<Counted>,
}

impl Grams {
    /// How often it has an n-gram.
    pub(crate) fn count(&self, gram: u32) -> u32 {
        let at = self.counted.binary_search_by_key(&gram, |(gram, _)| *gram);
        at.map_or(0, |at| self.counted[at].1)
    }
}

/// The n-grams of all references, numbered.
#[derive(Debug, Default)]
pub(crate) struct GramIndex {
    numbers: HashMap<Key, u32, FixedState>,
    orders: Vec<u8>,
}

impl GramIndex {
    /// Numbers the n-grams of these sentences in the order in which they come up first.
    pub(crate) fn new(sentences: &[&[u32]]) -> (Self, Vec<Grams>) {
        let keys: Vec<Vec<(Key, u32)>> = sentences.par_iter().map(|words| keys(words)).collect();
        let mut index = GramIndex::default();
        let number = |keys: Vec<(Key, u32)>, index: &mut GramIndex| {
            let counted = keys.into_iter().map(|(key, count)| (index.number(key), count));
            sorted(counted.collect())
        };
        let grams = keys.into_iter().map(|keys| number(keys, &mut index)).collect();
        (index, grams)
    }

    fn number(&mut self, key: Key) -> u32 {
        // Numbers are fewer than words of references, which memory keeps below 2^32.
        let next = self.orders.len() as u32;
        match self.numbers.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                self.orders.push(order(key) as u8);
                *entry.insert(next)
            }
        }
    }

    /// The number of different n-grams.
    pub(crate) fn len(&self) -> usize {
        self.orders.len()
    }

    /// n, less 1.
    pub(crate) fn order(&self, gram: u32) -> usize {
        self.orders[gram as usize].into()
    }

    /// The n-grams of a candidate: those that references have, and for each n the counts of those that they lack.
    pub(crate) fn of(&self, words: &[u32]) -> (Grams, Vec<(usize, u32)>) {
        let (mut known, mut unknown) = (Vec::new(), Vec::new());
        for (key, count) in keys(words) {
            match self.numbers.get(&key) {
                Some(gram) => known.push((*gram, count)),
                None => unknown.push((order(key), count)),
            }
        }
        (sorted(known), unknown)
    }
}

fn sorted(mut counted: Vec<Counted>) -> Grams {
    counted.sort_unstable();
    Grams { counted }
}

/// The n-grams of a sentence with their counts, in order.
fn keys(words: &[u32]) -> Vec<(Key, u32)> {
    let mut keys = Vec::with_capacity(LONGEST * words.len());
    for n in 1..=LONGEST {
        let key =
            |gram: &[u32]| gram.iter().fold(0, |key, word| key << 32 | (Key::from(*word) + 1));
        keys.extend(words.windows(n).map(key));
    }
    keys.sort_unstable();
    keys.chunk_by(|a, b| a == b).map(|same| (same[0], same.len() as u32)).collect()
}

/// n of a key, less 1.
fn order(key: Key) -> usize {
    (Key::BITS - key.leading_zeros()).div_ceil(32) as usize - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_a_naive_count() {
        let sentences: [&[u32]; 3] = [&[1, 2, 1, 2, 1], &[], &[2, 1]];
        let (index, grams) = GramIndex::new(&sentences);
        // 1 2 | 12 21 | 121 212 | 1212 2121
        assert_eq!(index.len(), 8);
        let mut counts = [const { Vec::new() }; LONGEST];
        for (gram, count) in &grams[0].counted {
            counts[index.order(*gram)].push(*count);
        }
        counts.iter_mut().for_each(|counts| counts.sort_unstable());
        assert_eq!(counts, [vec![2, 3], vec![2, 2], vec![1, 2], vec![1, 1]]);
        assert!(grams[1].counted.is_empty());
        let (known, unknown) = index.of(&[2, 1, 7]);
        assert_eq!(known.counted, grams[2].counted);
        assert_eq!(unknown, [(0, 1), (1, 1), (2, 1)]);
        assert!(known.counted.iter().all(|(gram, _)| grams[0].count(*gram) > 0));
    }
}
