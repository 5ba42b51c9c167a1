//! The folder in which a data set, or a run, keeps the encoder whose features it has.
//!
//! | file | holds |
//! |---|---|
//! | `graph.ron` | the graph file, with what it imports |
//! | `weights.safetensors` | its weights, by its own names |
//! | `reduction.safetensors` | what a data set does to features before it stores them, where it does anything |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{Encoder, EncoderError, Reduction};
use crate::files::replace;

/// The folder's name in a data set and in a run.
pub const ENCODER: &str = "encoder";

const GRAPH: &str = "graph.ron";
const WEIGHTS: &str = "weights.safetensors";
const REDUCTION: &str = Reduction::FILE;

/// The graph file in an encoder's folder.
pub fn graph(dir: &Path) -> PathBuf {
    dir.join(GRAPH)
}

/// The weights in an encoder's folder.
pub fn weights(dir: &Path) -> PathBuf {
    dir.join(WEIGHTS)
}

/// What a data set does to features, in an encoder's folder.
pub fn reduction(dir: &Path) -> PathBuf {
    dir.join(REDUCTION)
}

impl Encoder {
    /// Reads an encoder from the folder that [`save`](Self::save) has made, with what the data set does to features.
    ///
    /// # Errors
    /// When one of its files cannot be read or is not in order.
    pub fn open(dir: &Path) -> Result<Self, EncoderError> {
        let encoder = Self::load(&graph(dir), &weights(dir))?;
        let reduction = reduction(dir);
        Ok(match reduction.exists() {
            true => encoder.reduced(Reduction::read(&reduction)?),
            false => encoder,
        })
    }

    /// Writes the encoder to a folder: its graph, whole by itself, and its weights by its own names. Files that are there
    /// are replaced. Where the weights are called so already, the folder gets the same file by another name if the file
    /// system can do that, and else a copy.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), EncoderError> {
        let write = |path: PathBuf| |error| EncoderError::Write { path, error };
        fs::create_dir_all(dir).map_err(write(dir.to_owned()))?;
        self.weights.save(&weights(dir))?;
        let graph = graph(dir);
        replace(&graph, self.network.text().as_bytes()).map_err(write(graph.clone()))
    }
}

/// Gives `to`, a run, the encoder that `from`, its data, has, if it has one: the same files by other names if the file
/// system can do that, and else copies.
///
/// # Errors
/// When a file cannot be read or written.
pub fn hand_on(from: &Path, to: &Path) -> Result<(), EncoderError> {
    let (from, to) = (from.join(ENCODER), to.join(ENCODER));
    if !graph(&from).is_file() {
        return Ok(());
    }
    let write = |path: &Path| {
        let path = path.to_owned();
        |error| EncoderError::Write { path, error }
    };
    fs::create_dir_all(&to).map_err(write(&to))?;
    for name in [WEIGHTS, REDUCTION, GRAPH] {
        let (from, to) = (from.join(name), to.join(name));
        // What may be the same file already is not written over.
        _ = fs::remove_file(&to);
        match fs::hard_link(&from, &to).or_else(|_| fs::copy(&from, &to).map(|_| ())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && name == REDUCTION => {}
            done => done.map_err(write(&to))?,
        }
    }
    Ok(())
}

/// Takes from a run what [`hand_on`] has given it.
pub fn discard(run: &Path) {
    for name in [WEIGHTS, REDUCTION, GRAPH] {
        _ = fs::remove_file(run.join(ENCODER).join(name));
    }
    _ = fs::remove_dir(run.join(ENCODER));
}
