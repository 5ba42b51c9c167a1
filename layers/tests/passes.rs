//! Loss and gradients are the same with and without each rewrite of a plan.

#[path = "../../tests/support/rewrites.rs"]
mod rewrites;

use engine_core::engine::{Engine, Stepper};
use engine_core::graph::Passes;
use engine_core::testing::{engine, stepwise};
use engine_core::{Batch, Mode, Sizes};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rewrites::{Outcome, selections};

const TRAIN: Mode = Mode::Train { iteration: 3 };

const BOUND: f64 = 1e-12;

fn caption(cell: &str, middle: &str, reads: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, Features], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: Units), from: ["features"]),
                (name: "words", layer: Embedding(units: 7), from: ["words_in"]),
                {middle}
                (name: "hidden", layer: {cell}, from: ["{reads}", "h0"]),
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
        )"#
    )
}

const CELLS: [&str; 5] = [
    "Lstm(units: Units)",
    "Rnn(units: Units)",
    "Rnn(units: Units, activation: Relu)",
    "Gru(units: Units)",
    "Gru(units: Units, reset: After)",
];

/// A graph without a state to begin with.
fn unstarted(text: &str) -> String {
    let h0 = r#"(name: "h0", layer: Projection(units: Units), from: ["features"]),"#;
    text.replace(r#", "h0"]"#, "]").replace(h0, "")
}

/// A graph whose middle is these nodes between `words` and `mixed`, and whose loss is also one for attention and for
/// classes of whole sentences.
fn of_sentences(middle: &str, counted: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{
                "features": [Batch, Features], "words_in": [Batch, Time], "words_out": [Batch, Time],
                "classes": [Batch], "mask": [Batch, Time],
            }},
            nodes: [
                (name: "words", layer: Embedding(units: 8), from: ["words_in"]),
                (name: "image", layer: Projection(units: 8), from: ["features"]),
                {middle}
                (name: "hidden", layer: Lstm(units: Units), from: ["mixed"]),
                (name: "scores", layer: Unembedding(), from: ["mixed"], weights_of: "words"),
                (name: "of_words", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
                (name: "looks", layer: Affine(units: 5), from: ["hidden"]),
                (name: "weights", layer: Softmax(), from: ["looks"]),
                (name: "coverage", layer: CoverageLoss(), from: ["weights", {counted}]),
                (name: "end", layer: AtEnd(), from: ["hidden", {counted}]),
                (name: "normal", layer: LayerNorm(), from: ["end"]),
                (name: "classes_of", layer: Affine(units: 4), from: ["normal"]),
                (name: "of_classes", layer: SoftmaxLoss(ignore: None), from: ["classes_of", "classes"]),
                (name: "loss", layer: WeightedSum(weights: [1, 0.3, 2]), from: ["of_words", "coverage", "of_classes"]),
            ],
            outputs: {{"loss": "loss"}},
        )"#
    )
}

/// Middles for [`of_sentences`] out of layers that go through positions one by one.
const MIDDLES: [&str; 5] = [
    r#"(name: "mixed", layer: Tanh(), from: ["words"]),"#,
    r#"(name: "along", layer: AlongTime(), from: ["image", "words"]),
        (name: "mixed", layer: Subtract(), from: ["words", "along"]),"#,
    r#"(name: "both", layer: Concat(), from: ["words", "words"]),
        (name: "part", layer: Chunk(index: 1, of: 2), from: ["both"]),
        (name: "along", layer: AlongTime(), from: ["image", "part"]),
        (name: "sum", layer: Add(), from: ["part", "along"]),
        (name: "mixed", layer: LayerNorm(), from: ["sum"]),"#,
    r#"(name: "gate", layer: Affine(units: 1), from: ["words"]),
        (name: "open", layer: Scale(by: 0.5, plus: 1), from: ["gate"]),
        (name: "scaled", layer: ScaleRows(), from: ["words", "open"]),
        (name: "wide", layer: Affine(units: 9), from: ["scaled"]),
        (name: "mixed", layer: Slice(start: 1, width: 8), from: ["wide"]),"#,
    r#"(name: "even", layer: BatchNorm(), from: ["image"]),
        (name: "along", layer: AlongTime(), from: ["even", "words"]),
        (name: "mixed", layer: Add(), from: ["words", "along"]),"#,
];

/// Graphs with every pattern that passes look for, and with what keeps them from applying.
fn graphs() -> Vec<String> {
    let cells = CELLS;
    let plain = cells.iter().map(|cell| caption(cell, "", "words"));
    let dropout = r#"(name: "noisy", layer: Dropout(rate: 0.4), from: ["words"]),"#;
    let mapped = r#"(name: "wide", layer: TemporalAffine(units: 9), from: ["words"]),
        (name: "bent", layer: Tanh(), from: ["wide"]),
        (name: "both", layer: Concat(), from: ["wide", "bent"]),"#;
    let deep = r#"(name: "first", layer: Lstm(units: 5), from: ["words"]),
        (name: "noise", layer: Dropout(), from: ["first"]),"#;
    let others = [
        caption(cells[0], dropout, "noisy"),
        caption(cells[0], mapped, "both"),
        caption(cells[1], deep, "noise"),
        caption(cells[0], "", "words").replace("SoftmaxLoss()", "SoftmaxLoss(per: Token)"),
        caption(cells[0], "", "words").replace("SoftmaxLoss()", "SoftmaxLoss(ignore: None)"),
        caption(cells[1], "", "words")
            .replace("units: Vocabulary)", "units: Vocabulary, bias: false)"),
        caption(cells[3], dropout, "noisy"),
        caption(cells[4], mapped, "both"),
        unstarted(&caption(cells[0], "", "words")),
        unstarted(&caption(cells[3], "", "words")),
        unstarted(&caption(cells[4], "", "words")),
        caption(cells[0], "", "words").replace(r#""h0"]"#, r#""h0", "h0"]"#),
        caption(cells[0], "", "words")
            .replace(r#""words_out"]"#, r#""words_out", "mask"]"#)
            .replace(
                r#""words_out": [Batch, Time]}"#,
                r#""words_out": [Batch, Time], "mask": [Batch, Time]}"#,
            ),
    ];
    let sentences = MIDDLES.iter().map(|middle| of_sentences(middle, r#""words_out""#));
    let masked = of_sentences(MIDDLES[1], r#""words_out", "mask""#);
    plain.chain(others).chain(sentences).chain([masked]).collect()
}

/// A network and a batch of captions that end in padding, some at once.
fn drawn(text: &str, seed: u64) -> (Engine<f64>, Batch) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut size = |most: usize| rng.random_range(1..=most);
    let (rows, time, features, units) = (size(9), size(7), size(5), size(40));
    let vocabulary = size(80) + 3;
    let sizes = [("Features", features), ("Vocabulary", vocabulary), ("Units", units)];
    let sizes: Sizes = sizes.into_iter().collect();
    println!("seed {seed}: {rows} captions of {time}, {sizes:?}");
    let mut batch = Batch::new();
    let fill = batch.f64_mut("features", &[rows, features]);
    fill.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    let mut words = vec![0; rows * time];
    for caption in words.chunks_mut(time) {
        let length = rng.random_range(0..=time);
        // Some positions before the end do not count either.
        caption[..length].iter_mut().for_each(|w| *w = rng.random_range(0..vocabulary as u32));
    }
    words[0] = 1;
    batch.tokens_mut("words_out", &[rows, time]).copy_from_slice(&words);
    let classes = batch.tokens_mut("classes", &[rows]);
    classes.iter_mut().for_each(|class| *class = rng.random_range(0..4));
    let mask = batch.f64_mut("mask", &[rows, time]);
    mask.iter_mut().zip(&words).for_each(|(mask, word)| *mask = f64::from(u8::from(*word > 2)));
    let words = batch.tokens_mut("words_in", &[rows, time]);
    words.iter_mut().for_each(|word| *word = rng.random_range(0..vocabulary.min(12) as u32));
    let mut engine = engine::<f64>(text, sizes).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let plan = engine.plan().clone();
    for (of, parameter) in plan.parameters.iter().zip(engine.parameters_mut()) {
        // Running averages among them are variances, which are above 0.
        let range = if of.is_trained() { -0.8..0.8 } else { 0.1..0.8 };
        parameter.as_mut_slice().iter_mut().for_each(|x| *x = rng.random_range(range.clone()));
    }
    (engine, batch)
}

#[test]
fn loss_and_gradients_are_those_of_the_plain_network() {
    let mut worst = 0.0f64;
    for (text, seed) in graphs().iter().zip(1..) {
        for round in 0..4 {
            let (mut engine, batch) = drawn(text, seed + 100 * round);
            let plain = Outcome::of(&mut engine, &batch, TRAIN);
            for (what, passes) in selections() {
                let mut rewritten = engine.clone().rewritten(&passes);
                // A second step finds arrays as the first has left them.
                for step in 1..=2 {
                    let outcome = Outcome::of(&mut rewritten, &batch, TRAIN);
                    let (error, where_) = outcome.difference(&plain);
                    assert!(error <= BOUND, "{what}, step {step}, {where_}: {error:.1e}\n{text}");
                    worst = worst.max(error);
                }
            }
        }
    }
    println!("worst difference {worst:.1e}");
}

/// The nodes that run, with what is said of their rows.
fn program(text: &str, without: &[&str]) -> String {
    let (engine, _) = drawn(text, 1);
    let program = engine.rewritten(&Passes::without(without).expect("passes")).program().clone();
    let nodes = program.nodes.iter();
    let nodes = nodes.map(|node| format!("{}{}", node.name, if node.by_word() { "*" } else { "" }));
    let end = if program.ends_early() { "!" } else { "" };
    nodes.collect::<Vec<_>>().join(" ") + end
}

/// What computes each node of a plan that writes scores step by step.
fn kernels_of_steps(text: &str, without: &[&str]) -> Vec<String> {
    let engine = drawn(text, 1).0.rewritten(&Passes::without(without).expect("passes"));
    let stepper = Stepper::new(&engine, "scores").expect("a network that writes");
    stepper.program().nodes.iter().map(|node| node.kernel().to_owned()).collect()
}

#[test]
fn weights_are_packed_where_sentences_are_written() {
    for cell in ["Lstm(units: Units)", "Rnn(units: Units)", "Gru(units: Units)"] {
        let text = caption(cell, "", "words");
        let packed = |without: &[&str]| {
            let kernels = kernels_of_steps(&text, without);
            kernels.iter().filter(|kernel| *kernel == "PanelAffine").count()
        };
        // Where the state starts, the input's part of the gates' sums, and the scores.
        assert_eq!(packed(&[]), 3, "{cell}");
        assert_eq!(packed(&["packed-weights"]), 0, "{cell}");
    }
}

#[test]
fn every_pass_finds_its_pattern() {
    let lstm = caption("Lstm(units: Units)", "", "words");
    assert_eq!(program(&lstm, &[]), "h0 words* hidden.input* hidden scores+loss!");
    assert_eq!(program(&lstm, &["hoist"]), "h0 words hidden scores+loss!");
    assert_eq!(program(&lstm, &["distinct-words"]), "h0 words hidden.input hidden scores+loss!");
    assert_eq!(program(&lstm, &["blocked-loss"]), "h0 words* hidden.input* hidden scores loss!");
    assert_eq!(program(&lstm, &["padding"]), "h0 words* hidden.input* hidden scores+loss");
    for cell in CELLS {
        let text = caption(cell, "", "words");
        assert_eq!(program(&text, &[]), "h0 words* hidden.input* hidden scores+loss!", "{cell}");
    }
    let noisy = r#"(name: "noisy", layer: Dropout(rate: 0.4), from: ["words"]),"#;
    let noisy = caption("Rnn(units: Units)", noisy, "noisy");
    assert_eq!(program(&noisy, &[]), "h0 words noisy hidden.input hidden scores+loss!");
    // Objectives over whole sentences do not keep their padding in.
    for middle in MIDDLES {
        for counted in [r#""words_out""#, r#""words_out", "mask""#] {
            assert!(program(&of_sentences(middle, counted), &[]).ends_with('!'), "{middle}");
        }
    }
}

#[test]
fn steps_of_a_rewritten_network_equal_the_plain_forward_pass() {
    for (text, seed) in graphs().iter().zip(1..) {
        let (mut engine, batch) = drawn(text, seed);
        engine.forward(&batch, Mode::Eval).unwrap_or_else(|error| panic!("{error}"));
        let scores = engine.value(engine.plan().value("scores").expect("a value")).clone();
        let rewritten = engine.rewritten(&Passes::default());
        let steps = stepwise(&rewritten, &batch, "scores").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(steps.shape(), scores.shape());
        for (a, b) in steps.as_slice().iter().zip(scores.as_slice()) {
            assert!((a - b).abs() <= BOUND * b.abs().max(1.0), "{a} for {b}\n{text}");
        }
    }
}

#[test]
fn what_is_not_a_number_stays_so() {
    for cell in CELLS {
        let (engine, mut batch) = drawn(&caption(cell, "", "words"), 1);
        let shape = batch.get("features").expect("an input").shape().to_vec();
        batch.f64_mut("features", &shape).fill(f64::NAN);
        let loss = Outcome::of(&mut engine.rewritten(&Passes::default()), &batch, TRAIN).loss;
        assert!(loss.is_nan(), "{cell}: {loss}");
        let (mut engine, batch) = drawn(&caption(cell, "", "words"), 1);
        let words = engine.plan().parameter("words.w").expect("a parameter");
        engine.parameters_mut()[words].fill(f64::NAN);
        let loss = Outcome::of(&mut engine.rewritten(&Passes::default()), &batch, TRAIN).loss;
        assert!(loss.is_nan(), "{cell}: {loss}");
    }
}
