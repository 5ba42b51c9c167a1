//! `engine report`.

use std::fs;
use std::path::PathBuf;

use engine::{Experiment, RunFolder, Trained, TrainedError};
use engine_core::Sizes;
use engine_core::graph::Passes;
use engine_report::{History, Subject, report};

use crate::error::Error;
use crate::out::{say, writable};
use crate::run_args::WithArgs;

/// Show a run as a page: curves, captions of pictures, network and configuration in one HTML file
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine report runs/caption_lstm-1
  engine report graphs/caption_lstm.ron --count 12 --out lstm.html      (its latest run)")]
pub(crate) struct Args {
    /// A run folder, or a graph file whose latest run is meant
    #[arg(value_name = "RUN|GRAPH")]
    run: PathBuf,
    /// The file that the page goes to, in place of report.html in the run folder
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    /// Pictures of each kind: the best, the worst, some at random
    #[arg(long, default_value_t = 4, value_name = "N")]
    count: usize,
    #[command(flatten)]
    with: WithArgs,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let run = RunFolder::open(&args.run)?;
    let path = args.out.clone().unwrap_or_else(|| run.path().join("report.html"));
    writable(&path)?;
    let (opened, passes) = open(args, &run)?;
    let experiment = match &opened {
        Ok(trained) => trained.experiment.clone(),
        Err(_) => Experiment::load(&run.graph(), &[])?,
    };
    let history = History::read(&run.metrics(), experiment.train.batch.get())?;
    let sizes: Sizes = match &opened {
        Ok(trained) => trained.source.sizes().into_iter().collect(),
        Err(_) => Sizes::new(),
    };
    let (plan, _) = experiment.plan(&sizes)?;
    let name = run.name();
    let trained = opened.as_ref().map_err(String::clone);
    let subject =
        Subject { name, run, experiment, plan, sizes, history, trained, passes, count: args.count };
    let page = report(&subject)?;
    fs::write(&path, &page).map_err(|error| Error::Write { path: path.clone(), error })?;
    say!("{}  ({} KiB)", path.display(), page.len().div_ceil(1024));
    Ok(())
}

/// The run with its data, or why a page has to do without captions: data that has gone is no fault of the run, but data
/// that the command line names has to be there.
fn open(args: &Args, run: &RunFolder) -> Result<(Result<Trained, String>, Passes), Error> {
    match args.with.open(run.path()) {
        Ok((trained, passes)) => Ok((Ok(trained), passes)),
        Err(Error::Trained(TrainedError::Data(error))) if !args.with.names_data() => {
            Ok((Err(error.to_string()), args.with.passes()?))
        }
        Err(error) => Err(error),
    }
}
