//! What training changes goes to bytes and comes back bit for bit; bytes of another network are refused.

use std::path::Path;

use engine_core::engine::checkpoint::{self, CheckpointError};
use engine_core::engine::{Engine, Limits, Updater};
use engine_core::field::Positive;
use engine_core::graph::Document;
use engine_core::registry::{Entry, UPDATE_RULE};
use engine_core::testing::engine;
use engine_core::{Optimizer, Scalar, Sizes, Tagged};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const PATH: &str = "step-7/parameters.safetensors";

fn network<T: Scalar>(hidden: &str, units: usize) -> Engine<T> {
    let graph = format!(
        r#"Graph(
            inputs: {{"features": [Batch, 3], "words": [Batch, Time], "next": [Batch, Time]}},
            nodes: [
                (name: "h0", layer: Projection(units: {units}), from: ["features"]),
                (name: "vectors", layer: Embedding(units: 5, vocabulary: 9), from: ["words"]),
                (name: "{hidden}", layer: Lstm(units: {units}), from: ["vectors", "h0"]),
                (name: "scores", layer: TemporalAffine(units: 9), from: ["{hidden}"]),
                (name: "loss", layer: SoftmaxLoss(), from: ["scores", "next"]),
            ],
        )"#
    );
    engine(&graph, Sizes::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn rules() -> impl Iterator<Item = Tagged<dyn Optimizer>> {
    let texts = Entry::of(UPDATE_RULE).map(|entry| entry.example);
    texts.map(|text| Document::new("rule", text).parse(text).unwrap_or_else(|_| panic!("{text}")))
}

fn updater<T: Scalar>(rule: &Tagged<dyn Optimizer>, engine: &Engine<T>) -> Updater<T> {
    let clip_norm = Some(Positive::constant(5.0));
    Updater::new(rule.clone(), Limits { clip_norm, ..Limits::default() }, engine)
}

/// Steps along gradients that a seed and the number of the step decide.
fn steps<T: Scalar>(engine: &mut Engine<T>, updater: &mut Updater<T>, count: u64) {
    for _ in 0..count {
        let mut rng = ChaCha8Rng::seed_from_u64(updater.steps());
        let (_, gradients) = engine.parameters_and_gradients_mut();
        for gradient in gradients.iter_mut().flat_map(|g| g.as_mut_slice()) {
            *gradient = T::of(rng.random_range(-1.0..1.0));
        }
        updater.limit(engine);
        updater.update(engine, 0.01);
    }
}

fn bits<T: Scalar>(engine: &Engine<T>) -> Vec<u64> {
    engine.parameters().iter().flat_map(|p| p.as_slice()).map(|x| x.f64().to_bits()).collect()
}

fn goes_on_as_if_never_stopped<T: Scalar>() {
    for rule in rules() {
        let mut whole = network::<T>("hidden", 4);
        let mut whole_updater = updater(&rule, &whole);
        steps(&mut whole, &mut whole_updater, 7);
        let parameters = checkpoint::parameters(&whole);
        let slots = checkpoint::slots(&whole_updater, &whole);
        steps(&mut whole, &mut whole_updater, 5);

        let mut resumed = network::<T>("hidden", 4);
        resumed.parameters_mut().iter_mut().for_each(|p| p.fill(T::of(9.0)));
        let mut resumed_updater = updater(&rule, &resumed);
        let path = Path::new(PATH);
        checkpoint::set_parameters(&mut resumed, &parameters, path).expect("the same network");
        checkpoint::set_slots(&mut resumed_updater, 7, &resumed, &slots, path)
            .expect("the same rule");
        assert_eq!(checkpoint::parameters(&resumed), parameters, "{rule:?}");
        assert_eq!(checkpoint::slots(&resumed_updater, &resumed), slots, "{rule:?}");
        steps(&mut resumed, &mut resumed_updater, 5);
        assert_eq!(bits(&resumed), bits(&whole), "{rule:?}");
    }
}

#[test]
fn training_goes_on_as_if_it_had_never_stopped() {
    goes_on_as_if_never_stopped::<f32>();
    goes_on_as_if_never_stopped::<f64>();
}

#[test]
fn bytes_of_another_network_change_nothing() {
    let bytes = checkpoint::parameters(&network::<f32>("hidden", 4));
    let cases = [
        (
            network::<f32>("hiden", 4),
            bytes.clone(),
            "parameter `hidden.b`, which the graph has not; the nearest is `hiden.b`",
        ),
        (network("hidden", 5), bytes.clone(), "`h0.w`: expected [3, 5], found F32 [3, 4]"),
        (network("hidden", 4), bytes[..bytes.len() - 1].to_vec(), "no readable safetensors file"),
    ];
    for (mut other, bytes, says) in cases {
        let before = bits(&other);
        let error = checkpoint::set_parameters(&mut other, &bytes, Path::new(PATH)).unwrap_err();
        let message = error.to_string();
        assert!(message.contains(says) && message.contains(PATH), "{message}");
        assert_eq!(bits(&other), before);
    }
}

#[test]
fn numbers_of_another_rule_are_refused() {
    let network = network::<f64>("hidden", 3);
    let rule =
        |text| Document::new("rule", text).parse::<Tagged<dyn Optimizer>>(text).expect("a rule");
    let slots = checkpoint::slots(&updater(&rule("Adam()"), &network), &network);
    let mut momentum = updater(&rule("Momentum()"), &network);
    let error = checkpoint::set_slots(&mut momentum, 3, &network, &slots, Path::new(PATH));
    assert!(matches!(error, Err(CheckpointError::LeftOver { .. })), "{error:?}");
    assert_eq!(momentum.steps(), 0);
}

#[test]
fn what_fits_is_adopted_and_the_rest_is_named() {
    let from = network::<f32>("hidden", 4);
    let bytes = checkpoint::parameters(&from);
    let mut wider = network::<f64>("hiden", 6);
    let adopted =
        checkpoint::adopt_parameters(&mut wider, &bytes, Path::new(PATH)).expect("a file");
    assert_eq!(adopted.taken, ["vectors.w", "scores.b"]);
    let differing: Vec<_> = adopted.differing.iter().map(|(name, ..)| name.as_str()).collect();
    assert_eq!(differing, ["h0.w", "h0.b", "scores.w"]);
    assert_eq!(adopted.differing[0], ("h0.w".into(), vec![3, 6], vec![3, 4]));
    assert_eq!(adopted.missing[0], ("hiden.wx".into(), Some("hidden.wx".into())));
    assert_eq!(adopted.left_over, ["hidden.b", "hidden.wh", "hidden.wx"]);
    let vectors = |engine: &Engine<f32>| {
        engine.parameters()[engine.plan().parameter("vectors.w").expect("an embedding")].clone()
    };
    let at = wider.plan().parameter("vectors.w").expect("an embedding");
    let taken: Vec<f32> = wider.parameters()[at].as_slice().iter().map(|x| *x as f32).collect();
    assert_eq!(taken, vectors(&from).as_slice());
}
