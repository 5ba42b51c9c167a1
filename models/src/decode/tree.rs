//! Sentences that share their beginnings.

use super::Hypothesis;

/// Sentences as a tree: a sentence is the way from its last word back to the first.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
}

/// A place in the tree, which stands for the words up to it; `None` is the sentence without words.
pub(super) type Place = Option<usize>;

#[derive(Debug)]
struct Node {
    before: Place,
    word: u32,
    log_probability: f64,
    length: usize,
    /// The row of the batch in which the word was chosen.
    row: usize,
}

impl Tree {
    /// Goes on from a place with a word.
    pub(super) fn push(
        &mut self,
        before: Place,
        word: u32,
        log_probability: f64,
        row: usize,
    ) -> Place {
        let length = self.length(before) + 1;
        self.nodes.push(Node { before, word, log_probability, length, row });
        Some(self.nodes.len() - 1)
    }

    /// How many words there are up to a place.
    pub(super) fn length(&self, place: Place) -> usize {
        place.map_or(0, |at| self.nodes[at].length)
    }

    /// The words up to a place, in place of what `words` holds.
    pub(super) fn read(&self, place: Place, words: &mut Vec<u32>) {
        words.clear();
        words.extend(self.back_from(place).map(|node| node.word));
        words.reverse();
    }

    /// The sentence up to a place. `attention` has what the network attended to in a row of a step.
    pub(super) fn hypothesis(
        &self,
        place: Place,
        score: f64,
        attention: impl Fn(usize, usize) -> Option<Vec<f32>>,
    ) -> Hypothesis {
        let mut tokens = Vec::with_capacity(self.length(place));
        self.read(place, &mut tokens);
        let mut log_probabilities: Vec<f64> =
            self.back_from(place).map(|node| node.log_probability).collect();
        log_probabilities.reverse();
        let attention = self.back_from(place).map(|node| attention(node.length - 1, node.row));
        let mut attention: Vec<Vec<f32>> = attention.flatten().collect();
        attention.reverse();
        Hypothesis { tokens, log_probabilities, score, attention }
    }

    fn back_from(&self, place: Place) -> impl Iterator<Item = &Node> {
        let node = |at: usize| &self.nodes[at];
        std::iter::successors(place.map(node), move |at| at.before.map(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_read_from_their_beginning() {
        let mut tree = Tree::default();
        let a = tree.push(None, 7, -1.0, 0);
        let b = tree.push(a, 8, -2.0, 1);
        tree.push(a, 9, -3.0, 2);
        let c = tree.push(b, 5, -4.0, 3);
        let found = tree.hypothesis(c, -6.0, |step, row| Some(vec![step as f32, row as f32]));
        assert_eq!((&found.tokens[..], found.score), (&[7, 8, 5][..], -6.0));
        assert_eq!(found.log_probabilities, [-1.0, -2.0, -4.0]);
        assert_eq!(found.attention, [[0.0, 0.0], [1.0, 1.0], [2.0, 3.0]]);
        assert_eq!((tree.length(None), tree.length(c)), (0, 3));
        assert_eq!(tree.hypothesis(None, 0.0, |_, _| None), Hypothesis::default());
    }
}
