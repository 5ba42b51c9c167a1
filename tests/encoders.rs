//! Encoders: the graph files under `graphs/encoders`, their weights, and what they say of pictures.
//!
//! Whole weights are too large to be part of the project. Those of SqueezeNet are looked for where the shared data lies;
//! without them, the tests that need them say so. VGG-16 and ResNet-50 are held against PyTorch with few channels, small
//! pictures and weights that both sides draw alike: `parity/torch/encoders.py`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/command.rs"]
mod command;
#[path = "support/difference.rs"]
mod difference;
#[path = "support/paths.rs"]
mod paths;

use std::fs;
use std::path::{Path, PathBuf};

use command::argument;
use difference::Difference;
use engine::GraphError;
use engine::encoder::network::Network;
use engine::encoder::weights::WeightsError;
use engine::encoder::{Encoder, EncoderError, folder};
use engine_core::engine::Evaluator;
use engine_core::graph::{Document, Passes};
use engine_core::{Batch, Scalar, Tensor};
use engine_datasets::picture::{Limits, Picture};
use paths::in_workspace;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

const F64_BOUND: f64 = 1e-9;
const F32_BOUND: f64 = 1e-4;
/// Between a network and its rewrites.
const REWRITE_BOUND: f64 = 1e-12;

/// The data that belongs to its authors lies beside the workspace.
const SHARED: &str = "../shared";

/// The folder of the shared data, where there is one.
fn shared() -> Option<PathBuf> {
    let folder = in_workspace(SHARED);
    let there = folder.join("encoders").is_dir();
    if !there {
        println!("{SHARED}/encoders is absent: skipped");
    }
    there.then_some(folder)
}

fn graph(name: &str) -> PathBuf {
    in_workspace("graphs/encoders").join(name)
}

/// The arrays of a file, in double precision.
fn arrays(path: &Path) -> Vec<(String, Tensor<f64>)> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let numbers = |view: &TensorView<'_>| -> Vec<f64> {
        match view.dtype() {
            Dtype::F64 => {
                view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect()
            }
            Dtype::F32 => {
                let numbers = view.data().as_chunks().0.iter();
                numbers.map(|b| f64::from(f32::from_le_bytes(*b))).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    let array = |(name, view): (String, TensorView<'_>)| {
        (name, Tensor::from_vec(view.shape(), numbers(&view)).unwrap())
    };
    file.tensors().into_iter().map(array).collect()
}

fn named<'a>(arrays: &'a [(String, Tensor<f64>)], name: &str) -> &'a Tensor<f64> {
    let found = arrays.iter().find(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("the case has `{name}`")).1
}

fn images(images: &Tensor<f64>) -> Batch {
    let mut batch = Batch::new();
    batch.f64_mut("images", images.shape()).copy_from_slice(images.as_slice());
    batch
}

fn run<T: Scalar>(evaluator: &mut Evaluator<T>, batch: &Batch) {
    evaluator.run(batch).unwrap_or_else(|error| panic!("{error}"));
}

fn in_f64<T: Scalar>(tensor: &Tensor<T>) -> Tensor<f64> {
    let values = tensor.as_slice().iter().map(|x| x.f64()).collect();
    Tensor::from_vec(tensor.shape(), values).unwrap()
}

/// The largest difference of an array, as a share of its largest number.
fn error<T: Scalar>(evaluator: &Evaluator<T>, role: &str, exact: &Tensor<f64>) -> f64 {
    let found = in_f64(evaluator.output(role).unwrap_or_else(|| panic!("no `{role}`")));
    Difference::of(&found, exact).of_array
}

/// All passes, none, and all but each of those that are for networks that are not trained.
fn selections() -> Vec<(&'static str, Passes)> {
    let without = |name| (name, Passes::without(&[name]).unwrap());
    let each = ["folded-norms", "rectified", "chains", "packed-weights"].map(without);
    [("", Passes::default()), ("any", Passes::none())].into_iter().chain(each).collect()
}

#[test]
fn squeezenet_is_the_reference() {
    let Some(shared) = shared() else { return };
    let case = arrays(&shared.join("encoders/squeezenet_case.safetensors"));
    let network = Network::read(&graph("squeezenet.ron")).unwrap_or_else(|e| panic!("{e}"));
    let weights = network.weights(&shared.join("flickr8k_mini/squeezenet_v1.0.safetensors"));
    let weights = weights.unwrap_or_else(|error| panic!("{error}"));
    let batch = images(named(&case, "in.images"));
    let roles = ["features", "grid", "classes"];
    let mut double = network.evaluator::<f64>(&weights, &roles, &Passes::default()).unwrap();
    let mut single = network.evaluator::<f32>(&weights, &roles, &Passes::default()).unwrap();
    run(&mut double, &batch);
    run(&mut single, &batch);
    for (role, name) in [("features", "out.pooled"), ("classes", "out.classes")] {
        let exact = named(&case, name);
        let errors = (error(&double, role, exact), error(&single, role, exact));
        println!("{role}: {:.1e} in double precision, {:.1e} in single", errors.0, errors.1);
        assert!(errors.0 <= F64_BOUND && errors.1 <= F32_BOUND, "{role}: {errors:?}");
    }
    // The first picture's grid: its regions are the places of fire9.
    let fire9 = named(&case, "out.fire9");
    let grid = double.output("grid").unwrap();
    assert_eq!(grid.shape(), [4, 169, 512]);
    let transposed: Vec<f64> = (0..169)
        .flat_map(|region| fire9.as_slice()[region..].iter().step_by(169).copied())
        .collect();
    let first = Tensor::from_vec(&[169, 512], grid.as_slice()[..169 * 512].to_vec()).unwrap();
    let exact = Tensor::from_vec(&[169, 512], transposed).unwrap();
    assert!(Difference::of(&first, &exact).of_array <= F64_BOUND);

    // One picture at a time comes to the same bits.
    let all = single.output("features").unwrap().clone();
    let pictures = named(&case, "in.images");
    for (at, numbers) in pictures.as_slice().chunks(3 * 227 * 227).enumerate() {
        let one = Tensor::from_vec(&[1, 3, 227, 227], numbers.to_vec()).unwrap();
        run(&mut single, &images(&one));
        assert_eq!(
            single.output("features").unwrap().as_slice(),
            &all.as_slice()[at * 512..][..512]
        );
    }
}

/// The cosine of the angle between vectors.
fn cosine(a: &[f32], b: &[f64]) -> f64 {
    let dot = |a: &mut dyn Iterator<Item = (f64, f64)>| a.map(|(a, b)| a * b).sum::<f64>();
    let a: Vec<f64> = a.iter().map(|x| f64::from(*x)).collect();
    let pair = |x: &[f64], y: &[f64]| dot(&mut x.iter().copied().zip(y.iter().copied()));
    pair(&a, b) / (pair(&a, &a) * pair(b, b)).sqrt()
}

#[test]
fn photographs_come_to_the_features_that_the_data_set_has() {
    let Some(shared) = shared() else { return };
    let weights = shared.join("flickr8k_mini/squeezenet_v1.0.safetensors");
    let mut encoder =
        Encoder::load(&graph("squeezenet.ron"), &weights).unwrap_or_else(|e| panic!("{e}"));
    let order = fs::read_to_string(shared.join("encoders/flickr8k_mini_order.txt")).unwrap();
    let pooled = arrays(&shared.join("encoders/flickr8k_mini_pooled.safetensors"));
    let pooled = named(&pooled, "pooled");
    let names: Vec<&str> = order.lines().collect();
    assert_eq!(pooled.shape(), [names.len(), 512]);
    let mut worst = (f64::INFINITY, "");
    for (names, exact) in names.chunks(16).zip(pooled.as_slice().chunks(16 * 512)) {
        let folder = shared.join("flickr8k_mini/images");
        let pictures: Vec<Picture> = names.iter().map(|name| open(&folder.join(name))).collect();
        let found = encoder.encode(&pictures).unwrap_or_else(|error| panic!("{error}"));
        for ((name, found), exact) in
            names.iter().zip(found.features.chunks(512)).zip(exact.chunks(512))
        {
            let cosine = cosine(found, exact);
            if cosine < worst.0 {
                worst = (cosine, name);
            }
        }
    }
    println!("{} photographs, the least cosine {:.6}, {}", names.len(), worst.0, worst.1);
    assert!(worst.0 >= 0.999, "{worst:?}");
}

fn open(path: &Path) -> Picture {
    Picture::open(path, &Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// A number between -1 and 1 for each place of an array of this name: FNV-1a of the name, stirred by SplitMix64. The
/// script draws the same.
fn drawn(name: &str, count: usize) -> Vec<f64> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let number = |i: u64| {
        let mut z = hash.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = (z ^ (z >> 31)) >> 11;
        bits as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..count as u64).map(number).collect()
}

/// The weights of a case, by PyTorch's names: a list of names and shapes that the script has written, drawn anew.
fn draw_weights(case: &SafeTensors<'_>, path: &Path) {
    let shapes = case.tensors().into_iter().filter_map(|(name, view)| {
        let name = name.strip_prefix("shape.")?.to_owned();
        let shape = view.data().as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as usize);
        Some((name, shape.collect::<Vec<usize>>()))
    });
    let arrays: Vec<(String, Vec<usize>, Vec<u8>)> = shapes
        .map(|(name, shape)| {
            let count: usize = shape.iter().product();
            // Weights of about the size that keeps numbers from growing; what is squared or divided by is positive.
            let fan: usize = shape.iter().skip(1).product();
            let size = (3.0 / fan.max(1) as f64).sqrt();
            let scale = |x: f64| match shape.len() {
                1 if name.ends_with("var") || name.ends_with("weight") => 1.0 + 0.5 * x,
                1 => 0.1 * x,
                _ => size * x,
            };
            let bytes = drawn(&name, count).into_iter().flat_map(|x| scale(x).to_le_bytes());
            let bytes = bytes.collect();
            (name, shape, bytes)
        })
        .collect();
    let views = arrays.iter().map(|(name, shape, bytes)| {
        (name, TensorView::new(Dtype::F64, shape.clone(), bytes).unwrap())
    });
    fs::write(path, serialize(views, None).unwrap()).unwrap();
}

/// A graph file with a sixteenth of the channels and small pictures.
fn reduced(name: &str, side: usize, regions: usize) -> Document {
    let text = fs::read_to_string(graph(name)).unwrap();
    let mut reduced = String::new();
    let mut rest = text.as_str();
    let mut last = "";
    while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
        let (before, after) = rest.split_at(at);
        let length = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let number = &after[..length];
        reduced += before;
        last = if before.is_empty() { last } else { before };
        let fields = ["units: ", "Units\": ", "Inner\": ", "Outer\": ", "to: [Batch, "];
        match fields.iter().any(|field| last.ends_with(field)) {
            true => reduced += &(number.parse::<usize>().unwrap() / 16).to_string(),
            false => reduced += number,
        }
        rest = &after[length..];
    }
    let mut document = Document::new(name, reduced + rest);
    document.set("sizes.Side", &side.to_string()).unwrap();
    document.set("pictures.crop", &format!("({side}, {side})")).unwrap();
    document.set("sizes.Regions", &regions.to_string()).unwrap();
    document
}

fn equals_torch(name: &str, side: usize, regions: usize) {
    let path = in_workspace("tests/parity/torch/encoders").join(name).with_extension("safetensors");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let case = SafeTensors::deserialize(&bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let weights = dir.path().join("torch.safetensors");
    draw_weights(&case, &weights);
    let network = Network::of(reduced(name, side, regions)).unwrap_or_else(|e| panic!("{e}"));
    let weights = network.weights(&weights).unwrap_or_else(|error| panic!("{error}"));
    let outputs: Vec<(String, Tensor<f64>)> = case
        .tensors()
        .into_iter()
        .filter_map(|(name, view)| {
            let name = name.strip_prefix("out.")?.to_owned();
            let numbers = view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b));
            Some((name, Tensor::from_vec(view.shape(), numbers.collect()).unwrap()))
        })
        .collect();
    let count = 2 * 3 * side * side;
    let batch = images(&Tensor::from_vec(&[2, 3, side, side], drawn("images", count)).unwrap());
    let roles: Vec<&str> = outputs.iter().map(|(role, _)| role.as_str()).collect();
    let mut plain = network.evaluator::<f64>(&weights, &roles, &Passes::none()).unwrap();
    run(&mut plain, &batch);
    for (what, passes) in selections() {
        let mut evaluator = network.evaluator::<f64>(&weights, &roles, &passes).unwrap();
        run(&mut evaluator, &batch);
        let mut single = network.evaluator::<f32>(&weights, &roles, &passes).unwrap();
        run(&mut single, &batch);
        for (role, exact) in &outputs {
            let errors = (error(&evaluator, role, exact), error(&single, role, exact));
            let rewritten = error(&evaluator, role, &in_f64(plain.output(role).unwrap()));
            println!(
                "{name}, {role}, without {what:?}: {:.1e} and {:.1e}, from plain {rewritten:.1e}",
                errors.0, errors.1
            );
            assert!(errors.0 <= F64_BOUND && errors.1 <= F32_BOUND, "{role}: {errors:?}");
            assert!(rewritten <= REWRITE_BOUND, "{name}, {role}, without {what}: {rewritten:.1e}");
        }
    }
}

#[test]
fn vgg16_is_that_of_torch() {
    equals_torch("vgg16.ron", 64, 16);
}

#[test]
fn resnet50_is_that_of_torch() {
    equals_torch("resnet50.ron", 64, 4);
}

/// A small encoder with everything that matters to files: a matrix, a convolution, a block from another file.
fn small(dir: &Path) -> (PathBuf, PathBuf) {
    let graph = dir.join("small.ron");
    fs::write(
        dir.join("stem.ron"),
        r#"Block(inputs: ["x"], nodes: [
            (name: "conv", layer: Conv2d(units: 4, kernel: 3), from: ["x"]),
            (name: "relu", layer: Relu(), from: ["conv"]),
        ], output: "relu")"#,
    )
    .unwrap();
    fs::write(
        &graph,
        r#"Graph(
            pictures: (resize: Exact(6, 8), scale: 0.01),
            inputs: {"images": [Batch, 3, 6, 8]},
            blocks: {"stem": File("stem.ron")},
            nodes: [
                (name: "stem", layer: Use(block: "stem"), from: ["images"]),
                (name: "flat", layer: Flatten(), from: ["stem"]),
                (name: "fc", layer: Affine(units: 5), from: ["flat"]),
            ],
            outputs: {"features": "fc"},
            weights: {"theirs": (nodes: {"stem/conv": "net.0", "fc": "net.{}"}, unused: ["head.{}"])},
        )"#
        .replace(r#""net.{}""#, r#""net.2""#),
    )
    .unwrap();
    let weights = dir.join("theirs.safetensors");
    write_weights(&weights, &THEIRS);
    (graph, weights)
}

const THEIRS: [(&str, &[usize]); 5] = [
    ("net.0.weight", &[4, 3, 3, 3]),
    ("net.0.bias", &[4]),
    ("net.2.weight", &[5, 96]),
    ("net.2.bias", &[5]),
    ("head.weight", &[7, 7]),
];

fn write_weights(path: &Path, shapes: &[(&str, &[usize])]) {
    let arrays: Vec<(&str, &[usize], Vec<u8>)> = shapes
        .iter()
        .map(|(name, shape)| {
            let numbers = drawn(name, shape.iter().product());
            (*name, *shape, numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect())
        })
        .collect();
    let views = arrays.iter().map(|(name, shape, bytes)| {
        (*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
    });
    fs::write(path, serialize(views, None).unwrap()).unwrap();
}

fn pictures(count: usize) -> Vec<Picture> {
    let byte = |i: usize| (i * 37 % 251) as u8;
    let picture = |at: usize| {
        let (width, height) = (9 + at, 7);
        Picture::new(width, height, (0..3 * width * height).map(|i| byte(i + at)).collect())
    };
    (0..count).map(picture).collect()
}

#[test]
fn a_folder_keeps_an_encoder() {
    let dir = tempfile::tempdir().unwrap();
    let (graph, weights) = small(dir.path());
    let mut encoder = Encoder::load(&graph, &weights).unwrap_or_else(|error| panic!("{error}"));
    let pictures = pictures(20);
    let features = encoder.encode(&pictures).unwrap();
    assert_eq!((features.width, features.features.len()), (5, 100));
    let one = encoder.encode(&pictures[17..18]).unwrap();
    assert_eq!(one.features, features.features[17 * 5..18 * 5], "alone or among others");
    assert_eq!(encoder.encode(&[]).unwrap().features, Vec::<f32>::new());

    let kept = dir.path().join("kept/encoder");
    encoder.save(&kept).unwrap_or_else(|error| panic!("{error}"));
    // What the folder has is whole by itself.
    fs::remove_file(&graph).unwrap();
    fs::remove_file(dir.path().join("stem.ron")).unwrap();
    fs::remove_file(&weights).unwrap();
    let mut again = Encoder::open(&kept).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.encode(&pictures).unwrap(), features);
    let names: Vec<String> =
        arrays(&folder::weights(&kept)).into_iter().map(|(name, _)| name).collect();
    for name in ["stem/conv.w", "stem/conv.b", "fc.w", "fc.b"] {
        assert!(names.iter().any(|found| found == name), "{names:?}");
    }
    assert_eq!(names.len(), 4);

    // Kept once more, over itself, and elsewhere.
    again.save(&kept).unwrap();
    let other = dir.path().join("other");
    again.save(&other).unwrap();
    again.save(&other).unwrap();
    assert_eq!(Encoder::open(&other).unwrap().encode(&pictures).unwrap(), features);
}

/// A run remembers the encoder that its data came from.
#[test]
fn a_run_keeps_the_encoder_of_its_data() {
    let dir = tempfile::tempdir().unwrap();
    let (data, run) = (dir.path().join("data"), dir.path().join("run"));
    command::engine(dir.path(), &["data", "scenes", argument(&data), "--train", "8", "--val", "4"]);
    let (graph, weights) = small(dir.path());
    let mut encoder = Encoder::load(&graph, &weights).unwrap();
    encoder.save(&data.join(folder::ENCODER)).unwrap();
    let network = fs::canonicalize(in_workspace("graphs/caption_lstm.ron")).unwrap();
    let train = ["train", argument(&network), "--data", argument(&data), "--steps", "1"];
    command::engine(dir.path(), &[&train[..], &["--out", argument(&run)]].concat());
    let mut kept = Encoder::open(&run.join(folder::ENCODER)).unwrap_or_else(|e| panic!("{e}"));
    let pictures = pictures(3);
    assert_eq!(kept.encode(&pictures).unwrap(), encoder.encode(&pictures).unwrap());
}

/// What does not fit is told all at once, with the nearest names.
#[test]
fn weights_of_another_network_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (graph, weights) = small(dir.path());
    let refused = |shapes: &[(&str, &[usize])]| {
        write_weights(&weights, shapes);
        match Encoder::load(&graph, &weights).unwrap_err() {
            EncoderError::Weights(error) => error.to_string(),
            other => panic!("{other}"),
        }
    };
    let mut wrong = THEIRS;
    wrong[0] = ("net.0.wieght", wrong[0].1);
    wrong[2].1 = &[96, 5];
    wrong[4] = ("tail.weight", wrong[4].1);
    let error = refused(&wrong);
    for part in [
        "by the names of `theirs`",
        "`net.0.weight`, the network's `stem/conv.w`, is missing; the nearest is `net.0.wieght`",
        "`net.2.weight`, the network's `fc.w`: expected the shape [5, 96], found [96, 5]",
        "`net.0.wieght` belongs to nothing in the network; the nearest is `net.0.weight`",
        "`tail.weight` belongs to nothing in the network",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = refused(&[("fc.w", &[96, 5]), ("fc.b", &[5]), ("stem/conv.w", &[4, 3, 3, 3])]);
    assert!(error.contains("by the network's own names"), "{error}");
    assert!(error.contains("`stem/conv.b` is missing"), "{error}");
    fs::write(&weights, "no weights").unwrap();
    let error = Encoder::load(&graph, &weights).unwrap_err();
    assert!(matches!(error, EncoderError::Weights(WeightsError::Format { .. })), "{error}");
    let help = miette::Diagnostic::help(&error).map(|help| help.to_string());
    assert!(help.is_some_and(|help| help.contains("safetensors")));
    let error = Encoder::load(&graph, &dir.path().join("absent")).unwrap_err();
    assert!(matches!(error, EncoderError::Weights(WeightsError::Read { .. })), "{error}");
}

#[test]
fn graphs_that_are_no_encoders_are_refused() {
    let refused = |inputs: &str, node: &str, output: &str, message: &str| {
        let text = format!(
            r#"Graph(inputs: {{{inputs}}}, nodes: [(name: "y", layer: {node})], outputs: {{{output}}})"#
        );
        let error = Network::of(Document::new("e.ron", text)).unwrap_err();
        assert!(error.to_string().contains(message), "{error}");
    };
    let images = r#""images": [Batch, 3, 224, 224]"#;
    refused(images, r#"Flatten(), from: ["images"]"#, r#""y": "y""#, "an output `features`");
    refused(images, r#"Relu(), from: ["images"]"#, r#""features": "y""#, "[Batch, width]");
    refused(
        r#""images": [Batch, 3, 4, 4]"#,
        r#"Flatten(), from: ["images"]"#,
        r#""features": "y""#,
        "is [Batch, 3, 4, 4], and the section `pictures` makes [Batch, 3, 224, 224] of them",
    );
    refused(
        r#""pixels": [Batch, 3, 224, 224]"#,
        r#"Flatten(), from: ["pixels"]"#,
        r#""features": "y""#,
        "expected one input, `images`",
    );
    let sections = |section: &str, message: &str| {
        let text = format!(
            r#"Graph(inputs: {{{images}}}, nodes: [(name: "y", layer: Flatten(), from: ["images"])],
            outputs: {{"features": "y"}}, {section})"#
        );
        let error = Network::of(Document::new("e.ron", text)).unwrap_err();
        let EncoderError::Graph(GraphError::Wrong(faults)) = error else { panic!("{error}") };
        let all: Vec<String> = faults.faults.iter().map(|f| f.message.clone()).collect();
        assert!(all.iter().any(|found| found.contains(message)), "{all:?}");
    };
    sections("pictures: (resiz: Exact(4, 4))", "resiz");
    sections(r#"weights: {"a": (nodes: {"y": "z{n}"})}"#, "{n}");
    sections(r#"weights: {"a": (node: {})}"#, "node");
}
