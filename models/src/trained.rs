//! A run opened to be used: its network, laid out for its data, with what it has learned.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine_core::engine::checkpoint::{self, CheckpointError};
use engine_core::engine::{BuildError, Engine};
use engine_core::graph::{Passes, Plan};
use engine_core::{Precision, Scalar, Sizes};
use engine_datasets::{DataError, Source};

use crate::best_by::{BestBy, ranked};
use crate::experiment::{Experiment, Override};
use crate::graph_file::GraphError;
use crate::run::checkpoints::{PARAMETERS, STATE};
use crate::run::{CheckpointsError, Contents, RunError, RunFolder};
use crate::train::evaluations;

/// A run that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum TrainedError {
    /// There is no such run, or it is not one of this data.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// Its graph file cannot be read, or is wrong.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Graph(#[from] GraphError),
    /// Its data is missing or wrong.
    #[error("{0}")]
    Data(#[from] DataError),
    /// Its network cannot be given memory.
    #[error("{0}")]
    Build(#[from] BuildError),
    /// Its generations cannot be read.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Checkpoints(#[from] CheckpointsError),
    /// Its parameters are not those of its network.
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
}

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
    pub fn open(path: &Path, overrides: &[Override]) -> Result<Self, TrainedError> {
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
    pub fn engine<T: Scalar>(&self, passes: &Passes) -> Result<Engine<T>, TrainedError> {
        let (plan, sizes) = (self.plan.clone(), self.sizes.clone());
        let mut engine = Engine::new(plan, sizes, self.experiment.train.seed)?.rewritten(passes);
        set_best(&mut engine, &self.run, self.experiment.train.best_by)?;
        Ok(engine)
    }
}

/// Gives a network the best parameters of a run.
///
/// # Errors
/// When they cannot be read, or are not this network's.
pub fn set_best<T: Scalar>(
    engine: &mut Engine<T>,
    run: &RunFolder,
    by: BestBy,
) -> Result<(), TrainedError> {
    let (contents, path) = best(run, by)?;
    Ok(checkpoint::set_parameters(engine, &contents.parameters, &path)?)
}

/// The best parameters of a run and their file, without anything else that its generations hold.
pub(crate) fn best_parameters(
    run: &RunFolder,
    by: BestBy,
) -> Result<(Vec<u8>, PathBuf), CheckpointsError> {
    let checkpoints = run.checkpoints();
    let latest = checkpoints.latest()?;
    let all = checkpoints.list()?;
    let at = |step: &u64| all.iter().rev().find(|generation| generation.step == *step);
    let order = ranked(&evaluations(&checkpoints.file(&latest, STATE)?), by);
    let best = order.iter().find_map(at).unwrap_or(&latest);
    Ok((checkpoints.file(best, PARAMETERS)?, best.parameters()))
}

/// The best generation of a run, and where its parameters lie; the latest where none was evaluated.
///
/// # Errors
/// When there is none, or it is damaged.
pub fn best(run: &RunFolder, by: BestBy) -> Result<(Contents, PathBuf), CheckpointsError> {
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
