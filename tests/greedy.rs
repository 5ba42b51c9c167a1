//! Greedy captions are those of a batch that keeps every row to the end.

#[path = "support/writer.rs"]
mod writer;

use engine::decode::{WordModel, greedy};
use engine_core::engine::Engine;
use engine_core::graph::Passes;
use engine_core::testing::engine as network;
use engine_core::{Batch, Sizes};
use engine_datasets::Vocabulary;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use writer::graph;

const LENGTH: usize = 12;

/// A network, features for some images, and the words.
fn drawn(cell: &str, rows: usize, rng: &mut ChaCha8Rng) -> (Engine<f64>, Batch, Vocabulary) {
    let (width, units) = (rng.random_range(1..6), rng.random_range(1..30));
    let count = rng.random_range(6..20);
    let sizes = [("Features", width), ("Units", units), ("Vocabulary", count)];
    let mut engine = network::<f64>(&graph(cell), sizes.into_iter().collect::<Sizes>())
        .unwrap_or_else(|error| panic!("{error}"));
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    parameters.for_each(|x| *x = rng.random_range(-1.5..1.5));
    let mut batch = Batch::new();
    let features = batch.f64_mut("features", &[rows, width]);
    features.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    let special = ["<NULL>", "<START>", "<END>", "<UNK>"].map(str::to_owned);
    let words = special.into_iter().chain((4..count).map(|at| format!("word{at}")));
    (engine, batch, Vocabulary::new(words.collect()).expect("words"))
}

/// All rows run to the end; what comes after `end` is cut off.
fn to_the_end(
    model: &mut WordModel<'_, f64>,
    batch: &Batch,
    rows: usize,
    end: u32,
) -> Vec<Vec<u32>> {
    model.begin(batch, rows).expect("features that fit");
    let (mut words, mut sentences) = (vec![model.start; rows], vec![Vec::new(); rows]);
    for _ in 1..LENGTH {
        let scores = model.next(&words).expect("words that fit");
        let next = scores.outer_iter().map(|row| {
            let later = |best: usize, at: usize| if row[at] > row[best] { at } else { best };
            (0..row.len()).fold(0, later) as u32
        });
        words = next.collect();
        sentences.iter_mut().zip(&words).for_each(|(sentence, word)| sentence.push(*word));
    }
    for sentence in &mut sentences {
        let length = sentence.iter().position(|word| *word == end);
        sentence.truncate(length.map_or(sentence.len(), |at| at + 1));
    }
    sentences
}

#[test]
fn rows_that_leave_the_batch_change_nothing() {
    let (mut at_once, mut never) = (0, 0);
    for (cell, seed) in ["Lstm", "Rnn", "Gru"].into_iter().zip(1..) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        for (round, rows) in [1, 1, 2, 5, 30, 100, 1, 40].into_iter().enumerate() {
            let (engine, batch, vocabulary) = drawn(cell, rows, &mut rng);
            let engine = match round % 2 {
                0 => engine,
                _ => engine.rewritten(&Passes::default()),
            };
            let mut model = WordModel::new(&engine, &vocabulary).expect("a graph that writes");
            // Any word can be the one that ends a sentence; some do at once, some never.
            for end in 0..vocabulary.len() as u32 {
                let right = to_the_end(&mut model, &batch, rows, end);
                let found = greedy(&mut model, &batch, rows, LENGTH, Some(end));
                let found = found.expect("features that fit").into_iter().map(|found| found.tokens);
                assert_eq!(found.collect::<Vec<_>>(), right, "{cell}, {round}, {end}");
                at_once += right.iter().filter(|sentence| sentence.len() == 1).count();
                never += right.iter().filter(|sentence| !sentence.contains(&end)).count();
            }
            let all = greedy(&mut model, &batch, rows, LENGTH, None).expect("features that fit");
            assert!(
                all.iter().all(|sentence| sentence.tokens.len() == LENGTH - 1),
                "{cell}, {round}"
            );
        }
    }
    assert!(at_once > 100 && never > 100, "{at_once} at once, {never} never");
}
