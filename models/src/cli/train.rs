//! `engine train`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Sizes};
use engine_datasets::{Source, Split};

use super::graph_args::{GraphArgs, open};
use super::out::say;
use super::pass_args::PassArgs;
use super::progress::Terminal;
use super::sample::print_captions;
use super::threads::ThreadArgs;
use crate::caption::Captioner;
use crate::decode::{DecodeScalar, SCORES};
use crate::error::Error;
use crate::experiment::{Experiment, Override};
use crate::run::RunFolder;
use crate::train::{Summary, train};

/// Train the network of a graph file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine train graphs/caption_lstm.ron
  engine train graphs/caption_lstm.ron --set nodes.hidden.layer='Gru(units: 256)' --epochs 3
  engine train graphs/caption_lstm.ron --data datasets/mine --out runs/mine")]
pub(super) struct Args {
    /// The graph file
    graph: PathBuf,
    #[command(flatten)]
    values: GraphArgs,
    /// Times that training goes through the captions
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Steps after which training ends, if it has not by then
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Captions a step
    #[arg(long, value_name = "N")]
    batch: Option<u64>,
    /// Decides first values, the order of captions and all noise
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
    /// The run folder, in place of runs/<graph>-<number>
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// How many unseen images are shown with their captions at the end.
const SHOWN: usize = 5;

pub(super) fn run(args: &Args) -> Result<(), Error> {
    args.threads.apply()?;
    let passes = args.passes.passes()?;
    let options = [
        ("train.epochs", args.epochs),
        ("train.steps", args.steps),
        ("train.batch", args.batch),
        ("train.seed", args.seed),
    ];
    let options = options.iter().filter_map(|(path, value)| Some(Override::new(*path, (*value)?)));
    let overrides = args.values.overrides(options.collect());
    let experiment = Experiment::load(&args.graph, &overrides)?;
    let (source, sizes, plan) = open(&experiment)?;
    match plan.precision {
        Precision::F32 => run_in::<f32>(&experiment, plan, sizes, &*source, &passes, args),
        Precision::F64 => run_in::<f64>(&experiment, plan, sizes, &*source, &passes, args),
    }
}

fn run_in<T: DecodeScalar>(
    experiment: &Experiment,
    plan: Arc<Plan>,
    sizes: Sizes,
    source: &dyn Source,
    passes: &Passes,
    args: &Args,
) -> Result<(), Error> {
    let writes = plan.output(SCORES).or_else(|| plan.value(SCORES)).is_some();
    let engine = Engine::<T>::new(plan, sizes, experiment.train.seed)?;
    let mut engine = engine.rewritten(passes);
    if writes {
        // A graph that cannot write step by step is refused now rather than after its training.
        Captioner::new(&engine, source, &*experiment.decoder)?;
    }
    let run = RunFolder::create(args.out.as_deref(), &experiment.name)?;
    if let Err(error) = save_graph(experiment, &run) {
        run.discard();
        return Err(error);
    }
    let mut terminal = Terminal::new(&experiment.train, &engine, source, run.path());
    let summary = train(&mut engine, source, &experiment.train, &run, &mut terminal)?;
    drop(terminal);

    if run.best().is_file() {
        checkpoint::load(&mut engine, &run.best())?;
    }
    if writes {
        print_unseen(&engine, source, experiment)?;
    }
    print_summary(&summary, &run, args);
    Ok(())
}

/// The graph as it runs, values of the command line included.
fn save_graph(experiment: &Experiment, run: &RunFolder) -> Result<(), Error> {
    let path = run.graph();
    fs::write(&path, experiment.document.text()).map_err(|error| Error::Write { path, error })
}

fn print_unseen<T: DecodeScalar>(
    engine: &Engine<T>,
    source: &dyn Source,
    experiment: &Experiment,
) -> Result<(), Error> {
    let mut captioner = Captioner::new(engine, source, &*experiment.decoder)?;
    let images: Vec<usize> = (0..source.images(Split::Val).min(SHOWN)).collect();
    say!("\nCaptions of images that training has not seen:");
    print_captions(&mut captioner, source, Split::Val, &images)?;
    if let Some(truth) = captioner.truth(source, Split::Val)? {
        say!(
            "{} of {} captions of unseen images are true of their picture: {:.1} %",
            truth.right,
            truth.all,
            100.0 * truth.share()
        );
    }
    Ok(())
}

fn print_summary(summary: &Summary, run: &RunFolder, args: &Args) {
    say!(
        "\n{} steps in {:.1} s, {:.2} % of it waiting for data",
        summary.iterations,
        summary.seconds,
        100.0 * summary.data_wait_share()
    );
    if let Some(best) = summary.best() {
        say!(
            "best validation loss {:.4} nats a caption, after epoch {}",
            best.val_loss,
            best.epoch
        );
    }
    let shown = |path: &Path| path.display().to_string();
    say!("run folder        {}", shown(run.path()));
    say!("  best parameters {}", shown(&run.best()));
    say!("  last parameters {}", shown(&run.last()));
    say!("  metrics         {}", shown(&run.metrics()));
    say!("  graph           {}", shown(&run.graph()));
    let what = if args.out.is_some() { run.path() } else { args.graph.as_path() };
    say!("more captions: engine sample {}", what.display());
}
