//! How long encoders take for pictures: `cargo bench -p engine --bench encoders -- [NAME ..] [--batch N ..] [--threads N]
//! [--profile]`.
//!
//! Weights are drawn, since times do not depend on them, unless many of them are 0. `torch_encoders.py` beside this file
//! measures PyTorch. With `--file`, weights are written to a file first and read from there, so that the most memory that
//! the process has had, which is printed last, is what an encoder takes.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use engine::encoder::network::Network;
use engine::encoder::{FEATURES, IMAGES};
use engine_core::engine::{BuildError, Evaluator};
use engine_core::graph::{Passes, Plan};
use engine_core::{Batch, Sizes, Symbol};
use engine_kernels::team;

/// Runs that are measured, and those before that are not.
const RUNS: usize = 15;
const WARM: usize = 3;

struct Options {
    names: Vec<String>,
    batches: Vec<usize>,
    profile: bool,
    file: Option<PathBuf>,
    without: Vec<String>,
}

fn options() -> Options {
    let mut options = Options {
        names: Vec::new(),
        batches: Vec::new(),
        profile: false,
        file: None,
        without: Vec::new(),
    };
    let mut threads = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--batch" => {
                options.batches.extend(arguments.next().and_then(|n| n.parse::<usize>().ok()))
            }
            "--profile" => options.profile = true,
            "--file" => options.file = arguments.next().map(PathBuf::from),
            "--threads" => threads = arguments.next().and_then(|n| n.parse::<NonZeroUsize>().ok()),
            "--without" => options.without.extend(arguments.next()),
            // Cargo says this to every bench.
            "--bench" => {}
            name => options.names.push(name.to_owned()),
        }
    }
    // As many as there are cores, where nothing is said.
    _ = threads.map(team::set_threads);
    if options.names.is_empty() {
        options.names = ["squeezenet", "vgg16", "resnet50"].map(str::to_owned).into();
    }
    if options.batches.is_empty() {
        options.batches = vec![1, 16];
    }
    options
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let options = options();
    for name in &options.names {
        let graphs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../graphs/encoders");
        let network = Network::read(&graphs.join(name).with_extension("ron"))?;
        let passes = Passes::without(&options.without)?;
        let begun = Instant::now();
        let mut evaluator = match &options.file {
            None => drawn(network.plan(), &passes)?,
            Some(file) => {
                let weights = network.weights(file)?;
                network.evaluator::<f32>(&weights, &[FEATURES], &passes)?
            }
        };
        println!("{name}: ready after {:.0} ms", milliseconds(begun.elapsed()));
        for count in &options.batches {
            measure(&mut evaluator, &network, name, *count, options.profile)?;
        }
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().filter(|line| line.starts_with("VmHWM")).for_each(|line| println!("{line}"));
    Ok(())
}

fn drawn(plan: &Plan, passes: &Passes) -> Result<Evaluator<f32>, BuildError> {
    Evaluator::new(plan, &Sizes::new(), &[FEATURES], passes, |parameter, first, to| {
        let shape = parameter.shape.resolve(&plan.sizes).unwrap_or_default();
        // A convolution's rows are filters, an affine map's are inputs.
        let fan = if shape.len() == 2 { shape[0] } else { shape.iter().skip(1).product() };
        let size = (6.0 / fan as f32).sqrt();
        for (at, x) in to.iter_mut().enumerate() {
            let drawn = noise((first + at) as u32);
            *x = if shape.len() == 1 { 1.0 + 0.1 * drawn } else { size * drawn };
        }
        Ok(())
    })
}

/// A number between -1 and 1.
fn noise(at: u32) -> f32 {
    let x = at.wrapping_mul(0x9e37_79b1);
    let x = (x ^ (x >> 15)).wrapping_mul(0x85eb_ca6b);
    (x ^ (x >> 13)) as f32 / 2.0f32.powi(31) - 1.0
}

fn measure(
    evaluator: &mut Evaluator<f32>,
    network: &Network,
    name: &str,
    count: usize,
    profile: bool,
) -> Result<(), Box<dyn std::error::Error>> {
    let sizes = network.plan().sizes.clone().with(Symbol::BATCH, count);
    let shape = network.plan().inputs[0].shape.resolve(&sizes).unwrap_or_default();
    let mut batch = Batch::new();
    let images = batch.f32_mut(IMAGES, &shape);
    images.iter_mut().enumerate().for_each(|(at, x)| *x = noise(at as u32));
    for _ in 0..WARM {
        evaluator.run(&batch)?;
    }
    if profile {
        evaluator.begin_profile();
    }
    let mut times = Vec::with_capacity(RUNS);
    for _ in 0..RUNS {
        let begun = Instant::now();
        evaluator.run(&batch)?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    let at = |share: usize| milliseconds(times[(times.len() - 1) * share / 4]);
    let (median, least) = (at(2), at(0));
    println!(
        "{name}, batch {count}: {median:.2} ms, quartiles {:.2} to {:.2}, least {least:.2}",
        at(1),
        at(3)
    );
    if let Some(profile) = evaluator.profile().filter(|_| profile) {
        let mean = |time: Duration| milliseconds(time) / RUNS as f64;
        println!("  {:40} {:8.3} ms", "feed", mean(profile.feed.time));
        for node in &profile.nodes {
            let work = node.forward;
            let rate = work.operations as f64 / work.time.as_secs_f64().max(1e-9) / 1e9;
            println!("  {:40} {:8.3} ms {rate:7.1} GFLOP/s", node.name, mean(work.time));
        }
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
