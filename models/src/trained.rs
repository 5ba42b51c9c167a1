//! A run opened to be used: its network, laid out for its data, with what it has learned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Scalar, Sizes};
use engine_datasets::Source;

use crate::error::Error;
use crate::experiment::{Experiment, Override};
use crate::run::checkpoints::{PARAMETERS, STATE};
use crate::run::{Contents, RunFolder};
use crate::train::{BestBy, evaluations, ranked};

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
        run.check_words(source.vocabulary())?;
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
        set_best(&mut engine, &self.run, self.experiment.train.best_by)?;
        Ok(engine)
    }
}

/// Gives a network the best parameters of a run.
pub(crate) fn set_best<T: Scalar>(
    engine: &mut Engine<T>,
    run: &RunFolder,
    by: BestBy,
) -> Result<(), Error> {
    let (contents, path) = best(run, by)?;
    Ok(checkpoint::set_parameters(engine, &contents.parameters, &path)?)
}

/// The best parameters of a run and their file, without anything else that its generations hold.
pub(crate) fn best_parameters(run: &RunFolder, by: BestBy) -> Result<(Vec<u8>, PathBuf), Error> {
    let checkpoints = run.checkpoints();
    let latest = checkpoints.latest()?;
    let all = checkpoints.list()?;
    let at = |step: &u64| all.iter().rev().find(|generation| generation.step == *step);
    let order = ranked(&evaluations(&checkpoints.file(&latest, STATE)?), by);
    let best = order.iter().find_map(at).unwrap_or(&latest);
    Ok((checkpoints.file(best, PARAMETERS)?, best.parameters()))
}

/// The best generation of a run, and where its parameters lie; the latest where none was evaluated.
pub(crate) fn best(run: &RunFolder, by: BestBy) -> Result<(Contents, PathBuf), Error> {
    let checkpoints = run.checkpoints();
    let latest = checkpoints.latest()?;
    let contents = checkpoints.load(&latest)?;
    let all = checkpoints.list()?;
    let at = |step: &u64| all.iter().rev().find(|generation| generation.step == *step);
    let order = ranked(&evaluations(&contents.state), by);
    match order.iter().find_map(at).filter(|best| **best != latest) {
        None => Ok((contents, latest.parameters())),
        Some(best) => Ok((checkpoints.load(best)?, best.parameters())),
    }
}
