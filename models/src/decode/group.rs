//! One beam of one image: which sentences go on, which have ended, and which cannot win any more.

use super::tree::{Place, Tree};

/// What is the same for every beam.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// Sentences that a beam holds.
    pub(super) places: usize,
    /// Sentences that it is asked for.
    pub(super) best: usize,
    /// The most words that a sentence has, `<END>` among them.
    pub(super) longest: usize,
    /// The exponent of the length penalty.
    pub(super) length_penalty: f64,
    /// Whether sentences that cannot be among the best any more are dropped.
    pub(super) prunes: bool,
}

impl Terms {
    /// What a sentence of this length and likelihood is ranked by at the end: ln p / lp, with
    /// lp = ((5 + length) / 6)^length_penalty (Wu et al. 2016, equation 14).
    pub(super) fn score(&self, log_probability: f64, length: usize) -> f64 {
        log_probability / ((5.0 + length as f64) / 6.0).powf(self.length_penalty)
    }

    /// What no sentence that goes on from one of this likelihood can surpass: every word makes it less likely, and the
    /// longest sentences are ranked the most mildly.
    fn bound(&self, log_probability: f64) -> f64 {
        self.score(log_probability, self.longest)
    }
}

/// A sentence that goes on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Open {
    pub(super) place: Place,
    /// What it is chosen by: ln p, less what likeness to other groups takes.
    pub(super) rank: f64,
    pub(super) log_probability: f64,
    /// Its last word.
    pub(super) word: u32,
    /// Its row in the batch; once it has been chosen, that of the sentence that it goes on from.
    pub(super) row: usize,
}

/// A word that a sentence could go on with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) from: Open,
    pub(super) word: u32,
    /// That of the word.
    pub(super) log_probability: f64,
    /// That of the sentence with it.
    pub(super) rank: f64,
}

/// A sentence that does not go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Done {
    pub(super) place: Place,
    pub(super) score: f64,
}

/// A beam.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// Sentences that go on, the best first.
    pub(super) open: Vec<Open>,
    /// The best that ended, the best first.
    pub(super) ended: Vec<Done>,
    /// Those that no allowed word could follow.
    cut: Vec<Done>,
    /// The ranks of sentences that ended and have a place, the best first.
    taken: Vec<f64>,
}

impl Group {
    /// A beam with the sentence that is `<START>` alone, in a row of the batch.
    pub(super) fn begin(start: u32, row: usize) -> Self {
        let open = Open { place: None, rank: 0.0, log_probability: 0.0, word: start, row };
        Group { open: vec![open], ..Group::default() }
    }

    /// A sentence goes no further than this, though it has not ended.
    pub(super) fn cut_off(&mut self, open: Open, terms: &Terms, tree: &Tree) {
        let score = terms.score(open.log_probability, tree.length(open.place));
        self.cut.push(Done { place: open.place, score });
    }

    /// Gives the places of the beam to the best of `candidates`, which are sorted, and of the sentences that ended
    /// before. Reports the words that were chosen to `chosen`.
    pub(super) fn advance(
        &mut self,
        candidates: &[Candidate],
        end: u32,
        terms: &Terms,
        tree: &mut Tree,
        mut chosen: impl FnMut(u32),
    ) {
        self.open.clear();
        let (mut taken, mut new) = (0, 0);
        while taken + new < terms.places {
            let candidate = candidates.get(new);
            match (self.taken.get(taken), candidate) {
                (None, None) => break,
                (Some(rank), Some(candidate)) if candidate.rank > *rank => new += 1,
                (Some(_), _) => taken += 1,
                (None, Some(_)) => new += 1,
            }
        }
        self.taken.truncate(taken);
        for candidate in &candidates[..new] {
            chosen(candidate.word);
            self.take(candidate, end, terms, tree);
        }
        if terms.prunes {
            self.prune(terms);
        }
    }

    /// Goes on with a word.
    fn take(&mut self, candidate: &Candidate, end: u32, terms: &Terms, tree: &mut Tree) {
        let Candidate { from, word, log_probability, rank } = *candidate;
        let place = tree.push(from.place, word, log_probability, from.row);
        let log_probability = from.log_probability + log_probability;
        if word != end {
            self.open.push(Open { place, rank, log_probability, word, row: from.row });
            return;
        }
        insert(&mut self.taken, rank, |rank| *rank);
        let score = terms.score(log_probability, tree.length(place));
        insert(&mut self.ended, Done { place, score }, |done| done.score);
        self.ended.truncate(terms.best);
    }

    /// Drops sentences that cannot be among the best any more. The others go on as they would have: a sentence takes
    /// places from less likely ones only, which cannot win either.
    fn prune(&mut self, terms: &Terms) {
        if let Some(last) = self.ended.get(terms.best - 1) {
            self.open.retain(|open| terms.bound(open.log_probability) > last.score);
        }
    }

    /// What it is asked for, the best first: sentences that ended come before those that were cut off.
    pub(super) fn finish(mut self, terms: &Terms, tree: &Tree) -> (Vec<Done>, Vec<Done>) {
        for open in std::mem::take(&mut self.open) {
            self.cut_off(open, terms, tree);
        }
        self.cut.sort_by(|a, b| b.score.total_cmp(&a.score));
        (self.ended, self.cut)
    }
}

/// Puts an item after those that are as good or better.
fn insert<T>(sorted: &mut Vec<T>, item: T, of: impl Fn(&T) -> f64) {
    let at = sorted.partition_point(|other| of(other) >= of(&item));
    sorted.insert(at, item);
}
