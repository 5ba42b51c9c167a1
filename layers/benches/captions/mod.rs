//! A batch like those of COCO, and a training step on it.

use divan::Bencher;
use divan::counter::ItemsCount;
use engine_core::engine::Engine;
use engine_core::graph::Passes;
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes};
use engine_kernels::flops;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const VOCABULARY: usize = 1004;
const CAPTIONS: usize = 100;
const TIME: usize = 16;
/// Words of a caption: from 7 to all, mostly fewer.
const LENGTHS: [usize; 10] = [7, 9, 9, 10, 10, 11, 12, 13, 15, 16];
/// Different words of a batch.
const WORDS: u32 = 240;

/// Words in and out, and numbers for each position under the name `states`.
fn captions(states: usize) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut batch = Batch::new();
    for name in ["words_in", "words_out"] {
        let words = batch.tokens_mut(name, &[CAPTIONS, TIME]);
        for (caption, length) in words.chunks_mut(TIME).zip(LENGTHS.iter().cycle()) {
            caption.fill(0);
            caption[..*length].iter_mut().for_each(|word| *word = rng.random_range(1..WORDS));
        }
    }
    let numbers = batch.f32_mut("states", &[CAPTIONS, TIME, states]);
    numbers.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    batch
}

/// Times forward and backward pass of a network, rewritten as for training. Weights are brought into panels anew at
/// each step, as they are after an update. Items are floating-point operations of matrix products.
pub(crate) fn step(bencher: Bencher<'_, '_>, graph: &str, states: usize) {
    let sizes: Sizes = [("Vocabulary", VOCABULARY)].into_iter().collect();
    let engine = engine::<f32>(graph, sizes).unwrap_or_else(|error| panic!("{error}"));
    let (mut engine, batch) = (engine.rewritten(&Passes::default()), captions(states));
    let before = flops::counted();
    run(&mut engine, &batch);
    let operations = ItemsCount::new(flops::counted() - before);
    bencher.counter(operations).bench_local(|| run(&mut engine, &batch));
}

fn run(engine: &mut Engine<f32>, batch: &Batch) {
    engine.parameters_mut();
    engine.forward(batch, Mode::Train { iteration: 0 }).unwrap_or_else(|error| panic!("{error}"));
    engine.backward();
}
