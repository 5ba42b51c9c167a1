//! The same bits on any number of threads, for every layer that shares its work out.

use engine_core::graph::Passes;
use engine_core::testing::{LayerBench, Value, engine};
use engine_core::{Batch, Mode, Sizes, Tensor};
use engine_kernels::team;
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let (words, wide) = (real(&[40, 9, 64]), real(&[40, 9, 300]));
    let targets = Tensor::from_vec(&[40, 9], (0..360).map(|at| at * 7 % 300).collect());
    let targets = targets.expect("as many as the shape has");
    let cases: [(&str, Vec<Value<f32>>); 11] = [
        ("Lstm(units: 128)", vec![words.clone().into(), real(&[40, 128]).into()]),
        ("Rnn(units: 300)", vec![words.clone().into()]),
        ("Gru(units: 128)", vec![words.clone().into()]),
        ("Gru(units: 128, reset: After)", vec![words.clone().into()]),
        ("TemporalAffine(units: 300)", vec![words.clone().into()]),
        ("Projection(units: 600)", vec![real(&[100, 512]).into()]),
        ("SoftmaxLoss()", vec![wide.clone().into(), targets.into()]),
        ("Dropout()", vec![wide.clone().into()]),
        ("Tanh()", vec![wide.clone().into()]),
        ("Multiply()", vec![wide.clone().into(), wide.clone().into()]),
        ("Concat()", vec![wide.into(), words.into()]),
    ];
    for (layer, inputs) in cases {
        let run = |threads| {
            team::with_threads(threads, || {
                let mut bench = LayerBench::<f32>::new(layer, inputs.clone());
                let y = bench.forward(Mode::Train { iteration: 2 });
                bench.backward(&y);
                let parameters = parameters(layer).iter();
                let of_parameters = parameters.map(|name| bench.parameter_gradient(name).clone());
                let of_parameters: Vec<Tensor<f32>> = of_parameters.collect();
                (bench.input_gradient(0).clone(), of_parameters, y)
            })
        };
        let one = run(1);
        for threads in [2, 3, 8] {
            assert!(run(threads) == one, "{layer}, {threads} threads");
        }
    }
}

#[test]
fn bits_of_a_rewritten_network_do_not_depend_on_the_number_of_threads() {
    for cell in ["Rnn(units: 300)", "Lstm(units: 200)", "Gru(units: 200)", GRU_AFTER] {
        let run = |threads| team::with_threads(threads, || outcome_of_captions(cell));
        let one = run(1);
        for threads in [2, 3, 8] {
            assert!(run(threads) == one, "{cell}, {threads} threads");
        }
    }
}

const GRU_AFTER: &str = "Gru(units: 200, reset: After)";

/// The loss of a captioning network that all passes have rewritten, and the gradients of its parameters.
fn outcome_of_captions(cell: &str) -> (Option<f64>, Vec<Tensor<f32>>) {
    let text = format!(
        r#"Graph(
            inputs: {{"features": [Batch, Features], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: Hidden), from: ["features"]),
                (name: "words", layer: Embedding(units: 40), from: ["words_in"]),
                (name: "hidden", layer: {cell}, from: ["words", "h0"]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    );
    const ROWS: usize = 40;
    const TIME: usize = 9;
    let sizes: Sizes = [("Features", 64), ("Vocabulary", 300)].into_iter().collect();
    let engine = engine::<f32>(&text, sizes).unwrap_or_else(|error| panic!("{error}"));
    let mut engine = engine.rewritten(&Passes::default());
    let mut batch = Batch::new();
    batch.f32_mut("features", &[ROWS, 64]).copy_from_slice(real(&[ROWS, 64]).as_slice());
    let captions = (0..ROWS * TIME).map(|at| (at / TIME, at % TIME));
    for (caption, word) in [("words_in", 5), ("words_out", 7)] {
        let words = batch.tokens_mut(caption, &[ROWS, TIME]).iter_mut().zip(captions.clone());
        // Captions of 2 to 9 words, then padding.
        let word =
            |n: usize, t: usize| if t < 2 + n % 8 { 1 + (n * t * word + n) % 299 } else { 0 };
        words.for_each(|(to, (n, t))| *to = word(n, t) as u32);
    }
    let mode = Mode::Train { iteration: 2 };
    engine.forward(&batch, mode).unwrap_or_else(|error| panic!("{error}"));
    engine.backward();
    (engine.loss(), engine.gradients().to_vec())
}

/// Numbers that are all over the place.
fn real(shape: &[usize]) -> Tensor<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let values = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_vec(shape, values).expect("as many as the shape has")
}

/// The names of a layer's parameters.
fn parameters(layer: &str) -> &'static [&'static str] {
    match layer.split('(').next() {
        Some("Projection" | "TemporalAffine") => &["w", "b"],
        Some("Gru") if layer.contains("After") => &["wx", "wh", "b", "bn"],
        Some("Rnn" | "Lstm" | "Gru") => &["wx", "wh", "b"],
        _ => &[],
    }
}
