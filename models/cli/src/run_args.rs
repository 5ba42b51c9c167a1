//! Which run is meant, and how it writes.

use std::path::PathBuf;

use engine::{Override, Trained};
use engine_core::graph::Passes;

use crate::error::Error;
use crate::graph_args::quoted;
use crate::pass_args::PassArgs;
use crate::threads::ThreadArgs;

/// A run and how it is used.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// A run folder, or a graph file whose latest run is meant
    #[arg(value_name = "RUN|GRAPH")]
    run: PathBuf,
    #[command(flatten)]
    with: WithArgs,
}

/// What is used in place of what a run's graph file says, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct WithArgs {
    /// The folder that the data lies in, in place of the run's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// How words are chosen, in place of the run's way: 'Greedy(max_length: 20)'; `engine layers` lists decoders
    #[arg(long, value_name = "DECODER")]
    decode: Option<String>,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
}

impl RunArgs {
    /// Opens the run, and sets the number of threads.
    pub(crate) fn open(&self) -> Result<(Trained, Passes), Error> {
        self.with.open(&self.run)
    }
}

impl WithArgs {
    /// Sets the number of threads, for a command that goes without a run.
    pub(crate) fn apply_threads(&self) -> Result<(), Error> {
        self.threads.apply()
    }

    /// Whether the command line names the data, so that it must be there.
    pub(crate) fn names_data(&self) -> bool {
        self.data.is_some()
    }

    /// The rewrites of the plan that are applied.
    pub(crate) fn passes(&self) -> Result<Passes, Error> {
        self.passes.passes()
    }

    /// Opens this run, and sets the number of threads.
    pub(crate) fn open(&self, run: &std::path::Path) -> Result<(Trained, Passes), Error> {
        self.threads.apply()?;
        let passes = self.passes.passes()?;
        let data =
            self.data.iter().map(|dir| Override::new("data.dir", quoted(&dir.to_string_lossy())));
        let decode = self.decode.iter().map(|decoder| Override::new("sample", decoder));
        let trained = Trained::open(run, &data.chain(decode).collect::<Vec<_>>())?;
        Ok((trained, passes))
    }
}

/// How pictures are captioned without a data set.
#[derive(Debug, clap::Args)]
pub(crate) struct PictureArgs {
    /// How words are chosen, in place of the run's way: 'Beam(width: 5, best: 3)'; `engine layers` lists decoders
    #[arg(long, value_name = "DECODER")]
    decode: Option<String>,
    /// Fetches pictures from addresses of private networks and of this machine too
    #[arg(long)]
    pub(crate) allow_private: bool,
    #[command(flatten)]
    passes: PassArgs,
    #[command(flatten)]
    threads: ThreadArgs,
}

impl PictureArgs {
    /// Sets the number of threads. Returns what takes the place of the run's own values, and the rewrites of the plan.
    pub(crate) fn apply(&self) -> Result<(Vec<Override>, Passes), Error> {
        self.threads.apply()?;
        let decode = self.decode.iter().map(|decoder| Override::new("sample", decoder));
        Ok((decode.collect(), self.passes.passes()?))
    }
}
