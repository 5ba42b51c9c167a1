//! Forward and backward pass of the last layers of a captioning network, on all processors: scores of all words from
//! hidden states, and their loss.

mod captions;

use divan::Bencher;
use engine_layers as _;

fn main() {
    divan::main();
}

/// Units of a hidden state: those of `graphs/bench/seed_*.ron` and `cs231n_*.ron`.
const UNITS: [usize; 2] = [128, 512];

#[divan::bench(args = UNITS, sample_count = 20, sample_size = 1)]
fn scores_and_loss(bencher: Bencher<'_, '_>, units: usize) {
    let graph = format!(
        r#"Graph(
            inputs: {{"states": [Batch, Time, {units}], "words_out": [Batch, Time]}},
            nodes: [
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["states"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    );
    captions::step(bencher, &graph, units);
}
