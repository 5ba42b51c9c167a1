//! The folder of a run: `runs/<graph>-<number>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use engine_core::graph::did_you_mean;

/// A run folder that cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder cannot be created or written to.
    #[error("cannot write to the run folder {}: {error}", path.display())]
    Unwritable {
        /// The folder.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// There is a run in it already.
    #[error("{} already holds a run", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
    },
    /// Neither a run folder nor a graph file with a run.
    #[error("{} is no run: it has no graph.ron", path.display())]
    NoRun {
        /// What was given.
        path: PathBuf,
    },
    /// A graph that was never trained here.
    #[error("{} has no run under runs/", graph.display())]
    Untrained {
        /// The graph file.
        graph: PathBuf,
    },
}

impl RunError {
    /// What to try.
    pub fn help(&self) -> String {
        match self {
            RunError::Unwritable { .. } => "choose another folder with --out DIR".into(),
            RunError::Occupied { .. } => {
                "choose another folder with --out, or remove this one".into()
            }
            RunError::NoRun { path } => {
                let near = runs_beside(path);
                let near =
                    did_you_mean(&path.display().to_string(), near.iter().map(String::as_str));
                format!("give the folder of a run, or a graph file; {near}")
            }
            RunError::Untrained { graph } => {
                format!("train it first: engine train {}", graph.display())
            }
        }
    }
}

/// Where a run keeps what it makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFolder {
    path: PathBuf,
}

/// Folders of runs that were not given one of their own.
const RUNS: &str = "runs";

impl RunFolder {
    /// Makes a new folder: `out`, or the first free `runs/<name>-<number>`. What it finds out about not being able to
    /// write, it finds out here.
    ///
    /// # Errors
    /// When the folder cannot be written to, or holds a run already.
    pub fn create(out: Option<&Path>, name: &str) -> Result<Self, RunError> {
        let run = match out {
            Some(path) => {
                let run = RunFolder { path: path.to_owned() };
                if run.graph().exists() {
                    return Err(RunError::Occupied { path: run.path });
                }
                fs::create_dir_all(path).map_err(|error| run.unwritable(error))?;
                run
            }
            None => Self::first_free(name)?,
        };
        let probe = run.path.join(".writable");
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|e| run.unwritable(e))?;
        Ok(run)
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
    /// When there is none.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        if path.is_file() {
            let name = graph_name(path);
            let latest = numbers(&name).max().map(|n| Path::new(RUNS).join(format!("{name}-{n}")));
            let path = latest.ok_or_else(|| RunError::Untrained { graph: path.to_owned() })?;
            return Self::open(&path);
        }
        let run = RunFolder { path: path.to_owned() };
        if run.graph().is_file() { Ok(run) } else { Err(RunError::NoRun { path: run.path }) }
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The graph file as it was run, overrides included.
    pub fn graph(&self) -> PathBuf {
        self.path.join("graph.ron")
    }

    /// What happened at each step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// The latest parameters.
    pub fn last(&self) -> PathBuf {
        self.path.join("last.safetensors")
    }

    /// The parameters with the lowest validation loss.
    pub fn best(&self) -> PathBuf {
        self.path.join("best.safetensors")
    }

    /// The parameters to use: the best ones, or the latest where nothing was validated.
    pub fn trained(&self) -> PathBuf {
        Some(self.best()).filter(|best| best.is_file()).unwrap_or(self.last())
    }

    /// Removes the folder, for a run that ended before it began. Only an empty one goes: what someone else put there
    /// stays.
    pub fn discard(self) {
        let _ = fs::remove_dir(&self.path);
        let _ = fs::remove_dir(RUNS);
    }

    fn unwritable(&self, error: io::Error) -> RunError {
        RunError::Unwritable { path: self.path.clone(), error }
    }
}

/// The name that a graph file's runs bear: the file's, without `.ron`.
pub(crate) fn graph_name(graph: &Path) -> String {
    graph.file_stem().map_or("graph".into(), |stem| stem.to_string_lossy().into_owned())
}

/// The run folders in the folder of `path`.
fn runs_beside(path: &Path) -> Vec<String> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let runs = entries.filter(|entry| entry.path().join("graph.ron").is_file());
    let join = |name| parent.map_or(PathBuf::from(&name), |parent| parent.join(&name));
    let mut names: Vec<String> =
        runs.map(|entry| join(entry.file_name()).display().to_string()).collect();
    names.sort();
    names
}

/// The numbers of a graph's runs.
fn numbers(name: &str) -> impl Iterator<Item = u64> {
    let entries = fs::read_dir(RUNS).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(move |entry| entry.strip_prefix(name)?.strip_prefix('-')?.parse().ok())
}
