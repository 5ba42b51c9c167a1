//! Recurrences as bodies: they equal the layers that are written for them, and every law of layers holds for them.

#[path = "../../tests/support/rewrites.rs"]
mod rewrites;

use engine_core::engine::{Engine, gradient_check};
use engine_core::graph::{Passes, Plan};
use engine_core::testing::{engine, stepwise};
use engine_core::{Batch, Mode, Sizes, Tensor};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rewrites::{Outcome, selections};

const TRAIN: Mode = Mode::Train { iteration: 3 };

/// Sums that are taken in another order differ by less.
const BOUND: f64 = 1e-12;

/// A captioner whose recurrence is the given node.
fn captioner(hidden: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, Features], "words_in": [Batch, Time], "words_out": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: Units), from: ["features"]),
                (name: "c0", layer: Projection(units: Units), from: ["features"]),
                (name: "words", layer: Embedding(units: 7), from: ["words_in"]),
                {hidden}
                (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
            ],
            outputs: {{"loss": "loss", "scores": "scores"}},
        )"#
    )
}

/// The same recurrence as a layer and as a body, and where the layer's parameters go in the body: the parameter, its
/// block of columns of so many, and the body's parameter.
struct Twin {
    layer: &'static str,
    body: &'static str,
    parameters: &'static [(&'static str, usize, usize, &'static str)],
}

const RNN: Twin = Twin {
    layer: r#"(name: "hidden", layer: Rnn(units: Units), from: ["words", "h0"]),"#,
    body: r#"(name: "hidden", from: ["words", "h0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "wx", layer: Projection(units: Units), from: ["x"]),
            (name: "wh", layer: Projection(units: Units, bias: false), from: ["h"]),
            (name: "sum", layer: Add(), from: ["wx", "wh"]),
            (name: "new", layer: Tanh(), from: ["sum"]),
        ],
        output: "new",
    )),"#,
    parameters: &[("wx", 0, 1, "wx.w"), ("b", 0, 1, "wx.b"), ("wh", 0, 1, "wh.w")],
};

const LSTM: Twin = Twin {
    layer: r#"(name: "hidden", layer: Lstm(units: Units), from: ["words", "h0", "c0"]),"#,
    body: r#"(name: "hidden", from: ["words", "h0", "c0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static, "c0": Static},
        carry: {"h": (start: "h0", next: "h_new"), "c": (start: "c0", next: "c_new")},
        nodes: [
            (name: "ix", layer: Projection(units: Units), from: ["x"]),
            (name: "ih", layer: Projection(units: Units, bias: false), from: ["h"]),
            (name: "fx", layer: Projection(units: Units), from: ["x"]),
            (name: "fh", layer: Projection(units: Units, bias: false), from: ["h"]),
            (name: "ox", layer: Projection(units: Units), from: ["x"]),
            (name: "oh", layer: Projection(units: Units, bias: false), from: ["h"]),
            (name: "gx", layer: Projection(units: Units), from: ["x"]),
            (name: "gh", layer: Projection(units: Units, bias: false), from: ["h"]),
            (name: "isum", layer: Add(), from: ["ix", "ih"]),
            (name: "fsum", layer: Add(), from: ["fx", "fh"]),
            (name: "osum", layer: Add(), from: ["ox", "oh"]),
            (name: "gsum", layer: Add(), from: ["gx", "gh"]),
            (name: "i", layer: Sigmoid(), from: ["isum"]),
            (name: "f", layer: Sigmoid(), from: ["fsum"]),
            (name: "o", layer: Sigmoid(), from: ["osum"]),
            (name: "g", layer: Tanh(), from: ["gsum"]),
            (name: "keep", layer: Multiply(), from: ["f", "c"]),
            (name: "write", layer: Multiply(), from: ["i", "g"]),
            (name: "c_new", layer: Add(), from: ["keep", "write"]),
            (name: "seen", layer: Tanh(), from: ["c_new"]),
            (name: "h_new", layer: Multiply(), from: ["o", "seen"]),
        ],
        output: "h_new",
    )),"#,
    parameters: &[
        ("wx", 0, 4, "ix.w"),
        ("b", 0, 4, "ix.b"),
        ("wh", 0, 4, "ih.w"),
        ("wx", 1, 4, "fx.w"),
        ("b", 1, 4, "fx.b"),
        ("wh", 1, 4, "fh.w"),
        ("wx", 2, 4, "ox.w"),
        ("b", 2, 4, "ox.b"),
        ("wh", 2, 4, "oh.w"),
        ("wx", 3, 4, "gx.w"),
        ("b", 3, 4, "gx.b"),
        ("wh", 3, 4, "gh.w"),
    ],
};

const GRU: Twin = Twin {
    layer: r#"(name: "hidden", layer: Gru(units: Units), from: ["words", "h0"]),"#,
    body: r#"(name: "hidden", from: ["words", "h0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "rx", layer: Affine(units: Units), from: ["x"]),
            (name: "zx", layer: Affine(units: Units), from: ["x"]),
            (name: "nx", layer: Affine(units: Units), from: ["x"]),
            (name: "rh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "zh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "r_sum", layer: Add(), from: ["rx", "rh"]),
            (name: "z_sum", layer: Add(), from: ["zx", "zh"]),
            (name: "r", layer: Sigmoid(), from: ["r_sum"]),
            (name: "z", layer: Sigmoid(), from: ["z_sum"]),
            (name: "seen", layer: Multiply(), from: ["r", "h"]),
            (name: "nh", layer: Affine(units: Units, bias: false), from: ["seen"]),
            (name: "n_sum", layer: Add(), from: ["nx", "nh"]),
            (name: "n", layer: Tanh(), from: ["n_sum"]),
            (name: "open", layer: Scale(by: -1, plus: 1), from: ["z"]),
            (name: "fresh", layer: Multiply(), from: ["open", "n"]),
            (name: "kept", layer: Multiply(), from: ["z", "h"]),
            (name: "new", layer: Add(), from: ["fresh", "kept"]),
        ],
        output: "new",
    )),"#,
    parameters: &[
        ("wx", 0, 3, "rx.w"),
        ("b", 0, 3, "rx.b"),
        ("wh", 0, 3, "rh.w"),
        ("wx", 1, 3, "zx.w"),
        ("b", 1, 3, "zx.b"),
        ("wh", 1, 3, "zh.w"),
        ("wx", 2, 3, "nx.w"),
        ("b", 2, 3, "nx.b"),
        ("wh", 2, 3, "nh.w"),
    ],
};

const GRU_AFTER: Twin = Twin {
    layer: r#"(name: "hidden", layer: Gru(units: Units, reset: After), from: ["words", "h0"]),"#,
    body: r#"(name: "hidden", from: ["words", "h0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "rx", layer: Affine(units: Units), from: ["x"]),
            (name: "zx", layer: Affine(units: Units), from: ["x"]),
            (name: "nx", layer: Affine(units: Units), from: ["x"]),
            (name: "rh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "zh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "r_sum", layer: Add(), from: ["rx", "rh"]),
            (name: "z_sum", layer: Add(), from: ["zx", "zh"]),
            (name: "r", layer: Sigmoid(), from: ["r_sum"]),
            (name: "z", layer: Sigmoid(), from: ["z_sum"]),
            (name: "nh", layer: Affine(units: Units), from: ["h"]),
            (name: "seen", layer: Multiply(), from: ["r", "nh"]),
            (name: "n_sum", layer: Add(), from: ["nx", "seen"]),
            (name: "n", layer: Tanh(), from: ["n_sum"]),
            (name: "open", layer: Scale(by: -1, plus: 1), from: ["z"]),
            (name: "fresh", layer: Multiply(), from: ["open", "n"]),
            (name: "kept", layer: Multiply(), from: ["z", "h"]),
            (name: "new", layer: Add(), from: ["fresh", "kept"]),
        ],
        output: "new",
    )),"#,
    parameters: &[
        ("wx", 0, 3, "rx.w"),
        ("b", 0, 3, "rx.b"),
        ("wh", 0, 3, "rh.w"),
        ("wx", 1, 3, "zx.w"),
        ("b", 1, 3, "zx.b"),
        ("wh", 1, 3, "zh.w"),
        ("wx", 2, 3, "nx.w"),
        ("b", 2, 3, "nx.b"),
        ("wh", 2, 3, "nh.w"),
        ("bn", 0, 1, "nh.b"),
    ],
};

/// A body of one cell.
const LSTM_CELL: Twin = Twin {
    body: r#"(name: "hidden", from: ["words", "h0", "c0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static, "c0": Static},
        carry: {"h": (start: "h0", next: "cell"), "c": (start: "c0", next: "cell.c")},
        nodes: [(name: "cell", layer: LstmCell(units: Units), from: ["x", "h", "c"])],
        output: "cell",
    )),"#,
    parameters: &[("wx", 0, 1, "cell.wx"), ("b", 0, 1, "cell.b"), ("wh", 0, 1, "cell.wh")],
    ..LSTM
};

/// All of them.
const TWINS: [Twin; 5] = [RNN, LSTM, GRU, GRU_AFTER, LSTM_CELL];

/// Captions that end in padding, and the sizes that go with them.
fn drawn(seed: u64) -> (Sizes, Batch) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut size = |most: usize| rng.random_range(1..=most);
    let (rows, time, features, units) = (size(9), size(7), size(5), size(40));
    let vocabulary = size(60) + 3;
    let sizes = [("Features", features), ("Vocabulary", vocabulary), ("Units", units)];
    let sizes: Sizes = sizes.into_iter().collect();
    println!("seed {seed}: {rows} captions of {time}, {sizes:?}");
    let mut batch = Batch::new();
    let fill = batch.f64_mut("features", &[rows, features]);
    fill.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    let mut words = vec![0; rows * time];
    for caption in words.chunks_mut(time) {
        let length = rng.random_range(0..=time);
        caption[..length].iter_mut().for_each(|w| *w = rng.random_range(0..vocabulary as u32));
    }
    words[0] = 1;
    batch.tokens_mut("words_out", &[rows, time]).copy_from_slice(&words);
    let words = batch.tokens_mut("words_in", &[rows, time]);
    words.iter_mut().for_each(|word| *word = rng.random_range(0..vocabulary.min(12) as u32));
    (sizes, batch)
}

fn network(text: &str, sizes: &Sizes, seed: u64) -> Engine<f64> {
    let mut engine = engine::<f64>(text, sizes.clone()).unwrap_or_else(|e| panic!("{e}\n{text}"));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    parameters.for_each(|x| *x = rng.random_range(-0.8..0.8));
    engine
}

/// A block of columns of an array.
fn columns(array: &Tensor<f64>, block: usize, of: usize) -> Vec<f64> {
    let rows = array.rows();
    let width = rows.ncols() / of;
    let row = |row: ndarray::ArrayView1<'_, f64>| {
        row.iter().skip(block * width).take(width).copied().collect::<Vec<f64>>()
    };
    rows.outer_iter().flat_map(row).collect()
}

fn at(engine: &Engine<f64>, name: &str) -> usize {
    engine.plan().parameter(name).unwrap_or_else(|| panic!("no parameter {name}"))
}

impl Twin {
    /// The layer's network, and the body's with the same parameters.
    fn networks(&self, sizes: &Sizes, seed: u64) -> (Engine<f64>, Engine<f64>) {
        let layer = network(&captioner(self.layer), sizes, seed);
        let mut body = network(&captioner(self.body), sizes, seed);
        for (parameter, name) in layer.parameters().iter().zip(&layer.plan().parameters) {
            if let Some(at) = body.plan().parameter(&name.name) {
                body.parameters_mut()[at] = parameter.clone();
            }
        }
        for (parameter, block, of, name) in self.parameters {
            let from = &layer.parameters()[at(&layer, &format!("hidden.{parameter}"))];
            let values = columns(from, *block, *of);
            let at = at(&body, &format!("hidden/{name}"));
            body.parameters_mut()[at].as_mut_slice().copy_from_slice(&values);
        }
        (layer, body)
    }

    fn assert_equal(&self, layer: &Engine<f64>, body: &Engine<f64>, what: &str) {
        let (a, b) = (layer.loss().expect("a loss"), body.loss().expect("a loss"));
        assert!((a - b).abs() <= BOUND * a.abs().max(1.0), "{what}: loss {a} and {b}");
        let near = |name: &str, a: &[f64], b: &[f64]| {
            let scale = a.iter().fold(1.0f64, |most, x| most.max(x.abs()));
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= BOUND * scale, "{what}: {name}: {a} and {b}");
            }
        };
        for (gradient, parameter) in layer.gradients().iter().zip(&layer.plan().parameters) {
            if let Some(at) = body.plan().parameter(&parameter.name) {
                near(&parameter.name, gradient.as_slice(), body.gradients()[at].as_slice());
            }
        }
        for (parameter, block, of, name) in self.parameters {
            let from = &layer.gradients()[at(layer, &format!("hidden.{parameter}"))];
            let to = &body.gradients()[at(body, &format!("hidden/{name}"))];
            near(name, &columns(from, *block, *of), to.as_slice());
        }
    }
}

#[test]
fn a_body_equals_the_layer_with_and_without_passes() {
    for twin in TWINS {
        for seed in 0..6 {
            let (sizes, batch) = drawn(seed);
            let (mut layer, body) = twin.networks(&sizes, seed);
            layer.forward(&batch, TRAIN).unwrap();
            layer.backward();
            let plain = (String::from("no pass"), Passes::none());
            for (what, passes) in selections().into_iter().chain([plain]) {
                let mut body = body.clone().rewritten(&passes);
                for step in 1..=2 {
                    body.forward(&batch, TRAIN).unwrap();
                    body.backward();
                    twin.assert_equal(&layer, &body, &format!("{what}, step {step}"));
                }
            }
        }
    }
}

#[test]
fn steps_of_a_body_equal_its_forward_pass_and_those_of_the_layer() {
    for twin in TWINS {
        for seed in 10..14 {
            let (sizes, batch) = drawn(seed);
            let (mut layer, body) = twin.networks(&sizes, seed);
            layer.forward(&batch, Mode::Eval).unwrap();
            let exact = layer.output("scores").unwrap().clone();
            for passes in [Passes::none(), Passes::default()] {
                let steps = stepwise(&body.clone().rewritten(&passes), &batch, "scores").unwrap();
                for (a, b) in steps.as_slice().iter().zip(exact.as_slice()) {
                    assert!((a - b).abs() < BOUND, "{a} and {b}");
                }
            }
        }
    }
}

#[test]
fn gradients_of_a_body_agree_with_finite_differences() {
    for twin in TWINS {
        for seed in 20..23 {
            let (sizes, batch) = drawn(seed);
            let (_, mut body) = twin.networks(&sizes, seed);
            let worst = gradient_check(&mut body, &batch, Mode::Eval, 20, seed).unwrap().unwrap();
            assert!(worst.relative_error < 1e-6, "{worst:?}");
        }
    }
}

/// Networks with everything that a body can say.
const BODIES: [&str; 6] = [
    // What every step meets all of, noise, a memory of the word before, and where sequences end.
    r#"(name: "hidden", from: ["words", "h0", "features"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static, "image": Static},
        carry: {
            "h": (start: "h0", next: "new"),
            "before": (start: Zeros([Batch, 7]), next: "x"),
            "count": (start: Constant(0.5, [Batch, Units]), next: "sum"),
        },
        nodes: [
            (name: "both", layer: Concat(), from: ["x", "before"]),
            (name: "noisy", layer: Dropout(rate: 0.3), from: ["x"]),
            (name: "side", layer: Projection(units: Units), from: ["image"]),
            (name: "bent", layer: Tanh(), from: ["side"]),
            (name: "wx", layer: Affine(units: Units), from: ["both"]),
            (name: "wn", layer: Affine(units: Units), from: ["noisy"]),
            (name: "wh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "sum", layer: Add(), from: ["wx", "wh", "wn", "bent"]),
            (name: "gone", layer: Scale(by: 0.5, plus: 0.1), from: ["count"]),
            (name: "rest", layer: Subtract(), from: ["sum", "gone"]),
            (name: "new", layer: Sigmoid(), from: ["rest"]),
        ],
        output: "new",
        outputs: {"side": "rest", "again": "new"},
        last: {"end": "h", "word": "before"},
    )),
    (name: "ends", layer: Concat(), from: ["hidden.end", "hidden.word"]),
    (name: "wide", layer: Projection(units: Units), from: ["ends"]),
    (name: "spread", layer: AlongTime(), from: ["wide", "hidden"]),"#,
    // Gates in one product.
    r#"(name: "hidden", from: ["words", "h0", "c0"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static, "c0": Static},
        carry: {"h": (start: "h0", next: "h_new"), "c": (start: "c0", next: "c_new")},
        nodes: [
            (name: "xs", layer: Affine(units: Gates), from: ["x"]),
            (name: "hs", layer: Affine(units: Gates, bias: false), from: ["h"]),
            (name: "sums", layer: Add(), from: ["xs", "hs"]),
            (name: "i_sum", layer: Chunk(index: 0, of: 4), from: ["sums"]),
            (name: "f_sum", layer: Chunk(index: 1, of: 4), from: ["sums"]),
            (name: "o_sum", layer: Chunk(index: 2, of: 4), from: ["sums"]),
            (name: "g_sum", layer: Chunk(index: 3, of: 4), from: ["sums"]),
            (name: "i", layer: Sigmoid(), from: ["i_sum"]),
            (name: "f", layer: Sigmoid(), from: ["f_sum"]),
            (name: "o", layer: Sigmoid(), from: ["o_sum"]),
            (name: "g", layer: Tanh(), from: ["g_sum"]),
            (name: "keep", layer: Multiply(), from: ["f", "c"]),
            (name: "write", layer: Multiply(), from: ["i", "g"]),
            (name: "c_new", layer: Add(), from: ["keep", "write"]),
            (name: "seen", layer: Tanh(), from: ["c_new"]),
            (name: "h_new", layer: Multiply(), from: ["o", "seen"]),
        ],
        output: "h_new",
    )),"#,
    // A body in a body: over regions at every step.
    r#"(name: "hidden", from: ["words", "h0", "regions"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static, "regions": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "wx", layer: Affine(units: Units), from: ["x"]),
            (name: "look", from: ["regions", "h"], layer: Scan(
                over: Regions,
                inputs: {"region": PerStep, "state": Static},
                carry: {"seen": (start: "state", next: "more")},
                nodes: [
                    (name: "one", layer: Affine(units: Units), from: ["region"]),
                    (name: "so_far", layer: Affine(units: Units, bias: false), from: ["seen"]),
                    (name: "sum", layer: Add(), from: ["one", "so_far"]),
                    (name: "noisy", layer: Dropout(rate: 0.2), from: ["sum"]),
                    (name: "more", layer: Tanh(), from: ["noisy"]),
                ],
                output: "more",
                last: {"all": "seen"},
            )),
            (name: "total", layer: Sum(axis: 1), from: ["look"]),
            (name: "sum", layer: Add(), from: ["wx", "look.all", "total"]),
            (name: "new", layer: Tanh(), from: ["sum"]),
        ],
        output: "new",
    )),"#,
    // Over regions alone: an image as a sequence.
    r#"(name: "scan", from: ["regions"], layer: Scan(
        over: Regions,
        inputs: {"region": PerStep},
        carry: {"h": (start: Zeros([Batch, Units]), next: "new")},
        nodes: [
            (name: "wx", layer: Affine(units: Units), from: ["region"]),
            (name: "wh", layer: Affine(units: Units, bias: false), from: ["h"]),
            (name: "sum", layer: Add(), from: ["wx", "wh"]),
            (name: "new", layer: Tanh(), from: ["sum"]),
        ],
        output: "new",
        last: {"end": "h"},
    )),
    (name: "mean", layer: Mean(axis: 1), from: ["scan"]),
    (name: "start", layer: Add(), from: ["mean", "scan.end"]),
    (name: "hidden", layer: Rnn(units: Units), from: ["words", "start"]),"#,
    // Weights shared within a body, with a node outside and with what is outside of a body in a body.
    r#"(name: "first", layer: Affine(units: Units), from: ["h0"], weights_of: "hidden/wh"),
    (name: "hidden", from: ["words", "first"], layer: Scan(
        inputs: {"x": PerStep, "h0": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "wx", layer: Affine(units: Units), from: ["x"]),
            (name: "wh", layer: Affine(units: Units), from: ["h"]),
            (name: "again", layer: Affine(units: Units), from: ["wh"], weights_of: "wh"),
            (name: "thrice", layer: Affine(units: Units), from: ["x"], weights_of: "other"),
            (name: "sum", layer: Add(), from: ["wx", "again", "thrice"]),
            (name: "new", layer: Tanh(), from: ["sum"]),
        ],
        output: "new",
    )),
    (name: "other", layer: Affine(units: Units), from: ["words"]),
    (name: "both", layer: Add(), from: ["hidden", "other"]),"#,
    // One sequence's steps without anything from outside but where they start.
    r#"(name: "hidden", from: ["h0"], layer: Scan(
        inputs: {"h0": Static},
        carry: {"h": (start: "h0", next: "new")},
        nodes: [
            (name: "wh", layer: Affine(units: Units), from: ["h"]),
            (name: "new", layer: Tanh(), from: ["wh"]),
        ],
        output: "new",
    )),"#,
];

fn with_body(body: &str) -> String {
    let text = captioner(body).replace(
        r#""words_out": [Batch, Time]}"#,
        r#""words_out": [Batch, Time], "regions": [Batch, Regions, 3]}"#,
    );
    let last = ["spread", "both"]
        .into_iter()
        .find(|name| body.contains(&format!("(name: \"{name}\", layer: A")));
    match last.filter(|name| body.contains("spread") || *name == "both") {
        Some("spread") => text.replace(
            r#"from: ["hidden"]),"#,
            r#"from: ["sums"]),"#,
        ).replace(
            r#"(name: "scores""#,
            r#"(name: "sums", layer: Add(), from: ["hidden", "hidden.side", "hidden.again", "spread"]),
            (name: "scores""#,
        ),
        Some(name) if body.contains("weights_of") => text.replace(r#"from: ["hidden"]),"#, &format!(r#"from: ["{name}"]),"#)),
        _ => text,
    }
}

/// As [`drawn`], with regions.
fn drawn_with_regions(seed: u64) -> (Sizes, Batch) {
    let (sizes, mut batch) = drawn(seed);
    let mut rng = ChaCha8Rng::seed_from_u64(seed + 1000);
    let rows = batch.get("features").expect("drawn").shape()[0];
    let regions = rng.random_range(1..=4);
    let fill = batch.f64_mut("regions", &[rows, regions, 3]);
    fill.iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    let units = sizes.get(engine_core::Symbol::new("Units")).expect("drawn").min(6);
    let all = [("Regions", regions), ("Units", units), ("Gates", 4 * units)];
    (all.into_iter().fold(sizes, |s, (name, n)| s.with(engine_core::Symbol::new(name), n)), batch)
}

#[test]
fn bodies_are_the_same_with_and_without_passes() {
    for body in BODIES {
        let text = with_body(body);
        for seed in 30..34 {
            let (sizes, batch) = drawn_with_regions(seed);
            let mut engine = network(&text, &sizes, seed);
            let plain = Outcome::of(&mut engine, &batch, TRAIN);
            for (what, passes) in selections() {
                let mut rewritten = engine.clone().rewritten(&passes);
                for step in 1..=2 {
                    let outcome = Outcome::of(&mut rewritten, &batch, TRAIN);
                    let (error, place) = outcome.difference(&plain);
                    assert!(error <= BOUND, "{what}, step {step}, {place}: {error:.1e}\n{text}");
                }
            }
        }
    }
}

/// What passes leave of the LSTM's body: products with the state, sums, and one chain for the gates.
#[test]
fn bodies_are_rewritten() {
    let (sizes, _) = drawn(30);
    let running = |passes: &Passes| {
        let engine = network(&captioner(LSTM.body), &sizes, 30).rewritten(passes);
        let names = |plan: &Plan| plan.nodes.iter().map(|n| n.name.clone()).collect::<Vec<_>>();
        let plan = engine.program();
        let hidden = plan.nodes.iter().find(|node| node.name == "hidden").expect("the Scan");
        (names(plan), names(&hidden.body.as_ref().expect("its body").plan))
    };
    let without = |name| Passes::without(&[name]).expect("a pass");
    let all_but_chains = |names: &[String]| names.iter().filter(|n| n.ends_with("sum")).count();

    let (outer, inner) = running(&Passes::none());
    assert_eq!((outer.len(), inner.len()), (6, 21));
    let (outer, inner) = running(&Passes::default());
    for gate in ["ix", "fx", "ox", "gx"].map(|gate| format!("hidden/{gate}")) {
        assert!(outer.contains(&gate) && !inner.contains(&gate), "{outer:?} {inner:?}");
    }
    assert_eq!(inner.len(), 5, "four products and one chain: {inner:?}");
    let (outer, inner) = running(&without("hoist"));
    assert!(outer.iter().all(|name| !name.contains('/')) && inner.len() == 9, "{inner:?}");
    let (_, inner) = running(&without("chains"));
    assert_eq!((inner.len(), all_but_chains(&inner)), (17, 4), "{inner:?}");
}

#[test]
fn gradients_of_bodies_agree_with_finite_differences() {
    for body in BODIES {
        let text = with_body(body);
        for seed in 40..42 {
            let (sizes, batch) = drawn_with_regions(seed);
            let mut engine = network(&text, &sizes, seed);
            let worst = gradient_check(&mut engine, &batch, TRAIN, 12, seed).unwrap().unwrap();
            assert!(worst.relative_error < 1e-6, "{worst:?}\n{text}");
        }
    }
}

#[test]
fn steps_of_bodies_equal_their_forward_pass() {
    for body in BODIES.iter().filter(|body| !body.contains("spread")) {
        let text = with_body(body);
        for seed in 50..54 {
            let (sizes, batch) = drawn_with_regions(seed);
            let mut engine = network(&text, &sizes, seed);
            engine.forward(&batch, Mode::Eval).unwrap();
            let exact = engine.output("scores").unwrap().clone();
            for passes in [Passes::none(), Passes::default()] {
                let steps = stepwise(&engine.clone().rewritten(&passes), &batch, "scores").unwrap();
                for (a, b) in steps.as_slice().iter().zip(exact.as_slice()) {
                    assert!((a - b).abs() < BOUND, "{a} and {b}\n{text}");
                }
            }
        }
    }
}
