//! Beam search: the likeliest sentences, several at a time.
//!
//! Every image has groups of sentences that go on; a group is a beam, and one group is all there is without diversity. At
//! each step every sentence is scored with every word, and the best of all continuations and of the sentences that have
//! ended share the places of the group. So a sentence that has ended keeps its place as long as it is among the best.
//!
//! Only the work that can matter is done. The first step has a row an image, for all its sentences are the same one. A
//! sentence is dropped once enough sentences have ended that none of its continuations can surpass. Images without open
//! sentences leave the batch.

use engine_core::Scalar;
use engine_kernels::team;
use ndarray::ArrayView2;

use super::group::{Candidate, Done, Group, Terms};
use super::probability::{Normalizer, ROWS};
use super::rules::Writable;
use super::top_k::{Scored, top_k};
use super::tree::{Place, Tree};
use super::{Context, DecodeError, Hypothesis, WordModel};

/// What is searched for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Search<'a> {
    pub(super) terms: Terms,
    /// Groups of an image, each with all the places that the terms say.
    pub(super) groups: usize,
    /// Sentences of an image.
    pub(super) best: usize,
    /// The least length of a sentence, `<END>` counted.
    pub(super) shortest: usize,
    /// What a word's rank loses for each group before that chose it at the same step.
    pub(super) diversity: f64,
    pub(super) writable: &'a Writable,
}

impl Search<'_> {
    /// Writes sentences for each row.
    pub(super) fn run<T: Scalar>(
        &self,
        model: &mut WordModel<'_, T>,
        context: &Context<'_>,
    ) -> Result<Vec<Vec<Hypothesis>>, DecodeError> {
        let images = context.places.len();
        model.begin(context.batch, images)?;
        let mut beams = Beams::new(images, self.groups, model.start);
        let mut continuations = Continuations::default();
        let mut words = vec![model.start; images];
        for length in 1..=self.terms.longest {
            let scores = model.next(&words)?;
            continuations.find(scores, self, &beams, length >= self.shortest);
            let rows = beams.advance(self, &continuations, model.end, &mut words);
            if rows.is_empty() {
                break;
            }
            model.select(rows);
        }
        Ok(beams.finish(self, |step, row| model.attention(step, row)))
    }

    /// How many continuations of one sentence can matter: as many as there are places, and as many more as other groups
    /// can push back.
    fn room(&self) -> usize {
        self.terms.places * if self.diversity > 0.0 { self.groups } else { 1 }
    }
}

/// The beams of all images.
struct Beams {
    tree: Tree,
    /// The groups of the first image, then those of the second, ..
    groups: Vec<Group>,
    /// The sentence in each row of the batch.
    sentences: Vec<Place>,
    /// For each new row the row that it goes on from.
    rows: Vec<usize>,
    candidates: Vec<Candidate>,
    /// Words that groups of the same image have chosen at this step.
    chosen: Vec<u32>,
}

impl Beams {
    fn new(images: usize, groups: usize, start: u32) -> Self {
        Beams {
            tree: Tree::default(),
            groups: (0..images * groups).map(|at| Group::begin(start, at / groups)).collect(),
            sentences: vec![None; images],
            rows: Vec::new(),
            candidates: Vec::new(),
            chosen: Vec::new(),
        }
    }

    /// Takes all beams a step further. Returns the rows that go on, and writes the word of each to `words`.
    fn advance<T: Scalar>(
        &mut self,
        search: &Search<'_>,
        continuations: &Continuations<T>,
        end: u32,
        words: &mut Vec<u32>,
    ) -> &[usize] {
        let Beams { tree, groups, sentences, rows, candidates, chosen } = self;
        rows.clear();
        words.clear();
        sentences.clear();
        for image in groups.chunks_mut(search.groups) {
            chosen.clear();
            for group in image {
                candidates.clear();
                for at in 0..group.open.len() {
                    let open = group.open[at];
                    let found = continuations.of(open.row);
                    if found.is_empty() {
                        group.cut_off(open, &search.terms, tree);
                    }
                    candidates.extend(found.iter().map(|found| {
                        let others = chosen.iter().filter(|word| **word == found.word).count();
                        let rank = found.log_probability - search.diversity * others as f64;
                        let (word, log_probability) = (found.word, found.log_probability);
                        Candidate { from: open, word, log_probability, rank: open.rank + rank }
                    }));
                }
                // Equal ones stay in the order of their sentences and of the vocabulary.
                candidates.sort_by(|a, b| b.rank.total_cmp(&a.rank));
                group.advance(candidates, end, &search.terms, tree, |word| chosen.push(word));
                for open in &mut group.open {
                    rows.push(open.row);
                    open.row = rows.len() - 1;
                    sentences.push(open.place);
                    words.push(open.word);
                }
            }
        }
        rows
    }

    /// The best sentences of each image.
    fn finish(
        self,
        search: &Search<'_>,
        attention: impl Fn(usize, usize) -> Option<Vec<f32>>,
    ) -> Vec<Vec<Hypothesis>> {
        let Beams { tree, groups, .. } = self;
        let mut all = Vec::with_capacity(groups.len() / search.groups);
        let mut groups = groups.into_iter().map(|group| group.finish(&search.terms, &tree));
        while groups.len() > 0 {
            let (mut ended, mut cut) = (Vec::new(), Vec::new());
            for (more_ended, more_cut) in groups.by_ref().take(search.groups) {
                ended.extend(more_ended);
                cut.extend(more_cut);
            }
            let best_first = |a: &Done, b: &Done| b.score.total_cmp(&a.score);
            ended.sort_by(best_first);
            cut.sort_by(best_first);
            let mut found: Vec<Hypothesis> = Vec::with_capacity(search.best);
            for done in ended.into_iter().chain(cut) {
                let hypothesis = tree.hypothesis(done.place, done.score, &attention);
                // Two groups can have come to the same sentence.
                let known = found.iter().any(|other| other.tokens == hypothesis.tokens);
                if found.len() < search.best && !known {
                    found.push(hypothesis);
                }
            }
            all.push(found);
        }
        all
    }
}

/// A word that can follow, and ln of its probability.
#[derive(Debug, Clone, Copy, Default)]
struct Continuation {
    word: u32,
    log_probability: f64,
}

/// The best continuations of the sentence in each row.
#[derive(Default)]
struct Continuations<T> {
    room: usize,
    /// Those of each row, `room` apart.
    found: Vec<Continuation>,
    counts: Vec<usize>,
    /// The same as scores.
    scored: Vec<Scored<T>>,
    /// For each row the words that would repeat others.
    repeats: Vec<Vec<u32>>,
    sentence: Vec<u32>,
}

impl<T: Scalar> Continuations<T> {
    fn of(&self, row: usize) -> &[Continuation] {
        &self.found[row * self.room..][..self.counts[row]]
    }

    /// Finds those of every row, given the scores `[rows, Vocabulary]` of the words that could follow.
    fn find(
        &mut self,
        scores: ArrayView2<'_, T>,
        search: &Search<'_>,
        beams: &Beams,
        may_end: bool,
    ) {
        let (rows, width) = scores.dim();
        let room = search.room().min(width);
        self.room = room;
        self.found.resize(rows * room, Continuation::default());
        self.scored.resize(rows * room, Scored::default());
        self.counts.resize(rows, 0);
        self.find_repeats(search, beams);
        let Continuations { found, counts, scored, repeats, .. } = self;
        let scores = scores.to_slice().expect("scores in row-major order");
        team::for_each_chunk_mut3(
            (&mut found[..], ROWS * room),
            (&mut scored[..], ROWS * room),
            (&mut counts[..], ROWS),
            |at, found, scored, counts| {
                let rows = scores[at * ROWS * width..].chunks_exact(width);
                let lists = found.chunks_exact_mut(room).zip(scored.chunks_exact_mut(room));
                for (row, ((scores, (found, scored)), count)) in
                    rows.zip(lists).zip(counts).enumerate()
                {
                    let repeats = repeats.get(at * ROWS + row).map_or(&[][..], Vec::as_slice);
                    let next = search.writable.next(repeats, may_end);
                    *count = top_k(scores, |word| next.allows(word), scored);
                    let normalizer = Normalizer::of(scores);
                    for (found, scored) in found.iter_mut().zip(&scored[..*count]) {
                        let log_probability = normalizer.log_probability(scored.score);
                        *found = Continuation { word: scored.word, log_probability };
                    }
                }
            },
        );
    }

    /// Finds the words that would repeat others of their sentence, where rules say that none may.
    fn find_repeats(&mut self, search: &Search<'_>, beams: &Beams) {
        if !search.writable.looks_back() {
            return;
        }
        self.repeats.resize_with(beams.sentences.len().max(self.repeats.len()), Vec::new);
        for (place, repeats) in beams.sentences.iter().zip(&mut self.repeats) {
            beams.tree.read(*place, &mut self.sentence);
            search.writable.find_repeats(&self.sentence, repeats);
        }
    }
}
