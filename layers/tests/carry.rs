//! What a graph carries from batch to batch is what the value was for the batch before, whatever passes do.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Document, Graph, PASSES, Passes};
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Scalar, Sizes};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const UNITS: usize = 5;
const VOCABULARY: usize = 9;
const TRAIN: Mode = Mode::Train { iteration: 1 };

/// A captioner whose first state depends on the one of the batch before, and, apart from what is carried, a number for
/// each sequence that only the next batch reads.
fn text(carry: &str) -> String {
    format!(
        r#"Graph(
            inputs: {{"features": [Batch, 3], "state": [Batch, Units], "words": [Batch, Time], "next": [Batch, Time]}},
            nodes: [
                (name: "both", layer: Concat(), from: ["features", "state"]),
                (name: "h0", layer: Projection(units: Units), from: ["both"]),
                (name: "end", layer: Tanh(), from: ["mapped"]),
                (name: "mapped", layer: Projection(units: 5), from: ["h0"]),
                (name: "vectors", layer: Embedding(units: 4, vocabulary: 9), from: ["words"]),
                (name: "hidden", layer: Lstm(units: 5), from: ["vectors", "h0"]),
                (name: "scores", layer: TemporalAffine(units: 9), from: ["hidden"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "next"]),
            ],
            outputs: {{"loss": "loss"{}}},
            {carry}
        )"#,
        // Without the section nothing else needs the value.
        if carry.is_empty() { r#", "end": "end""# } else { "" }
    )
}

fn network<T: Scalar>(carry: &str, passes: &Passes) -> Engine<T> {
    let built = engine(&text(carry), Sizes::new()).unwrap_or_else(|error| panic!("{error}"));
    if carry.is_empty() { built } else { built.rewritten(passes) }
}

/// A batch of captions that end in padding, none at the same place as its neighbour.
fn batch(rows: usize, seed: u64) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut batch = Batch::new();
    batch.f64_mut("features", &[rows, 3]).fill_with(|| rng.random_range(-1.0..1.0));
    for name in ["words", "next"] {
        let to = batch.tokens_mut(name, &[rows, 6]);
        for caption in to.chunks_mut(6) {
            let length = rng.random_range(1..=6);
            caption[..length].fill_with(|| rng.random_range(1..VOCABULARY as u32));
        }
    }
    batch
}

const CARRY: &str = r#"carry: {"state": "end"},"#;

/// The loss and gradients of some batches, with what is carried fed by hand.
fn by_hand(sizes: &[usize]) -> Vec<(f64, Vec<f64>)> {
    let mut engine = network::<f64>("", &Passes::none());
    let mut state: Vec<f64> = Vec::new();
    let outcomes = sizes.iter().zip(0..).map(|(&rows, seed)| {
        let mut batch = batch(rows, seed);
        if state.len() != rows * UNITS {
            state = vec![0.0; rows * UNITS];
        }
        batch.f64_mut("state", &[rows, UNITS]).copy_from_slice(&state);
        engine.forward(&batch, TRAIN).unwrap();
        engine.backward();
        state = engine.output("end").unwrap().as_slice().to_vec();
        outcome(&engine)
    });
    outcomes.collect()
}

fn outcome(engine: &Engine<f64>) -> (f64, Vec<f64>) {
    let gradients = engine.gradients().iter().flat_map(|g| g.as_slice().to_vec());
    (engine.loss().unwrap(), gradients.collect())
}

fn carried(engine: &mut Engine<f64>, rows: usize, seed: u64) -> (f64, Vec<f64>) {
    engine.forward(&batch(rows, seed), TRAIN).unwrap();
    engine.carry();
    engine.backward();
    outcome(engine)
}

#[track_caller]
fn assert_near(found: &(f64, Vec<f64>), expected: &(f64, Vec<f64>), what: &str) {
    assert!((found.0 - expected.0).abs() < 1e-12, "{what}: {} {}", found.0, expected.0);
    let pairs = found.1.iter().zip(&expected.1);
    let worst = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst < 1e-12 && found.1.len() == expected.1.len(), "{what}: {worst:e}");
}

fn all_passes() -> Vec<(String, Passes)> {
    let without = PASSES
        .iter()
        .map(|pass| (format!("without {}", pass.name), Passes::without(&[pass.name]).unwrap()));
    let both = [("all".to_owned(), Passes::default()), ("none".to_owned(), Passes::none())];
    both.into_iter().chain(without).collect()
}

#[test]
fn each_batch_reads_what_the_one_before_left() {
    // A batch of another size begins anew.
    let sizes = [4, 4, 4, 2, 2, 4];
    let expected = by_hand(&sizes);
    for (what, passes) in all_passes() {
        let mut engine = network(CARRY, &passes);
        for ((&rows, seed), expected) in sizes.iter().zip(0..).zip(&expected) {
            let found = carried(&mut engine, rows, seed);
            assert_near(&found, expected, &format!("{what}, batch {seed}"));
        }
    }
}

#[test]
fn padding_is_left_out_though_rows_are_carried() {
    let engine = network::<f64>(CARRY, &Passes::default());
    assert!(engine.program().ends_early());
}

#[test]
fn without_a_call_the_same_batch_gives_the_same() {
    let mut engine = network::<f64>(CARRY, &Passes::default());
    carried(&mut engine, 3, 0);
    let mut forward = || {
        engine.forward(&batch(3, 1), TRAIN).unwrap();
        engine.loss().unwrap()
    };
    assert_eq!(forward(), forward());
}

#[test]
fn forgetting_begins_anew_and_remembering_goes_on() {
    let expected = by_hand(&[4, 4, 4]);
    let mut engine = network(CARRY, &Passes::default());
    carried(&mut engine, 4, 0);
    let before = engine.forget();
    // What is measured in between has a state of its own.
    for _ in 0..2 {
        assert_near(&carried(&mut engine, 4, 0), &expected[0], "anew");
        carried(&mut engine, 4, 7);
        engine.forget();
    }
    engine.remember(before);
    assert_near(&carried(&mut engine, 4, 1), &expected[1], "on");
    assert_near(&carried(&mut engine, 4, 2), &expected[2], "and on");
}

#[test]
fn a_checkpoint_holds_what_is_carried() {
    let path = Path::new("carried.safetensors");
    let mut whole = network(CARRY, &Passes::default());
    let mut resumed = network(CARRY, &Passes::none());
    let nothing = checkpoint::carried(&whole).unwrap();
    carried(&mut whole, 4, 0);
    let bytes = checkpoint::carried(&whole).unwrap();
    checkpoint::set_carried(&mut resumed, &bytes, path).unwrap();
    assert_eq!(checkpoint::carried(&resumed).unwrap(), bytes);
    let mut anew = resumed.clone();
    assert_near(&carried(&mut resumed, 4, 1), &carried(&mut whole, 4, 1), "resumed");
    checkpoint::set_carried(&mut anew, &nothing, path).unwrap();
    assert_near(&carried(&mut anew, 4, 0), &by_hand(&[4])[0], "anew");
    assert!(checkpoint::carried(&network::<f64>("", &Passes::none())).is_none());
    let other = checkpoint::parameters(&whole);
    let error = checkpoint::set_carried(&mut anew, &other, path).unwrap_err().to_string();
    assert!(error.contains("carried.safetensors"), "{error}");
}

/// The faults of a graph, and what the text says where they are.
fn faults(text: &str) -> Vec<(String, String)> {
    let document = Document::new("g.ron", text);
    let (graph, mut faults) = Graph::read(&document, &[]);
    faults.extend(graph.into_iter().flat_map(|graph| graph.check(&Sizes::new(), Some(&[])).faults));
    let place = |span: std::ops::Range<usize>| document.text()[span].to_owned();
    faults.into_iter().map(|f| (f.message, f.span.map_or(String::new(), place))).collect()
}

#[test]
fn a_size_may_follow_from_what_is_carried() {
    let text = text(CARRY).replace("(units: Units)", "(units: 5)");
    let text = text.replace(r#""Units""#, r#""Wide""#);
    assert_eq!(faults(&text), []);
}

#[test]
fn every_fault_has_its_place() {
    for (carry, expected, place) in [
        (r#"carry: {"stat": "end"},"#, "there is no input `stat`", "\"end\""),
        (
            r#"carry: {"state": "ende"},"#,
            "carry `state` names `ende`, which is no node",
            "\"ende\"",
        ),
        (r#"carry: {"state": "end.c"},"#, "there is no output `end.c`", "\"end.c\""),
        (r#"carry: {"state": "features"},"#, "`features` is an input", "\"features\""),
        (r#"carry: {"state": "hidden"},"#, "found [Batch, Time, 5] from `hidden`", "\"hidden\""),
        (r#"carry: {"features": "end"},"#, "[Batch, 3], found [Batch, 5] from `end`", "\"end\""),
        (
            r#"carry: {"words": "end"},"#,
            "`vectors` takes input `words` as vocabulary indices",
            "\"end\"",
        ),
        (r#"carry: {"state": "end", "state": "h0"},"#, "`state` is carried twice", "\"h0\""),
        (r#"carry: {"state": 5},"#, "carry `state`", "5"),
        (r#"carry: ["end"],"#, "`carry` names values", "[\"end\"]"),
    ] {
        let found = faults(&text(carry));
        let is_it = |(message, at): &(String, String)| message.contains(expected) && at == place;
        assert!(found.iter().any(is_it), "{carry}: {found:#?}");
    }
}

#[test]
fn only_rows_without_time_are_carried() {
    let text = text(r#"carry: {"long": "hidden"},"#)
        .replace(r#""words": ["#, r#""long": [Batch, Time, 5], "words": ["#)
        .replace(r#"["vectors", "h0"]"#, r#"["seen", "h0"]"#)
        .replace(
            r#"(name: "hidden""#,
            r#"(name: "seen", layer: Concat(), from: ["vectors", "long"]), (name: "hidden""#,
        );
    let found = faults(&text);
    assert!(found[0].0.contains("expected [Batch, ..] without Time"), "{found:#?}");
}
