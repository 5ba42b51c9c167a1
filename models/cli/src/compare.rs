//! `engine compare`.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Experiment, RunFolder};
use engine_report::{Comparison, Contender, History};

use crate::error::Error;
use crate::out::{say, writable};

/// Compare runs: their curves in one HTML file, their best values and what differs in their graph files
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine compare runs/caption_lstm-1 runs/caption_gru-1
  engine compare runs/caption_lstm-* --out lstm.html")]
pub(crate) struct Args {
    /// Run folders, or graph files whose latest runs are meant
    #[arg(value_name = "RUN|GRAPH", required = true, num_args = 2..)]
    runs: Vec<PathBuf>,
    /// The file that the page goes to
    #[arg(long, value_name = "FILE.html", default_value = "compare.html")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    writable(&args.out)?;
    let mut contenders: Vec<Contender> = Vec::new();
    for path in &args.runs {
        contenders.push(contender(path, &contenders)?);
    }
    let comparison = Comparison::new(contenders);
    let page = comparison.html();
    fs::write(&args.out, &page).map_err(|error| Error::Write { path: args.out.clone(), error })?;
    say!("{}", comparison.text());
    say!("{}  ({} KiB)", args.out.display(), page.len().div_ceil(1024));
    Ok(())
}

/// A run, called by its folder's name, or by its whole path where another one is called that.
fn contender(path: &Path, others: &[Contender]) -> Result<Contender, Error> {
    let run = RunFolder::open(path)?;
    let experiment = Experiment::load(&run.graph(), &[])?;
    let history = History::read(&run.metrics(), experiment.train.batch.get())?;
    let (short, long) = (run.name(), run.path().display().to_string());
    let numbered = (2..).map(|i| format!("{long} ({i})"));
    let mut names = [short, long.clone()].into_iter().chain(numbered);
    let free = names.find(|name| others.iter().all(|other| other.name != *name));
    let name = free.expect("numbers do not end before names do");
    Ok(Contender { name, experiment, history })
}
