//! The folder of a run: `runs/<graph>-<number>`.
//!
//! | file | holds |
//! |---|---|
//! | `run.json` | the layout of the folder, the program, the command, the machine: [`About`] |
//! | `graph.ron` | the graph file as it runs, values of the command line included |
//! | `vocabulary.json` | the words that the network writes |
//! | `metrics.jsonl` | what happened at each step and at each evaluation: [`Metrics`] |
//! | `events.out.tfevents.*` | the same for TensorBoard: [`Events`] |
//! | `checkpoints/` | generations of everything that training needs to go on: [`Checkpoints`] |
//! | `lock` | held by the process that trains |

mod about;
pub(crate) mod checkpoints;
mod events;
mod metrics;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine_datasets::Vocabulary;

use crate::files::{Lock, LockError, nearest_beside, replace};

pub(crate) use about::FORMAT;
pub use about::{About, Machine};
pub use checkpoints::{Checkpoints, CheckpointsError, Contents, Generation};
pub use events::Events;
pub use metrics::{Evaluation, Metrics, MetricsError, Record, Written};

/// A run folder that cannot be made or used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum RunError {
    /// The folder cannot be created or written to.
    #[error("cannot write to the run folder {}: {error}", path.display())]
    #[diagnostic(help("choose another folder with --out DIR"))]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// There is a run in it already.
    #[error("{} already holds a run", path.display())]
    #[diagnostic(help("choose another folder with --out, or remove this one"))]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Neither a run folder nor a graph file with a run.
    #[error("{} is no run: it has no graph.ron", path.display())]
    #[diagnostic(help(
        "give the folder of a run, or a graph file; {}",
        nearest_beside(path, |entry| entry.join("graph.ron").is_file())
    ))]
    NoRun {
        /// What was given.
        path: PathBuf,
    },
    /// Another process trains in it.
    #[error("{} is in use{}", path.display(), by(*process))]
    #[diagnostic(help("wait until it has ended, or train into another folder with --out"))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The number of the process, where it could be read.
        process: Option<u32>,
    },
    /// The folder of another version of this program.
    #[error("{}: expected a run of format {FORMAT}, found format {found}", path.display())]
    #[diagnostic(help("{}", if *found > FORMAT { NEWER } else { FOREIGN }))]
    OtherFormat {
        /// Its `run.json`.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The data has other words than those that the run's network writes.
    #[error("{}: expected the words that the run was trained with, found others in the data", path.display())]
    #[diagnostic(help("give the folder of the run's own data with --data DIR"))]
    OtherWords {
        /// The run's `vocabulary.json`.
        path: PathBuf,
    },
    /// `run.json` is not what it should be.
    #[error("{} {message}", path.display())]
    #[diagnostic(help("{FOREIGN}"))]
    About {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A graph that was never trained here.
    #[error("{} has no run under runs/", graph.display())]
    #[diagnostic(help("train it first: engine train {}", graph.display()))]
    Untrained {
        /// The graph file.
        graph: PathBuf,
    },
}

const NEWER: &str = "a newer version of engine has made it: use that one";

const FOREIGN: &str = "is it the folder of a run of this program? `engine train` makes new ones";

fn by(process: Option<u32>) -> String {
    process.map_or(String::new(), |process| format!(" by process {process}"))
}

/// Where a run keeps what it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Folders of runs that were not given one of their own.
const RUNS: &str = "runs";

impl RunFolder {
    /// Makes a new folder: `out`, or the first free `runs/<name>-<number>`, and takes it. What it finds out about not
    /// being able to write, it finds out here.
    ///
    /// # Errors
    /// When the folder cannot be written to, or holds a run already.
    pub fn create(out: Option<&Path>, name: &str) -> Result<RunGuard, RunError> {
        let run = match out {
            Some(path) => {
                let run = RunFolder { path: path.to_owned() };
                run.free()?;
                fs::create_dir_all(path).map_err(|error| run.unwritable(error))?;
                run
            }
            None => Self::first_free(name)?,
        };
        let guard = run.take()?;
        // Someone may have come and gone in between.
        guard.free()?;
        Ok(guard)
    }

    fn free(&self) -> Result<(), RunError> {
        match self.graph().exists() {
            true => Err(RunError::Occupied { path: self.path.clone() }),
            false => Ok(()),
        }
    }

    /// Takes the folder, so that nobody else trains in it.
    ///
    /// # Errors
    /// When another process has it, or it cannot be written to.
    pub fn take(self) -> Result<RunGuard, RunError> {
        match Lock::take(&self.path.join("lock")) {
            Ok(lock) => Ok(RunGuard { folder: self, _lock: lock }),
            Err(LockError::Taken(process)) => Err(RunError::InUse { path: self.path, process }),
            Err(LockError::Io(error)) => Err(self.unwritable(error)),
        }
    }

    /// Another process may take a number in between, so making the folder is what claims it.
    fn first_free(name: &str) -> Result<Self, RunError> {
        let runs = PathBuf::from(RUNS);
        let unwritable = |path: &Path, error| RunError::Unwritable { path: path.to_owned(), error };
        fs::create_dir_all(&runs).map_err(|error| unwritable(&runs, error))?;
        for number in numbers(name).max().unwrap_or(0) + 1.. {
            let path = runs.join(format!("{name}-{number}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(RunFolder { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(unwritable(&path, error)),
            }
        }
        unreachable!("numbers do not end before folders do")
    }

    /// An existing run: its folder, or the latest run of a graph file.
    ///
    /// # Errors
    /// When there is none, or it is of a newer version.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        if path.is_file() {
            let name = graph_name(path);
            let latest = numbers(&name).max().map(|n| Path::new(RUNS).join(format!("{name}-{n}")));
            let path = latest.ok_or_else(|| RunError::Untrained { graph: path.to_owned() })?;
            return Self::open(&path);
        }
        let run = RunFolder { path: path.to_owned() };
        if !run.graph().is_file() {
            return Err(RunError::NoRun { path: run.path });
        }
        run.about()?;
        Ok(run)
    }

    /// How the run came to be.
    ///
    /// # Errors
    /// When the folder does not say so, or is of another version.
    pub fn about(&self) -> Result<About, RunError> {
        About::read(&self.path.join("run.json"))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the run is called: the name of its folder, also where that was given as `.`.
    pub fn name(&self) -> String {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        path.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned())
    }

    /// The graph file as it was run, overrides included.
    pub fn graph(&self) -> PathBuf {
        self.path.join("graph.ron")
    }

    /// What happened at each step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The words that its network writes.
    pub fn vocabulary(&self) -> PathBuf {
        self.path.join("vocabulary.json")
    }

    /// Makes sure that the words of data are those of the run.
    ///
    /// # Errors
    /// When they are others.
    pub fn check_words(&self, vocabulary: &Vocabulary) -> Result<(), RunError> {
        let path = self.vocabulary();
        match fs::read_to_string(&path) {
            Ok(text) if text == vocabulary.to_json() => Ok(()),
            _ => Err(RunError::OtherWords { path }),
        }
    }

    /// Its saved generations.
    pub fn checkpoints(&self) -> Checkpoints {
        Checkpoints::new(self.path.join("checkpoints"))
    }

    fn unwritable(&self, error: io::Error) -> RunError {
        RunError::Unwritable { path: self.path.clone(), error }
    }
}

/// A run folder that this process trains in. Others are refused until it is dropped or the process ends.
#[derive(Debug)]
pub struct RunGuard {
    folder: RunFolder,
    _lock: Lock,
}

impl std::ops::Deref for RunGuard {
    type Target = RunFolder;
    fn deref(&self) -> &RunFolder {
        &self.folder
    }
}

impl RunGuard {
    /// Writes what a run is made of: how it came to be, its words, its graph file. The graph file is the last, for a
    /// folder with one is a run.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn begin(&self, about: &About, vocabulary: &str, graph: &str) -> Result<(), RunError> {
        let write = || {
            about.write(&self.path.join("run.json"))?;
            replace(&self.vocabulary(), vocabulary.as_bytes())?;
            replace(&self.graph(), graph.as_bytes())
        };
        write().map_err(|error| self.unwritable(error))
    }

    /// Removes the folder, for a run that ended before it began. Only what is the run's own goes: what someone else put
    /// there stays.
    pub fn discard(self) {
        for name in ["run.json", "vocabulary.json", "graph.ron", "lock"] {
            let _ = fs::remove_file(self.path.join(name));
        }
        let _ = fs::remove_dir(&self.path);
        let _ = fs::remove_dir(RUNS);
    }
}

/// The name that a graph file's runs bear: the file's, without `.ron`.
pub fn graph_name(graph: &Path) -> String {
    graph.file_stem().map_or("graph".into(), |stem| stem.to_string_lossy().into_owned())
}

/// The numbers of a graph's runs.
fn numbers(name: &str) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(RUNS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(move |entry| entry.strip_prefix(name)?.strip_prefix('-')?.parse().ok())
}
