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
use crate::run::{Checkpoints, CheckpointsError, Generation, RunError, RunFolder};
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
        let (run, experiment) = open(path, overrides)?;
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
        Parameters::best(&self.run, self.experiment.train.best_by)?.set(&mut engine)?;
        Ok(engine)
    }
}

/// A run folder, or that of the latest run of a graph file, and its graph file.
pub(crate) fn open(
    path: &Path,
    overrides: &[Override],
) -> Result<(RunFolder, Experiment), TrainedError> {
    let run = RunFolder::open(path)?;
    let experiment = Experiment::load(&run.graph(), overrides)?;
    Ok((run, experiment))
}

/// What a network has learned: the bytes of a file of parameters, and the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The file.
    pub file: PathBuf,
}

impl Parameters {
    /// The best parameters of a run, the latest where none were evaluated, from a generation that is whole.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn best(run: &RunFolder, by: BestBy) -> Result<Self, CheckpointsError> {
        let checkpoints = run.checkpoints();
        let latest = checkpoints.latest()?;
        let contents = checkpoints.load(&latest)?;
        let best = best_of(&checkpoints, &latest, &contents.state, by)?;
        let contents = if best == latest { contents } else { checkpoints.load(&best)? };
        Ok(Parameters { bytes: contents.parameters, file: best.parameters() })
    }

    /// The same, without a look at anything else that the generation holds.
    pub(crate) fn best_alone(run: &RunFolder, by: BestBy) -> Result<Self, CheckpointsError> {
        let checkpoints = run.checkpoints();
        let latest = checkpoints.latest()?;
        let state = checkpoints.file(&latest, STATE)?;
        let best = best_of(&checkpoints, &latest, &state, by)?;
        Ok(Parameters { bytes: checkpoints.file(&best, PARAMETERS)?, file: best.parameters() })
    }

    /// Gives them to a network.
    ///
    /// # Errors
    /// When they are not this network's.
    pub fn set<T: Scalar>(&self, engine: &mut Engine<T>) -> Result<(), CheckpointError> {
        checkpoint::set_parameters(engine, &self.bytes, &self.file)
    }
}

/// The generation with the best parameters, as the state of the latest one ranks them.
fn best_of(
    checkpoints: &Checkpoints,
    latest: &Generation,
    state: &[u8],
    by: BestBy,
) -> Result<Generation, CheckpointsError> {
    let all = checkpoints.list()?;
    let at = |step: &u64| all.iter().rev().find(|generation| generation.step == *step);
    let order = ranked(&evaluations(state), by);
    Ok(order.iter().find_map(at).unwrap_or(latest).clone())
}
