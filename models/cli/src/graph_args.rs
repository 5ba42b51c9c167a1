//! Values on the command line that beat those of the graph file.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{DEFAULT_DATA, Experiment, Override};
use engine_core::Sizes;
use engine_core::graph::Plan;
use engine_datasets::{Source, Split};

use crate::diagnostics;
use crate::error::Error;

/// Values that beat those of the graph file.
#[derive(Debug, clap::Args)]
pub(crate) struct GraphArgs {
    /// The folder that the data lies in, in place of the file's data.dir
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,

    /// Puts a value in place of the file's: train.optimizer='Sgd(learning_rate: 0.1)'. Can be given many times
    #[arg(long = "set", value_name = "PATH=VALUE")]
    sets: Vec<Override>,
}

impl GraphArgs {
    /// Whether the command line names the data, so that it must be there.
    pub(crate) fn names_data(&self) -> bool {
        self.data.is_some() || self.sets.iter().any(|set| set.path == "data.dir")
    }

    /// All overrides, the general ones first, so that an option beats a `--set`.
    pub(crate) fn overrides(&self, options: Vec<Override>) -> Vec<Override> {
        let data =
            self.data.iter().map(|dir| Override::new("data.dir", quoted(&dir.to_string_lossy())));
        self.sets.iter().cloned().chain(data).chain(options).collect()
    }
}

/// A text as RON writes it.
pub(crate) fn quoted(text: &str) -> String {
    engine_core::graph::to_ron(text).unwrap_or_else(|_| format!("{text:?}"))
}

/// Data in memory, its sizes, and a network laid out for them.
pub(crate) type Opened = (Box<dyn Source>, Sizes, Arc<Plan>);

/// The data of an experiment, made if it is the default set and not there yet, and the network laid out for it. Warnings
/// are printed; what is wrong with the network is found before any data is touched.
pub(crate) fn open(experiment: &Experiment) -> Result<Opened, Error> {
    experiment.plan(&Sizes::new())?;
    make_default_data(experiment)?;
    let source = experiment.data.open()?;
    let (rows, batch) = (source.captions(Split::Train), experiment.train.batch.as_usize());
    if experiment.train.order.batches(rows, batch) == 0 {
        return Err(Error::TooFewRows { rows, batch });
    }
    let sizes: Sizes = source.sizes().into_iter().collect();
    let (plan, warnings) = experiment.plan(&sizes)?;
    diagnostics::print_faults(&experiment.document, &warnings);
    Ok((source, sizes, plan))
}

/// Makes the default data set where an experiment needs it and it is not there yet.
fn make_default_data(experiment: &Experiment) -> Result<(), Error> {
    let dir = experiment.data.dir();
    if dir != std::path::Path::new(DEFAULT_DATA) || dir.exists() {
        return Ok(());
    }
    eprintln!("{DEFAULT_DATA} is not there yet: making the default data set");
    crate::data::make_scenes(dir, &engine_datasets::Options::default())?;
    Ok(())
}
