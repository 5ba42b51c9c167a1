//! Forward and backward pass of recurrent cells over a batch of captions, on all processors.
//!
//! Few scores follow, so that nearly all of the time is the cell's.

mod captions;

use divan::Bencher;
use engine_layers as _;

fn main() {
    divan::main();
}

/// Units of word vectors and of the cell: those of `graphs/bench/seed_*.ron` and `cs231n_*.ron`.
const SIZES: [(usize, usize); 2] = [(128, 128), (256, 512)];

const CELLS: [&str; 3] = ["Rnn", "Lstm", "Gru"];

#[divan::bench(args = CELLS, sample_count = 20, sample_size = 1)]
fn seed(bencher: Bencher<'_, '_>, cell: &str) {
    time(bencher, cell, SIZES[0]);
}

#[divan::bench(args = CELLS, sample_count = 20, sample_size = 1)]
fn cs231n(bencher: Bencher<'_, '_>, cell: &str) {
    time(bencher, cell, SIZES[1]);
}

fn time(bencher: Bencher<'_, '_>, cell: &str, (vector, units): (usize, usize)) {
    let graph = format!(
        r#"Graph(
            inputs: {{"words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "words", layer: Embedding(units: {vector}), from: ["words_in"]),
                (name: "hidden", layer: {cell}(units: {units}), from: ["words"]),
                (name: "few", layer: TemporalAffine(units: 4), from: ["hidden"]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["few"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    );
    captions::step(bencher, &graph, 1);
}
