//! Networks that are run forward alone, in memory that their arrays share.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use engine_core::engine::{BuildError, Engine, Evaluator};
use engine_core::graph::Passes;
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes, Tensor};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn network(inputs: &str, nodes: &str, outputs: &str) -> Engine<f64> {
    let text = format!("Graph(inputs: {{{inputs}}}, nodes: [{nodes}], outputs: {{{outputs}}})");
    engine(&text, Sizes::new()).unwrap_or_else(|error| panic!("{error}"))
}

fn batch(shape: &[usize], seed: u64) -> Batch {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut batch = Batch::new();
    batch.f64_mut("x", shape).iter_mut().for_each(|x| *x = rng.random_range(-1.0..1.0));
    batch
}

fn evaluator(engine: &Engine<f64>, roles: &[&str], passes: &Passes) -> Evaluator<f64> {
    Evaluator::of(engine, roles, passes).unwrap_or_else(|error| panic!("{error}"))
}

/// Compares every role with the network's forward pass, on batches of several sizes, large ones first and last.
fn agrees(engine: &mut Engine<f64>, roles: &[&str], rest: &[usize]) {
    for passes in [Passes::default(), Passes::none()] {
        let mut evaluator = evaluator(engine, roles, &passes);
        for (rows, seed) in [3, 1, 7, 3, 7].into_iter().zip(1..) {
            let batch = batch(&[&[rows], rest].concat(), seed);
            engine.forward(&batch, Mode::Eval).unwrap();
            evaluator.run(&batch).unwrap();
            for role in roles {
                near(evaluator.output(role).unwrap(), engine.output(role).unwrap());
            }
        }
    }
}

fn near(a: &Tensor<f64>, b: &Tensor<f64>) {
    assert_eq!(a.shape(), b.shape());
    for (a, b) in a.as_slice().iter().zip(b.as_slice()) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0), "{a} and {b}");
    }
}

const X: &str = r#""x": [Batch, 6]"#;

/// A value that is read late, one that several read, one that is written over and read once more before.
const CROSSED: &str = r#"
    (name: "a", layer: Affine(units: 6), from: ["x"]),
    (name: "b", layer: Tanh(), from: ["a"]),
    (name: "c", layer: Add(), from: ["a", "b"]),
    (name: "d", layer: Affine(units: 9), from: ["b"]),
    (name: "e", layer: Relu(), from: ["d"]),
    (name: "f", layer: Affine(units: 6), from: ["e"]),
    (name: "g", layer: Multiply(), from: ["f", "f"]),
    (name: "h", layer: Add(), from: ["g", "c"]),
    (name: "i", layer: Relu(), from: ["h"]),
    (name: "j", layer: Reshape(to: [Batch, 2, 3]), from: ["i"]),
    (name: "k", layer: Transpose(axes: [0, 2, 1]), from: ["j"]),
"#;

#[test]
fn arrays_that_share_memory_do_not_disturb_each_other() {
    let all = r#""c": "c", "e": "e", "i": "i", "k": "k""#;
    let mut engine = network(X, CROSSED, all);
    agrees(&mut engine, &["c", "e", "i", "k"], &[6]);
    for role in ["c", "e", "i", "k"] {
        agrees(&mut engine, &[role], &[6]);
    }
    agrees(&mut engine, &["k", "k"], &[6]);
}

#[test]
fn functions_of_inputs_leave_these_alone() {
    let nodes = r#"
        (name: "a", layer: Relu(), from: ["x"]),
        (name: "b", layer: Reshape(to: [Batch, 3, 2]), from: ["x"]),
        (name: "c", layer: Scale(by: 2), from: ["x"]),
    "#;
    let mut engine = network(X, nodes, r#""a": "a", "b": "b", "c": "c""#);
    agrees(&mut engine, &["a", "b", "c"], &[6]);
}

#[test]
fn a_chain_of_layers_takes_two_rooms() {
    let layer = |at: usize, from: &str| {
        format!(
            r#"(name: "a{at}", layer: Affine(units: 50), from: ["{from}"]),
               (name: "r{at}", layer: Tanh(), from: ["a{at}"]),"#
        )
    };
    let nodes: Vec<String> = (1..9)
        .map(|at| layer(at, &if at == 1 { "x".into() } else { format!("r{}", at - 1) }))
        .collect();
    let mut engine = network(X, &nodes.concat(), r#""y": "r8""#);
    agrees(&mut engine, &["y"], &[6]);
    let mut evaluator = evaluator(&engine, &["y"], &Passes::default());
    evaluator.run(&batch(&[4, 6], 1)).unwrap();
    // Tanh is written over its argument.
    assert_eq!(evaluator.room(), 2 * 4 * 50);
}

#[test]
fn norms_and_positive_parts_become_part_of_convolutions() {
    let nodes = r#"
        (name: "bare", layer: Conv2d(units: 5, kernel: 3, padding: 1, bias: false), from: ["x"]),
        (name: "n1", layer: BatchNorm2d(), from: ["bare"]),
        (name: "r1", layer: Relu(), from: ["n1"]),
        (name: "full", layer: Conv2d(units: 5, kernel: 1), from: ["r1"]),
        (name: "n2", layer: BatchNorm2d(epsilon: 1e-3), from: ["full"]),
        (name: "n3", layer: BatchNorm2d(), from: ["n2"]),
        (name: "sum", layer: Add(), from: ["n3", "r1"]),
        (name: "r2", layer: Relu(), from: ["sum"]),
        (name: "shared", layer: Conv2d(units: 5, kernel: 3, padding: 1), from: ["r2"]),
        (name: "n4", layer: BatchNorm2d(), from: ["shared"]),
        (name: "again", layer: Conv2d(units: 5, kernel: 3, padding: 1), from: ["n4"], weights_of: "shared"),
        (name: "flat", layer: Flatten(), from: ["again"]),
        (name: "fc", layer: Affine(units: 7), from: ["flat"]),
        (name: "r3", layer: Relu(), from: ["fc"]),
    "#;
    let mut engine = network(r#""x": [Batch, 3, 4, 6]"#, nodes, r#""y": "r3", "r1": "r1""#);
    let mut rng = ChaCha8Rng::seed_from_u64(4);
    let parameters = engine.parameters_mut().iter_mut().flat_map(|p| p.as_mut_slice());
    // Positive, as variances are.
    parameters.for_each(|x| *x = rng.random_range(0.1..0.6));
    agrees(&mut engine, &["y", "r1"], &[3, 4, 6]);
    agrees(&mut engine, &["y"], &[3, 4, 6]);
    let nodes = |passes: &Passes| {
        let evaluator = evaluator(&engine, &["y"], passes);
        evaluator.program().nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>()
    };
    let all = nodes(&Passes::default());
    assert_eq!(all, ["bare+n1+r1", "full+n2+n3", "r2", "shared", "n4", "again", "flat", "fc+r3"]);
    let plain = nodes(&Passes::without(&["folded-norms", "rectified", "chains"]).unwrap());
    assert_eq!(plain.len(), 14);
    for name in ["folded-norms", "rectified", "chains", "packed-weights"] {
        let mut evaluator = evaluator(&engine, &["y"], &Passes::without(&[name]).unwrap());
        let batch = batch(&[2, 3, 4, 6], 9);
        engine.forward(&batch, Mode::Eval).unwrap();
        evaluator.run(&batch).unwrap();
        near(evaluator.output("y").unwrap(), engine.output("y").unwrap());
    }
}

#[test]
fn values_that_nobody_asks_for_are_not_computed() {
    let nodes = r#"
        (name: "wide", layer: Affine(units: 1000), from: ["x"]),
        (name: "narrow", layer: Affine(units: 2), from: ["x"]),
    "#;
    let engine = network(X, nodes, r#""wide": "wide", "narrow": "narrow""#);
    let mut asked = Vec::new();
    let mut narrow = Evaluator::<f64>::new::<BuildError>(
        engine.plan(),
        engine.sizes(),
        &["narrow"],
        &Passes::default(),
        |parameter, first, numbers| {
            asked.push((parameter.name.clone(), first, numbers.len()));
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(asked, [("narrow.b".into(), 0, 2), ("narrow.w".into(), 0, 12)]);
    narrow.run(&batch(&[3, 6], 1)).unwrap();
    assert_eq!(narrow.room(), 3 * 2);
    assert!(narrow.output("wide").is_none());
}

#[test]
fn roles_that_the_graph_has_not_are_refused() {
    let engine = network(X, CROSSED, r#""k": "k""#);
    let error = Evaluator::of(&engine, &["features"], &Passes::default()).unwrap_err();
    assert_eq!(error.to_string(), "the graph has no output `features`; it has: k");
}

#[test]
fn a_batch_that_does_not_fit_leaves_an_evaluator_in_order() {
    let engine = network(X, CROSSED, r#""k": "k""#);
    let mut evaluator = evaluator(&engine, &["k"], &Passes::default());
    evaluator.run(&batch(&[2, 6], 1)).unwrap();
    let first = evaluator.output("k").unwrap().clone();
    assert!(evaluator.run(&batch(&[2, 5], 1)).is_err());
    assert!(evaluator.run(&Batch::new()).is_err());
    evaluator.run(&batch(&[2, 6], 1)).unwrap();
    assert_eq!(evaluator.output("k").unwrap(), &first);
}
