//! `engine sample`.

use std::path::PathBuf;
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Sizes};
use engine_datasets::{Source, Split};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::graph_args::quoted;
use super::out::say;
use super::pass_args::PassArgs;
use super::threads::ThreadArgs;
use crate::caption::Captioner;
use crate::decode::DecodeScalar;
use crate::error::Error;
use crate::experiment::{Experiment, Override};
use crate::run::RunFolder;

/// Write captions with a trained network, beside the references
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine sample runs/caption_lstm-1
  engine sample graphs/caption_lstm.ron --split train --count 3      (its latest run)")]
pub(super) struct Args {
    /// A run folder, or a graph file whose latest run is meant
    #[arg(value_name = "RUN|GRAPH")]
    run: PathBuf,
    /// Which images: train or val
    #[arg(long, default_value = "val")]
    split: Split,
    /// How many images
    #[arg(long, default_value_t = 10, value_name = "N")]
    count: usize,
    /// Decides which images
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// The folder that the data lies in, in place of the run's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    args.threads.apply()?;
    let passes = args.passes.passes()?;
    let run = RunFolder::open(&args.run)?;
    let data =
        args.data.iter().map(|dir| Override::new("data.dir", quoted(&dir.to_string_lossy())));
    let experiment = Experiment::load(&run.graph(), &data.collect::<Vec<_>>())?;
    let source = experiment.data.open()?;
    let sizes: Sizes = source.sizes().into_iter().collect();
    let (plan, _) = experiment.plan(&sizes)?;
    match plan.precision {
        Precision::F32 => run_in::<f32>(&experiment, plan, sizes, &*source, &run, &passes, args),
        Precision::F64 => run_in::<f64>(&experiment, plan, sizes, &*source, &run, &passes, args),
    }
}

fn run_in<T: DecodeScalar>(
    experiment: &Experiment,
    plan: Arc<Plan>,
    sizes: Sizes,
    source: &dyn Source,
    run: &RunFolder,
    passes: &Passes,
    args: &Args,
) -> Result<(), Error> {
    let engine = Engine::<T>::new(plan, sizes, experiment.train.seed)?;
    let mut engine = engine.rewritten(passes);
    checkpoint::load(&mut engine, &run.trained())?;
    let mut captioner = Captioner::new(&engine, source, &*experiment.decoder)?;
    let all = source.images(args.split);
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut images = sample(&mut rng, all, args.count.min(all)).into_vec();
    images.sort_unstable();
    print_captions(&mut captioner, source, args.split, &images)
}

/// Prints images with their caption and references; `true` or the reason why not, where the data set can tell.
pub(super) fn print_captions<T: DecodeScalar>(
    captioner: &mut Captioner<'_, T>,
    source: &dyn Source,
    split: Split,
    images: &[usize],
) -> Result<(), Error> {
    let sentences = captioner.caption(source, split, images)?;
    for (image, sentence) in images.iter().zip(sentences) {
        let name =
            source.image_name(split, *image).map_or(format!("{split} {image}"), str::to_owned);
        say!("{name}");
        let verdict = source.judge().map(|judge| judge.judge(split, *image, &sentence));
        let verdict = verdict.map_or(String::new(), |verdict| format!("   [{verdict}]"));
        say!("  caption    {sentence}{verdict}");
        for reference in source.references(split, *image) {
            say!("  reference  {}", source.vocabulary().decode(reference));
        }
    }
    Ok(())
}
