//! A run opened to be used: its network, laid out for its data, with what it has learned.

use std::path::Path;
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Scalar, Sizes};
use engine_datasets::Source;

use crate::error::Error;
use crate::experiment::{Experiment, Override};
use crate::run::RunFolder;

/// A run, its graph file and its data.
pub struct Trained {
    /// The folder.
    pub run: RunFolder,
    /// Its graph file.
    pub experiment: Experiment,
    /// The data, in memory.
    pub source: Box<dyn Source>,
    plan: Arc<Plan>,
    sizes: Sizes,
}

impl Trained {
    /// Opens a run folder, or the latest run of a graph file, with `overrides` in place of what its graph file says.
    ///
    /// # Errors
    /// When there is no such run, or its graph file or data is not in order.
    pub fn open(path: &Path, overrides: &[Override]) -> Result<Self, Error> {
        let run = RunFolder::open(path)?;
        let experiment = Experiment::load(&run.graph(), overrides)?;
        let source = experiment.data.open()?;
        let sizes: Sizes = source.sizes().into_iter().collect();
        let (plan, _) = experiment.plan(&sizes)?;
        Ok(Trained { run, experiment, source, plan, sizes })
    }

    /// The number type that the network computes in, which [`engine`](Self::engine) is to be asked for.
    pub fn precision(&self) -> Precision {
        self.plan.precision
    }

    /// The network with the parameters that training has left.
    ///
    /// # Errors
    /// When they cannot be read, or are not this network's.
    pub fn engine<T: Scalar>(&self, passes: &Passes) -> Result<Engine<T>, Error> {
        let (plan, sizes) = (self.plan.clone(), self.sizes.clone());
        let mut engine = Engine::new(plan, sizes, self.experiment.train.seed)?.rewritten(passes);
        checkpoint::load(&mut engine, &self.run.trained())?;
        Ok(engine)
    }
}
