//! What holds for every way to choose words: searches against plain ones that go through everything, draws against the
//! probabilities that they are drawn with, rules, and what the command makes of decoders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod front_door;
#[path = "support/writer.rs"]
mod writer;

use std::collections::BTreeSet;

use engine::decode::{Context, Decode, DecodeScalar, Decoder, Hypothesis, WordModel};
use engine_core::engine::Engine;
use engine_core::graph::{Document, Passes};
use engine_core::testing::engine as network;
use engine_core::{Batch, Mode, Sizes, Tagged};
use engine_datasets::Vocabulary;
use engine_kernels::team;
use front_door::{GRAPH, Room, report};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use writer::graph;

const CELLS: [&str; 3] = ["Lstm", "Gru", "Rnn"];

/// Numbers of `Vocabulary::SPECIAL`.
const START: u32 = 1;
const END: u32 = 2;

/// A network that writes about images.
struct Writer<T> {
    engine: Engine<T>,
    /// The same without passes.
    plain: Engine<T>,
    features: Vec<Vec<f64>>,
    vocabulary: Vocabulary,
}

impl<T: DecodeScalar> Writer<T> {
    /// A random one for so many images, with so many words. It hardly ever writes `<NULL>` and `<START>`.
    fn drawn(cell: &str, images: usize, words: usize, rng: &mut ChaCha8Rng) -> Self {
        let (width, units) = (rng.random_range(1..6), rng.random_range(1..40));
        let sizes = [("Features", width), ("Units", units), ("Vocabulary", words)];
        let sizes: Sizes = sizes.into_iter().collect();
        let mut engine =
            network::<T>(&graph(cell), sizes).unwrap_or_else(|error| panic!("{error}"));
        let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
        parameters.for_each(|x| *x = T::of(rng.random_range(-1.2..1.2)));
        let bias = engine.plan().parameter("scores.b").unwrap();
        engine.parameters_mut()[bias].as_mut_slice()[..2].fill(T::of(-60.0));
        let features =
            (0..images).map(|_| (0..width).map(|_| rng.random_range(-1.0..1.0)).collect());
        let special = Vocabulary::SPECIAL.map(str::to_owned).into_iter();
        let all = special.chain((4..words).map(|at| format!("word{at}")));
        let vocabulary = Vocabulary::new(all.collect()).unwrap();
        let plain = engine.clone();
        Writer { engine, plain, features: features.collect(), vocabulary }
    }

    /// The same, as it runs in earnest.
    fn rewritten(mut self) -> Self {
        self.engine = self.engine.rewritten(&Passes::default());
        self
    }

    /// The features of these images.
    fn batch(&self, images: &[usize]) -> Batch {
        let mut batch = Batch::new();
        let features = images.iter().flat_map(|image| self.features[*image].iter().copied());
        let shape = [images.len(), self.features[0].len()];
        let to = batch.f64_mut("features", &shape);
        to.iter_mut().zip(features).for_each(|(to, x)| *to = x);
        batch
    }

    /// What a decoder writes about these images.
    fn write(&self, decoder: &str, images: &[usize]) -> Vec<Vec<Hypothesis>> {
        let document = Document::new("decoder", decoder);
        let decoder: Tagged<dyn Decoder> =
            document.parse(document.text()).unwrap_or_else(|fault| panic!("{fault:?}"));
        decoder.check(&self.vocabulary).unwrap_or_else(|error| panic!("{error}"));
        let mut model = WordModel::new(&self.engine, &self.vocabulary).unwrap();
        let batch = self.batch(images);
        let context = Context { batch: &batch, places: images };
        let decode: &dyn Decode<T> = T::decoder(&*decoder);
        decode.decode(&mut model, &context).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What it writes about all images.
    fn write_all(&self, decoder: &str) -> Vec<Vec<Hypothesis>> {
        self.write(decoder, &(0..self.features.len()).collect::<Vec<_>>())
    }
}

impl<T: DecodeScalar> Writer<T> {
    /// ln of the probability of each word after these, by the forward pass over whole sequences.
    fn log_softmax(&mut self, image: usize, before: &[u32]) -> Vec<f64> {
        let mut batch = self.batch(&[image]);
        let words = [&[START], before].concat();
        batch.tokens_mut("words", &[1, words.len()]).copy_from_slice(&words);
        batch.tokens_mut("next", &[1, words.len()]).fill(0);
        self.plain.forward(&batch, Mode::Eval).unwrap();
        let scores = self.plain.plan().value("scores").unwrap();
        let all = self.plain.value(scores).rows();
        let last: Vec<f64> = all.row(words.len() - 1).iter().map(|x| x.f64()).collect();
        let sum: f64 = last.iter().map(|x| x.exp()).sum();
        last.iter().map(|x| x - sum.ln()).collect()
    }

    /// Asserts that a sentence's probabilities are those of the forward pass.
    fn assert_probabilities(&mut self, image: usize, found: &Hypothesis, tolerance: f64) {
        assert_eq!(found.tokens.len(), found.log_probabilities.len());
        for (at, token) in found.tokens.iter().enumerate() {
            let right = self.log_softmax(image, &found.tokens[..at])[*token as usize];
            let ln = found.log_probabilities[at];
            assert!((right - ln).abs() < tolerance, "word {at}: {ln} for {right}");
        }
    }
}

/// A beam search without any of the savings of the real one.
#[derive(Debug, Clone, Copy)]
struct Plain {
    width: usize,
    best: usize,
    penalty: f64,
    shortest: usize,
    longest: usize,
    ngrams: Option<usize>,
    banned: Option<u32>,
}

impl Plain {
    fn drawn(words: usize, rng: &mut ChaCha8Rng) -> Self {
        let width = rng.random_range(1..=words.min(6));
        let longest = rng.random_range(1..8);
        Plain {
            width,
            best: rng.random_range(1..=width),
            penalty: [0.0, 0.7, 2.0][rng.random_range(0..3usize)],
            shortest: rng.random_range(0..=longest),
            longest,
            ngrams: [None, Some(1), Some(2)][rng.random_range(0..3usize)],
            banned: [None, Some(4)][rng.random_range(0..2usize)],
        }
    }

    /// How a graph file writes it.
    fn text(&self) -> String {
        let ngrams = self.ngrams.map_or(String::new(), |n| format!("block_ngrams: {n}, "));
        let ban = self.banned.map_or(String::new(), |word| format!("ban: [\"word{word}\"]"));
        format!(
            "(width: {}, best: {}, length_penalty: {}, min_length: {}, max_length: {}, \
             rules: ({ngrams}{ban})",
            self.width,
            self.best,
            self.penalty,
            self.shortest + 1,
            self.longest + 1,
        )
    }

    fn score(&self, ln: f64, length: usize) -> f64 {
        ln / ((length as f64 + 5.0) / 6.0).powf(self.penalty)
    }

    fn allows(&self, before: &[u32], word: u32) -> bool {
        let repeats = |n: usize| {
            let new = [before, &[word]].concat();
            new.len() >= n && before.windows(n).any(|words| words == &new[new.len() - n..])
        };
        match word {
            0 | START => false,
            END => before.len() + 1 >= self.shortest,
            _ => Some(word) != self.banned && !self.ngrams.is_some_and(repeats),
        }
    }

    /// The best sentences with their scores.
    fn search<T: DecodeScalar>(&self, room: &mut Writer<T>, image: usize) -> Vec<(Vec<u32>, f64)> {
        type Sentence = (Vec<u32>, f64);
        let (mut beam, mut ended, mut cut): (Vec<Sentence>, Vec<Sentence>, Vec<Sentence>) =
            (vec![(Vec::new(), 0.0)], Vec::new(), Vec::new());
        let is_done = |words: &[u32]| words.last() == Some(&END);
        for _ in 0..self.longest {
            let mut next = Vec::new();
            for (words, ln) in &beam {
                if is_done(words) {
                    next.push((words.clone(), *ln));
                    continue;
                }
                let before = next.len();
                let all = room.log_softmax(image, words);
                for (word, p) in (0..).zip(all).filter(|(word, _)| self.allows(words, *word)) {
                    next.push(([&words[..], &[word]].concat(), ln + p));
                }
                if next.len() == before {
                    cut.push((words.clone(), *ln));
                }
            }
            next.sort_by(|a, b| b.1.total_cmp(&a.1));
            next.truncate(self.width);
            let new = next.iter().filter(|new| is_done(&new.0) && !beam.contains(new));
            ended.extend(new.cloned());
            beam = next;
        }
        cut.extend(beam.into_iter().filter(|(words, _)| !is_done(words)));
        let ranked = |all: Vec<Sentence>| {
            let score = |(words, ln): Sentence| (self.score(ln, words.len()), words);
            let mut all: Vec<_> = all.into_iter().map(score).collect();
            all.sort_by(|a, b| b.0.total_cmp(&a.0));
            all.into_iter().map(|(score, words)| (words, score))
        };
        ranked(ended).chain(ranked(cut)).take(self.best).collect()
    }
}

/// What a search and a plain one have found is the same.
fn assert_same(found: &[Hypothesis], right: &[(Vec<u32>, f64)], tolerance: f64, what: &str) {
    let words = |found: &Hypothesis| found.tokens.clone();
    let found_words: Vec<Vec<u32>> = found.iter().map(words).collect();
    let right_words: Vec<Vec<u32>> = right.iter().map(|(words, _)| words.clone()).collect();
    assert_eq!(found_words, right_words, "{what}");
    for (found, (_, score)) in found.iter().zip(right) {
        assert!((found.score - score).abs() < tolerance, "{what}: {} for {score}", found.score);
    }
}

/// Calls `check` with random networks of every cell, as written and rewritten.
fn for_networks<T: DecodeScalar>(
    words: std::ops::Range<usize>,
    mut check: impl FnMut(Writer<T>, &mut ChaCha8Rng, &str),
) {
    for (cell, seed) in CELLS.into_iter().zip(1..) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (round, images) in [1, 2, 7, 1, 20, 40].into_iter().enumerate() {
            let words = rng.random_range(words.clone());
            let room = Writer::<T>::drawn(cell, images, words, &mut rng);
            let room = if round % 2 == 0 { room.rewritten() } else { room };
            let what =
                format!("{cell}, seed {seed}, round {round}, {images} images, {words} words");
            println!("{what}");
            check(room, &mut rng, &what);
        }
    }
}

#[test]
fn a_beam_is_what_a_plain_search_finds() {
    let (mut unfinished, mut short) = (0, 0);
    for_networks::<f64>(6..25, |mut room, rng, what| {
        for _ in 0..5 {
            let plain = Plain::drawn(room.vocabulary.len(), rng);
            let found = room.write_all(&format!("Beam{})", plain.text()));
            for (image, found) in found.iter().enumerate().take(4) {
                let right = plain.search(&mut room, image);
                assert_same(found, &right, 1e-9, &format!("{what}, image {image}, {plain:?}"));
                found.iter().for_each(|found| room.assert_probabilities(image, found, 1e-9));
                unfinished += usize::from(found[0].tokens.last() != Some(&END));
                short += usize::from(found.len() < plain.best);
            }
        }
    });
    assert!(unfinished > 10 && short < 200, "{unfinished} unfinished, {short} short");
}

#[test]
fn single_precision_has_the_probabilities_of_the_forward_pass() {
    for_networks::<f32>(6..25, |mut room, _, _| {
        for decoder in
            ["Greedy(max_length: 8)", "Beam(width: 4, best: 4, max_length: 8)", "Sample()"]
        {
            for (image, found) in room.write_all(decoder).iter().enumerate().take(3) {
                found.iter().for_each(|found| room.assert_probabilities(image, found, 2e-4));
            }
        }
    });
}

/// With two words to choose from, a beam of 15 loses nothing in three steps: 3 sentences that have ended, 12 others.
#[test]
fn a_wide_beam_finds_the_best_of_all_sentences() {
    for_networks::<f64>(15..20, |mut room, rng, what| {
        let banned = room.vocabulary.words().skip(3).filter(|w| *w != "word5" && *w != "word7");
        let banned = banned.map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        for penalty in [0.0, 1.0, 3.0] {
            let shortest = rng.random_range(1..=3usize);
            let mut all = vec![(Vec::new(), 0.0)];
            let mut ended = Vec::new();
            for length in 1..=3 {
                let mut next = Vec::new();
                for (words, ln) in &all {
                    let p = room.log_softmax(0, words);
                    for word in [5, 7, END] {
                        let new = ([&words[..], &[word]].concat(), ln + p[word as usize]);
                        match word {
                            END if length < shortest => {}
                            END => ended.push(new),
                            _ => next.push(new),
                        }
                    }
                }
                all = next;
            }
            let lp = |words: &[u32]| ((words.len() as f64 + 5.0) / 6.0).powf(penalty);
            let mut right: Vec<(Vec<u32>, f64)> = ended
                .into_iter()
                .map(|(words, ln): (Vec<u32>, f64)| (words.clone(), ln / lp(&words)))
                .collect();
            right.sort_by(|a, b| b.1.total_cmp(&a.1));
            for best in [1, 3] {
                let decoder = format!(
                    "Beam(width: 15, best: {best}, length_penalty: {penalty}, max_length: 4, \
                     min_length: {}, rules: (ban: [{banned}]))",
                    shortest + 1
                );
                let found = room.write(&decoder, &[0]).remove(0);
                let right = &right[..best.min(right.len())];
                assert_same(&found[..right.len()], right, 1e-9, &format!("{what}, {decoder}"));
            }
        }
    });
}

fn one_of_each_is_greedy<T: DecodeScalar>() {
    for_networks::<T>(6..40, |room, _, what| {
        let right = room.write_all("Greedy(max_length: 12)");
        for decoder in [
            "Beam(width: 1, max_length: 12)",
            "Beam(width: 1, length_penalty: 0.8, max_length: 12)",
            "DiverseBeam(width: 1, groups: 1, best: 1, max_length: 12)",
            "Sample(top_k: 1, max_length: 12, seed: 5)",
            "Sample(temperature: 1e-9, max_length: 12)",
            "Sample(temperature: 1e-300, max_length: 12)",
            "Sample(top_p: 1e-9, max_length: 12)",
            // A rule that changes nothing takes another way.
            "Greedy(max_length: 12, rules: (block_ngrams: 12))",
        ] {
            for (found, right) in room.write_all(decoder).iter().zip(&right) {
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].tokens, right[0].tokens, "{what}, {decoder}");
                assert_eq!(found[0].log_probabilities, right[0].log_probabilities, "{what}");
            }
        }
    });
}

#[test]
fn one_sentence_at_a_time_is_greedy() {
    one_of_each_is_greedy::<f64>();
    one_of_each_is_greedy::<f32>();
}

/// Decoders of every kind.
const KINDS: [&str; 7] = [
    "Greedy(max_length: 10)",
    "Beam(width: 4, best: 2, max_length: 10)",
    "Beam(width: 3, best: 3, length_penalty: 1, max_length: 10, rules: (block_ngrams: 2))",
    "DiverseBeam(width: 4, groups: 2, best: 4, max_length: 10)",
    "Sample(max_length: 10, seed: 3)",
    "Sample(max_length: 10, count: 3, top_p: 0.8, temperature: 1.3)",
    "Sample(max_length: 10, count: 2, top_k: 3, rules: (block_ngrams: 1))",
];

fn nothing_beside_shows<T: DecodeScalar>() {
    for (cell, seed) in CELLS.into_iter().zip(1..) {
        println!("{cell}, seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let room = Writer::<T>::drawn(cell, 50, 30, &mut rng).rewritten();
        for decoder in KINDS {
            let all = room.write_all(decoder);
            for threads in [1, 2, 5] {
                let again = team::with_threads(threads, || room.write_all(decoder));
                assert_eq!(again, all, "{cell}, {decoder}, {threads} threads");
            }
            let backwards: Vec<usize> = (0..50).rev().collect();
            let mut again = room.write(decoder, &backwards);
            again.reverse();
            assert_eq!(again, all, "{cell}, {decoder}, backwards");
            for image in [0, 1, 17, 49] {
                assert_eq!(room.write(decoder, &[image])[0], all[image], "{cell}, {decoder}");
                let few = room.write(decoder, &[image, 3, image, 5]);
                assert_eq!([&few[0], &few[2]], [&all[image]; 2], "{cell}, {decoder}");
            }
        }
    }
}

#[test]
fn neither_the_batch_nor_threads_show() {
    nothing_beside_shows::<f32>();
    nothing_beside_shows::<f64>();
}

#[test]
fn a_diverse_beam_of_one_group_is_a_beam() {
    for_networks::<f64>(8..40, |room, rng, what| {
        for _ in 0..3 {
            let text = Plain::drawn(room.vocabulary.len(), rng).text();
            let beam = room.write_all(&format!("Beam{text})"));
            let diverse = format!("DiverseBeam{text}, groups: 1, penalty: 0.7)");
            assert_eq!(room.write_all(&diverse), beam, "{what}, {text}");
        }
    });
}

#[test]
fn groups_keep_away_from_each_other() {
    for_networks::<f64>(12..40, |room, _, what| {
        // Without a penalty every group is the same beam.
        let beam = room.write_all("Beam(width: 2, best: 2, max_length: 8)");
        let same = "DiverseBeam(width: 6, groups: 3, penalty: 0, best: 2, max_length: 8)";
        assert_eq!(room.write_all(same), beam, "{what}");
        // With a great one no two groups write the same word at a step; the first is not disturbed.
        let apart = "DiverseBeam(width: 4, groups: 4, penalty: 1e6, best: 4, max_length: 6)";
        let greedy = room.write_all("Greedy(max_length: 6)");
        for (image, found) in room.write_all(apart).iter().enumerate() {
            assert_eq!(found.len(), 4, "{what}");
            let first: BTreeSet<u32> = found.iter().map(|found| found.tokens[0]).collect();
            assert_eq!(first.len(), 4, "{what}: {found:?}");
            assert!(found.iter().any(|found| found.tokens == greedy[image][0].tokens), "{what}");
        }
    });
}

#[test]
fn alternatives_are_sorted_and_different() {
    for_networks::<f32>(8..40, |room, _, what| {
        for decoder in [
            "Beam(width: 6, best: 6, max_length: 9)",
            "Beam(width: 6, best: 4, length_penalty: 1, max_length: 9)",
            "DiverseBeam(width: 6, groups: 3, best: 6, max_length: 9, penalty: 0.1)",
        ] {
            for found in room.write_all(decoder) {
                let ends = |found: &Hypothesis| found.tokens.last() == Some(&END);
                let (ended, cut) = found.split_at(found.iter().take_while(|f| ends(f)).count());
                assert!(!cut.iter().any(ends), "{what}, {decoder}: {found:?}");
                for part in [ended, cut] {
                    assert!(part.is_sorted_by(|a, b| a.score >= b.score), "{what}: {found:?}");
                }
                let different: BTreeSet<&[u32]> = found.iter().map(|f| &f.tokens[..]).collect();
                assert_eq!(different.len(), found.len(), "{what}, {decoder}: {found:?}");
                assert!(cut.iter().all(|cut| cut.tokens.len() == 8), "{what}: {found:?}");
            }
        }
    });
}

#[test]
fn what_is_ruled_out_is_not_written() {
    let mut repeats = 0;
    for_networks::<f32>(7..15, |room, _, what| {
        let rules = "rules: (ban: [\"word5\", \"<UNK>\"], block_ngrams: 2)";
        for decoder in [
            format!("Greedy({rules})"),
            format!("Beam(width: 4, best: 4, {rules})"),
            format!("DiverseBeam(width: 4, groups: 2, best: 4, {rules})"),
            format!("Sample(count: 4, temperature: 2, {rules})"),
        ] {
            for found in room.write_all(&decoder).iter().flatten() {
                let tokens = &found.tokens;
                assert!(!tokens.iter().any(|t| [0, START, 3, 5].contains(t)), "{what}: {tokens:?}");
                let pairs: BTreeSet<&[u32]> = tokens.windows(2).collect();
                assert_eq!(pairs.len(), tokens.windows(2).len(), "{what}, {decoder}: {tokens:?}");
            }
        }
        let free = room.write_all("Sample(count: 4, temperature: 2)");
        let pairs = |f: &&Hypothesis| f.tokens.windows(2).collect::<BTreeSet<_>>().len();
        repeats += free.iter().flatten().filter(|f| pairs(f) < f.tokens.windows(2).len()).count();
    });
    assert!(repeats > 100, "without rules {repeats} sentences repeat themselves");
}

/// How far the words of so many draws are from what their probabilities make expect, in units of what is usual.
fn surprise(room: &mut Writer<f64>, decoder: &str, weights: &[f64]) -> f64 {
    const DRAWS: usize = 20_000;
    let found = room.write(&format!("Sample({decoder}count: {DRAWS}, max_length: 2)"), &[0]);
    let mut counts = vec![0.0; weights.len()];
    found[0].iter().for_each(|found| counts[found.tokens[0] as usize] += 1.0);
    let total: f64 = weights.iter().sum();
    let (mut sum, mut kinds) = (0.0, -1.0);
    for (count, weight) in counts.iter().zip(weights) {
        let expected = weight / total * DRAWS as f64;
        if expected == 0.0 {
            assert_eq!(*count, 0.0, "{decoder}");
        } else {
            sum += (count - expected).powi(2) / expected;
            kinds += 1.0;
        }
    }
    // Pearson's statistic has this mean and this variance.
    (sum - kinds) / f64::sqrt(2.0 * kinds)
}

#[test]
fn words_come_as_often_as_they_are_likely() {
    for (cell, seed) in CELLS.into_iter().zip(11..) {
        println!("{cell}, seed {seed}");
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut room = Writer::<f64>::drawn(cell, 1, 60, &mut rng).rewritten();
        let ln = room.log_softmax(0, &[]);
        let power = |temperature: f64| -> Vec<f64> {
            let weight = |(word, ln): (usize, &f64)| match word {
                0 | 1 => 0.0,
                _ => (ln / temperature).exp(),
            };
            ln.iter().enumerate().map(weight).collect()
        };
        let kept = |mut weights: Vec<f64>, keep: &dyn Fn(usize, f64) -> bool| {
            let mut order: Vec<usize> = (0..weights.len()).collect();
            order.sort_by(|a, b| weights[*b].total_cmp(&weights[*a]));
            let total: f64 = weights.iter().sum();
            let mut before = 0.0;
            for (at, word) in order.into_iter().enumerate() {
                let weight = weights[word];
                if !keep(at, before / total) {
                    weights[word] = 0.0;
                }
                before += weight;
            }
            weights
        };
        let top_k = kept(power(1.0), &|at, _| at < 5);
        let top_p = kept(power(1.0), &|_, before| before < 0.9);
        let both = kept(kept(power(2.0), &|at, _| at < 40), &|_, before| before < 0.9);
        for (decoder, weights) in [
            ("", power(1.0)),
            ("temperature: 0.5, seed: 4, ", power(0.5)),
            ("temperature: 3, ", power(3.0)),
            ("top_k: 5, ", top_k),
            ("top_p: 0.9, ", top_p),
            ("top_k: 40, top_p: 0.9, temperature: 2, ", both),
        ] {
            let surprise = surprise(&mut room, decoder, &weights);
            println!("  {decoder:?}: {surprise:.2}");
            assert!(surprise.abs() < 4.0, "{cell}, {decoder:?}: {surprise}");
        }
    }
}

#[test]
fn seeds_and_places_make_other_draws() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut room = Writer::<f32>::drawn("Lstm", 2, 40, &mut rng);
    room.features[1] = room.features[0].clone();
    let draw = |seed: u64| room.write_all(&format!("Sample(seed: {seed}, temperature: 2)"));
    let (first, second) = (draw(1), draw(2));
    assert_eq!(draw(1), first);
    assert_ne!(first, second);
    assert_ne!(first[0], first[1], "two images with the same features");
    // More draws leave those before them as they were.
    let more = room.write_all("Sample(seed: 1, temperature: 2, count: 4)");
    assert!(more[0].contains(&first[0][0]) && more[0].len() == 4);
}

#[test]
fn sentences_are_no_longer_than_they_may_be() {
    for_networks::<f32>(8..20, |room, _, what| {
        for length in [1, 2, 5] {
            for decoder in ["Greedy(", "Beam(width: 3, ", "DiverseBeam(", "Sample("] {
                let found = room.write_all(&format!("{decoder}max_length: {length})"));
                assert!(found.iter().all(|found| !found.is_empty()), "{what}, {decoder}");
                let most = found.iter().flatten().map(|found| found.tokens.len()).max();
                assert!(most.unwrap() < length, "{what}, {decoder}");
            }
        }
        let found = room.write_all("Beam(width: 5, best: 3, min_length: 7, max_length: 9)");
        assert!(found.iter().flatten().all(|found| found.tokens.len() >= 6), "{what}");
    });
}

#[test]
fn decoders_that_cannot_be_are_refused() {
    let room = Room::furnished();
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1", "--out", "R"]);
    let cases = [
        ("Beem(width: 3)", "`Beem` | did you mean `Beam`"),
        ("Beam(widht: 3)", "`widht` | `width`"),
        ("Beam(width: 0)", "a whole number of at least 1, found `0`"),
        ("Beam(width: 2000)", "`width` in `sample`: expected at most 6 | found 2000 | 3 to 5"),
        (
            "Beam(width: 2, best: 3)",
            "`best` in `sample`: expected at most the width 2, found 3 | width: 3",
        ),
        (
            "Beam(min_length: 9, max_length: 5)",
            "`min_length` in `sample`: expected at most max_length, which is 5, found 9",
        ),
        ("Beam(length_penalty: -1)", "a number of at least 0"),
        (
            "DiverseBeam(width: 4, groups: 3)",
            "`groups` in `sample`: expected a divisor of the width 4, found 3 | one of: 1, 2, 4",
        ),
        ("DiverseBeam(width: 3, groups: 6)", "a divisor of the width 3, found 6 | one of: 1, 3"),
        ("DiverseBeam(width: 18446744073709551615)", "expected at most 6"),
        ("Sample(top_p: 0)", "above 0 and at most 1, found `0`"),
        ("Sample(top_p: 1.5)", "above 0 and at most 1, found `1.5`"),
        ("Sample(temperature: 0)", "above 0, found `0`"),
        ("Sample(temperature: -1)", "above 0, found `-1`"),
        ("Sample(top_k: 0)", "at least 1"),
        ("Greedy(rules: (ban: [\"bb\"]))", "no word `bb` | did you mean `b`?"),
        ("Beam(rules: (ban: [\"<UKN>\"]))", "no word `<UKN>` | did you mean `<UNK>`?"),
        ("Beam(rules: (ban: [\"elephant\"]))", "no word `elephant` | leave it out"),
        ("Beam(rules: (ban: [\"<END>\"]))", "found `<END>` | could not end"),
        ("Sample(rules: (ban: [\"<START>\"]))", "found `<START>` | leave it out"),
        ("Greedy(rules: (ban: [\"<NULL>\"]))", "found `<NULL>` | leave it out"),
        ("Beam(rules: (ban: [\"a\", \"b\", \"<UNK>\"]))", "leaves none of the 6 words | ban fewer"),
        ("Beam(rules: (bam: [\"a\"]))", "`bam` | `ban`"),
        ("Beam(rules: (block_ngrams: 0))", "at least 1"),
    ];
    report(cases.iter().flat_map(|(decoder, says)| {
        let set = format!("sample={decoder}");
        [
            room.refusal(&["sample", "R", "--decode", decoder], says),
            room.refusal(&["bench", "R", "--sample", "2", "--decode", decoder], says),
            room.refusal(&["train", "g.ron", "--data", "D", "--set", &set, "--out", "N"], says),
        ]
    }));
    room.refuses(&["bench", "R", "--decode", "Greedy()"], "--sample");
}

#[test]
fn alternatives_and_probabilities_are_shown() {
    let room = Room::furnished();
    room.runs(&["train", "g.ron", "--data", "D", "--steps", "1", "--out", "R"]);
    let sample = |args: &[&str]| room.runs(&[&["sample", "R", "--count", "2"], args].concat()).out;
    let starts = |out: &str, with: &str| out.lines().filter(|l| l.starts_with(with)).count();
    let beam = "Beam(width: 4, best: 3, max_length: 5)";
    let out = sample(&["--decode", beam]);
    assert_eq!((starts(&out, "  caption "), starts(&out, "  or ")), (2, 4), "{out}");
    for line in out.lines().filter(|l| l.starts_with("  caption ") || l.starts_with("  or ")) {
        let score: f64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(score < 0.0, "{out}");
    }
    assert!(!out.contains("ln p"), "{out}");
    let out = sample(&["--decode", beam, "--probabilities"]);
    assert_eq!(out.matches("   ln p -").count(), 6, "{out}");
    let out = sample(&["--decode", "Greedy(max_length: 4)", "--probabilities"]);
    assert_eq!((out.matches("   ln p -").count(), starts(&out, "  or ")), (2, 0), "{out}");
    assert!(GRAPH.contains("Greedy(max_length: 30)"));
}

#[test]
fn every_decoder_is_listed_with_its_options() {
    let room = Room::new();
    let list = room.runs(&["layers"]).out;
    for name in ["Greedy", "Beam", "DiverseBeam", "Sample"] {
        assert!(list.lines().any(|line| line.starts_with(&format!("  {name} "))), "{list}");
        let out = room.runs(&["layers", name]).out;
        for part in ["(decoder)", "max_length: ", "rules: (ban: [word, ..], block_ngrams:"] {
            assert!(out.contains(part), "{part} in\n{out}");
        }
    }
}
