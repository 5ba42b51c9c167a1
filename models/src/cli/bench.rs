//! `engine bench`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_core::engine::Engine;
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Scalar, Sizes};
use engine_datasets::Source;

use super::graph_args::{GraphArgs, make_default_data};
use super::out::say;
use super::pass_args::PassArgs;
use super::report;
use super::threads::ThreadArgs;
use crate::bench::{Report, WARM_UP, bench};
use crate::error::Error;
use crate::experiment::{Experiment, Override};

/// Time whole training steps, and hold them against what the machine can do
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine bench graphs/caption_lstm.ron
  engine bench graphs/bench/cs231n_lstm.ron --data datasets/coco --steps 50 --json cs231n_lstm.json
  engine bench graphs/caption_lstm.ron --set precision=F64 --threads 1")]
pub(super) struct Args {
    /// The graph file
    graph: PathBuf,
    #[command(flatten)]
    values: GraphArgs,
    /// Steps to measure, after a few that warm up
    #[arg(long, value_name = "N", default_value_t = 30)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    steps: u32,
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

pub(super) fn run(args: &Args) -> Result<(), Error> {
    args.threads.apply()?;
    let passes = args.passes.passes()?;
    args.json.as_deref().map_or(Ok(()), writable)?;
    let seed = args.seed.map(|seed| Override::new("train.seed", seed));
    let overrides = args.values.overrides(seed.into_iter().collect());
    let experiment = Experiment::load(&args.graph, &overrides)?;
    experiment.plan(&Sizes::new())?;
    make_default_data(&experiment)?;
    let source = experiment.data.open()?;
    let sizes: Sizes = source.sizes().into_iter().collect();
    let (plan, warnings) = experiment.plan(&sizes)?;
    report::print_faults(&experiment.document, &warnings);
    let found = match plan.precision {
        Precision::F32 => run_in::<f32>(&experiment, plan, sizes, &*source, &passes, args),
        Precision::F64 => run_in::<f64>(&experiment, plan, sizes, &*source, &passes, args),
    }?;
    say!("{found}");
    args.json.as_deref().map_or(Ok(()), |path| write(&found, path))
}

fn run_in<T: Scalar>(
    experiment: &Experiment,
    plan: Arc<Plan>,
    sizes: Sizes,
    source: &dyn Source,
    passes: &Passes,
    args: &Args,
) -> Result<Report, Error> {
    let mut engine = Engine::<T>::new(plan, sizes, experiment.train.seed)?.rewritten(passes);
    eprintln!("{WARM_UP} steps to warm up, {} to measure", args.steps);
    bench(&experiment.name, &mut engine, source, &experiment.train, args.steps as usize)
}

/// Refuses a file that cannot be written before time goes into what it is to hold.
fn writable(path: &Path) -> Result<(), Error> {
    let refuse = |message: String, help: String| Err(Error::Usage { message, help });
    if path.is_dir() {
        let message = format!("cannot write {}: it is a folder", path.display());
        return refuse(message, "give the name of a file".into());
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            let folder = folder.display();
            let message = format!("cannot write {}: there is no folder {folder}", path.display());
            refuse(message, format!("make it first: mkdir -p {folder}"))
        }
        _ => Ok(()),
    }
}

fn write(found: &Report, path: &Path) -> Result<(), Error> {
    let json = serde_json::to_string_pretty(found).map_err(std::io::Error::from);
    let written = json.and_then(|json| fs::write(path, json + "\n"));
    written.map_err(|error| Error::Write { path: path.to_owned(), error })
}
