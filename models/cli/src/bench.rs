//! `engine bench`.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use engine::bench::{WARM_UP, bench, bench_sampling};
use engine::decode::DecodeScalar;
use engine::{Experiment, Override, Parameters, RunFolder, graph_name};
use engine_core::engine::Engine;
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Sizes};
use engine_datasets::Source;
use serde::Serialize;

use crate::error::Error;
use crate::graph_args::{GraphArgs, open};
use crate::out::{say, writable};
use crate::pass_args::PassArgs;
use crate::threads::ThreadArgs;

/// Time whole training steps, or the writing of captions, and hold them against what the machine can do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine bench graphs/caption_lstm.ron
  engine bench graphs/bench/cs231n_lstm.ron --data datasets/coco --steps 50 --json cs231n_lstm.json
  engine bench graphs/caption_lstm.ron --set precision=F64 --threads 1
  engine bench runs/caption_lstm-1 --sample 10000      (with what it has learned)
  engine bench runs/caption_lstm-1 --sample 10000 --decode 'Beam(width: 3)'")]
pub(crate) struct Args {
    /// A graph file, or a run folder, whose parameters are taken
    #[arg(value_name = "GRAPH|RUN")]
    graph: PathBuf,
    #[command(flatten)]
    values: GraphArgs,
    /// Steps to measure, after a few that warm up
    #[arg(long, value_name = "N", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
    /// In place of training steps, times so many captions of validation images, after some that warm up
    #[arg(long, value_name = "N", conflicts_with = "steps")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    sample: Option<u32>,
    /// How words are chosen, in place of the file's way: 'Beam(width: 3)'; `engine layers` lists decoders
    #[arg(long, value_name = "DECODER", requires = "sample")]
    decode: Option<String>,
    /// Also writes what it finds to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Decides first values, the order of captions and all noise
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    args.threads.apply()?;
    let passes = args.passes.passes()?;
    args.json.as_deref().map_or(Ok(()), writable)?;
    let run = args.graph.is_dir().then(|| RunFolder::open(&args.graph)).transpose()?;
    let graph = run.as_ref().map_or(args.graph.clone(), RunFolder::graph);
    let seed = args.seed.map(|seed| Override::new("train.seed", seed));
    let decode = args.decode.iter().map(|decoder| Override::new("sample", decoder));
    let overrides = args.values.overrides(seed.into_iter().chain(decode).collect());
    let experiment = Experiment::load(&graph, &overrides)?;
    let (source, sizes, plan) = open(&experiment)?;
    let run = run.as_ref();
    match plan.precision {
        Precision::F32 => run_in::<f32>(&experiment, plan, sizes, &*source, run, &passes, args),
        Precision::F64 => run_in::<f64>(&experiment, plan, sizes, &*source, run, &passes, args),
    }
}

fn run_in<T: DecodeScalar>(
    experiment: &Experiment,
    plan: Arc<Plan>,
    sizes: Sizes,
    source: &dyn Source,
    run: Option<&RunFolder>,
    passes: &Passes,
    args: &Args,
) -> Result<(), Error> {
    let engine = Engine::<T>::new(plan, sizes, experiment.train.seed)?;
    let mut engine = engine.rewritten(passes);
    if let Some(run) = run {
        Parameters::best(run, experiment.train.best_by)?.set(&mut engine)?;
    }
    let name = run.map_or(experiment.name.clone(), |run| graph_name(run.path()));
    match args.sample {
        Some(count) => {
            eprintln!("{count} captions to measure");
            let (decoder, count) = (&*experiment.decoder, count as usize);
            show(&bench_sampling(&name, &engine, source, decoder, count)?, args)
        }
        None => {
            eprintln!("{WARM_UP} steps to warm up, {} to measure", args.steps);
            let steps = args.steps as usize;
            show(&bench(&name, &mut engine, source, &experiment.train, steps)?, args)
        }
    }
}

/// Prints what was found, and writes it where `--json` says.
fn show<R: Display + Serialize>(found: &R, args: &Args) -> Result<(), Error> {
    say!("{found}");
    let Some(path) = &args.json else { return Ok(()) };
    let json = serde_json::to_string_pretty(found).map_err(std::io::Error::from);
    let written = json.and_then(|json| fs::write(path, json + "\n"));
    written.map_err(|error| Error::Write { path: path.clone(), error })
}
