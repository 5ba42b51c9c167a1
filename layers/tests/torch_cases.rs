//! Single layers compute what PyTorch's functions do, forward and backward, in double precision.
//!
//! `tests/parity/torch/layer_cases/` has a file of cases for each module of layers there: how a graph file writes the layer,
//! its inputs and parameters, what comes out, and the gradients of the output's product with an array. To see how far each
//! case is off:
//!
//! ```text
//! cargo test --release -p engine-layers --test torch_cases -- --nocapture
//! ```

#[path = "../../tests/support/stored.rs"]
mod stored;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine_core::testing::{LayerBench, Value};
use engine_core::{Mode, Tensor};
use engine_layers as _;
use safetensors::SafeTensors;
use serde::Deserialize;
use stored::Array;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/parity/torch/layer_cases");

/// The largest `max |found - exact| / max |exact|` over an array.
const BOUND: f64 = 1e-9;

/// The header's entry `layers`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    /// PyTorch's version.
    torch: String,
    cases: BTreeMap<String, Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// The layer as a graph file writes it.
    layer: String,
    mode: Pass,
}

#[derive(Clone, Copy, Deserialize)]
enum Pass {
    Train,
    Eval,
}

/// The arrays of one case, by the rest of their names.
type Arrays<'a> = BTreeMap<&'a str, &'a Array>;

fn numbers<'a>(arrays: &Arrays<'a>, name: &str) -> &'a Tensor<f64> {
    match arrays.get(name) {
        Some(Array::Numbers(numbers)) => numbers,
        Some(Array::Tokens(_)) => panic!("`{name}` holds indices, not numbers"),
        None => panic!("no `{name}`, but {:?}", arrays.keys()),
    }
}

/// What an array's name says after a prefix.
fn named<'a>(arrays: &Arrays<'a>, prefix: &str) -> Vec<(&'a str, &'a Array)> {
    let named =
        arrays.iter().filter_map(|(name, array)| Some((name.strip_prefix(prefix)?, *array)));
    named.collect()
}

/// How far a case's arrays are off, the worst of them first named.
fn worst(case: &Case, arrays: &Arrays<'_>) -> (f64, String) {
    let mut inputs: Vec<(usize, Value<f64>)> = named(arrays, "in.")
        .into_iter()
        .map(|(port, array)| {
            let value = match array {
                Array::Numbers(numbers) => numbers.clone().into(),
                Array::Tokens(tokens) => tokens.clone().into(),
            };
            (port.parse().expect("inputs are named by their ports"), value)
        })
        .collect();
    inputs.sort_by_key(|(port, _)| *port);
    let inputs = inputs.into_iter().map(|(_, value)| value).collect();
    let mut bench = LayerBench::<f64>::new(&case.layer, inputs);
    for (name, _) in named(arrays, "param.") {
        let parameter = bench.parameter_mut(name);
        let exact = numbers(arrays, &format!("param.{name}"));
        assert_eq!(parameter.shape(), exact.shape(), "{}: parameter `{name}`", case.layer);
        parameter.clone_from(exact);
    }
    let mode = match case.mode {
        Pass::Train => Mode::Train { iteration: 0 },
        Pass::Eval => Mode::Eval,
    };
    let mut worst = (0.0, "nothing".to_owned());
    let mut see = |name: String, found: &Tensor<f64>| {
        let error = difference(found, numbers(arrays, &name));
        if error >= worst.0 {
            worst = (error, name);
        }
    };
    see("out".into(), &bench.forward(mode));
    bench.backward(numbers(arrays, "upstream"));
    for (port, _) in named(arrays, "grad.in.") {
        let at = port.parse().expect("inputs are named by their ports");
        see(format!("grad.in.{port}"), bench.input_gradient(at));
    }
    for (name, _) in named(arrays, "grad.param.") {
        see(format!("grad.param.{name}"), bench.parameter_gradient(name));
    }
    worst
}

/// The largest difference, as a share of the largest number; of an array of zeros, the difference itself.
fn difference(found: &Tensor<f64>, exact: &Tensor<f64>) -> f64 {
    if found.shape() != exact.shape() {
        println!("found the shape {:?}, expected {:?}", found.shape(), exact.shape());
        return f64::INFINITY;
    }
    let largest = exact.as_slice().iter().fold(0.0f64, |most, x| most.max(x.abs()));
    let scale = if largest == 0.0 { 1.0 } else { largest };
    let pairs = found.as_slice().iter().zip(exact.as_slice());
    // What is not a number is infinitely far off.
    let error = |error: f64| if error.is_nan() { f64::INFINITY } else { error };
    pairs.map(|(found, exact)| error((found - exact).abs() / scale)).fold(0.0, f64::max)
}

fn files() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(CASES).unwrap_or_else(|e| panic!("{CASES}: {e}"));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    let mut files: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    files.sort();
    assert!(!files.is_empty(), "{CASES} holds no case");
    files
}

fn header(path: &Path, data: &[u8]) -> Header {
    let (_, metadata) = SafeTensors::read_metadata(data).expect("a safetensors file");
    let entries = metadata.metadata().as_ref();
    let entry = entries.and_then(|entries| entries.get("layers"));
    let entry = entry.unwrap_or_else(|| panic!("{}: no entry `layers`", path.display()));
    serde_json::from_str(entry).unwrap_or_else(|e| panic!("{}: `layers`: {e}", path.display()))
}

#[test]
fn every_case_is_computed_as_pytorch_does() {
    let mut failures = Vec::new();
    for path in files() {
        let data = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let (header, arrays) = (header(&path, &data), stored::arrays(&path, &data));
        println!("{}: PyTorch {}", path.display(), header.torch);
        for (name, case) in &header.cases {
            let prefix = format!("{name}/");
            let arrays: Arrays<'_> = arrays
                .iter()
                .filter_map(|(key, array)| Some((key.strip_prefix(&prefix)?, array)))
                .collect();
            let (error, array) = worst(case, &arrays);
            let line = format!("{name}, {}: {error:.1e} ({array})", case.layer);
            println!("  {line}");
            if error > BOUND {
                failures.push(line);
            }
        }
    }
    assert!(failures.is_empty(), "expected at most {BOUND:.0e}:\n{}", failures.join("\n"));
}
