//! Convolutions of the shapes of VGG-16 and SqueezeNet 1.0, forward on all processors, and of a small network in training,
//! forward and backward.
//!
//! Times are those that the engine's profile has for the layer, the median of several passes: what a batch takes to be
//! copied in, which is of the order of a convolution's time, is not among them.
//!
//! ```text
//! cargo bench -p engine-layers --bench convolution -- [the start of a table's name]
//! ```

use std::time::Duration;

use engine_core::engine::Engine;
use engine_core::testing::engine;
use engine_core::{Batch, Mode, Sizes};
use engine_layers as _;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Channels, units, side of the pictures, kernel, stride, padding.
type Shape = [usize; 6];

const VGG16: [Shape; 9] = [
    [3, 64, 224, 3, 1, 1],
    [64, 64, 224, 3, 1, 1],
    [64, 128, 112, 3, 1, 1],
    [128, 128, 112, 3, 1, 1],
    [128, 256, 56, 3, 1, 1],
    [256, 256, 56, 3, 1, 1],
    [256, 512, 28, 3, 1, 1],
    [512, 512, 28, 3, 1, 1],
    [512, 512, 14, 3, 1, 1],
];

/// Without those of a fire module that differ only in what comes in.
const SQUEEZENET: [Shape; 13] = [
    [3, 96, 227, 7, 2, 0],
    [96, 16, 55, 1, 1, 0],
    [16, 64, 55, 1, 1, 0],
    [16, 64, 55, 3, 1, 1],
    [256, 32, 27, 1, 1, 0],
    [32, 128, 27, 1, 1, 0],
    [32, 128, 27, 3, 1, 1],
    [384, 48, 27, 1, 1, 0],
    [48, 192, 27, 3, 1, 1],
    [64, 256, 27, 3, 1, 1],
    [512, 64, 13, 1, 1, 0],
    [64, 256, 13, 3, 1, 1],
    [512, 1000, 13, 1, 1, 0],
];

const SMALL: [Shape; 4] =
    [[3, 16, 64, 3, 1, 1], [16, 32, 32, 3, 1, 1], [32, 64, 16, 3, 1, 1], [16, 32, 64, 3, 2, 1]];

const PASSES: usize = 15;

fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let tables: [(&str, &[Shape], usize, bool); 5] = [
        ("vgg16", &VGG16, 1, false),
        ("vgg16", &VGG16, 16, false),
        ("squeezenet", &SQUEEZENET, 1, false),
        ("squeezenet", &SQUEEZENET, 16, false),
        ("small", &SMALL, 100, true),
    ];
    for (name, shapes, batch, training) in tables {
        if wanted.as_ref().is_some_and(|wanted| !name.starts_with(wanted.as_str())) {
            continue;
        }
        println!("{name}, batch {batch}");
        for shape in shapes {
            let [forward, backward] = times(*shape, batch, training);
            let [channels, units, side, kernel, stride, padding] = *shape;
            let rate = operations(*shape, batch) / forward.as_secs_f64() * 1e-9;
            let back = if training { format!(", backward {backward:.2?}") } else { String::new() };
            println!(
                "  {channels:>4} -> {units:<4} {side:>3}x{side:<3} kernel {kernel} stride {stride} padding {padding}: {forward:>9.2?}, {rate:>4.0} GFLOP/s{back}"
            );
        }
    }
}

/// Multiplications and additions of a convolution as it is written.
fn operations([channels, units, side, kernel, stride, padding]: Shape, batch: usize) -> f64 {
    let out = (side + 2 * padding - kernel) / stride + 1;
    (2 * batch * units * out * out * channels * kernel * kernel) as f64
}

/// The medians of forward and backward passes.
fn times(shape: Shape, batch: usize, training: bool) -> [Duration; 2] {
    let [channels, units, side, kernel, stride, padding] = shape;
    let text = format!(
        r#"Graph(
            inputs: {{"x": [Batch, {channels}, {side}, {side}]}},
            nodes: [(name: "y", layer: Conv2d(units: {units}, kernel: {kernel}, stride: {stride}, padding: {padding}), from: ["x"])],
            outputs: {{"y": "y"}},
        )"#
    );
    let engine: Engine<f32> = engine(&text, Sizes::new()).expect("a graph of one layer");
    let mut engine = engine;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut pictures = Batch::new();
    pictures.f32_mut("x", &[batch, channels, side, side]).fill_with(|| rng.random_range(-1.0..1.0));
    let y = engine.plan().output("y").expect("the graph names it");
    let [mut forward, mut backward] = [const { Vec::new() }; 2];
    for pass in 0..=PASSES {
        engine.begin_profile();
        engine.forward(&pictures, Mode::Eval).expect("the batch fits");
        if training {
            let dy = engine.value(y).as_slice().to_vec();
            engine.backward_from(&[(y, &dy)]);
        }
        let node = &engine.profile().expect("it has begun").nodes[0];
        // The first pass takes memory.
        if pass > 0 {
            forward.push(node.forward.time);
            backward.push(node.backward.time);
        }
    }
    [forward, backward].map(|mut times| {
        times.sort();
        times[PASSES / 2]
    })
}
