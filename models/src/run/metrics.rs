//! `metrics.jsonl`: what happened at each step and at each evaluation, one JSON object a line.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::hexadecimal;

/// One training step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The step, from 1.
    pub iteration: u64,
    /// The epoch it belongs to, from 1.
    pub epoch: u64,
    /// The loss of its batch.
    pub loss: f64,
    /// The learning rate after schedule and warm-up.
    pub learning_rate: f64,
    /// The Euclidean norm of all gradients before clipping by norm.
    pub gradient_norm: f64,
    /// The speed of this step, waiting for data included.
    pub captions_per_second: f64,
    /// How long this step waited for its batch, in seconds.
    pub data_wait: f64,
}

/// What a look at the validation captions came to. The fields are the keys of its line in `metrics.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The steps made before it.
    pub iteration: u64,
    /// The epoch of the last of them, from 1.
    pub epoch: u64,
    /// The mean loss of the steps since the evaluation before.
    pub train_loss: f64,
    /// The mean loss over the validation captions.
    pub val_loss: f64,
    /// Scores of captions of the validation images, by metric.
    #[serde(default)]
    pub scores: BTreeMap<String, f64>,
    /// Whether it is the best so far, by `train.best_by`.
    pub best: bool,
    /// The time since the evaluation before, this one's included, in seconds.
    pub seconds: f64,
}

impl Evaluation {
    /// Its numbers, each with the name of its curve.
    pub(crate) fn scalars(&self) -> Vec<(&str, f64)> {
        let losses = [("loss/training", self.train_loss), ("loss/validation", self.val_loss)];
        let scores = self.scores.iter().map(|(name, score)| (name.as_str(), *score));
        losses.into_iter().chain(scores).collect()
    }
}

/// How much of the file there was when a generation was saved, so that a run goes on from there and nowhere else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Its length in bytes.
    pub bytes: u64,
    /// The SHA-256 of those.
    pub sha256: String,
}

/// A file of metrics that cannot be gone on with.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum MetricsError {
    /// The file system refused.
    #[error("cannot write {}: {error}", path.display())]
    #[diagnostic(help(
        "is the disk full? The checkpoint before is untouched; mend it and go on with: engine train --resume RUN"
    ))]
    Io {
        /// The file.
        path: PathBuf,
        /// Its reason.
        #[source]
        error: io::Error,
    },
    /// The file is not the one that training had written.
    #[error("{} is not as the checkpoint left it: {message}", path.display())]
    #[diagnostic(help(
        "put it back, or begin another run with these parameters: engine train GRAPH --init RUN"
    ))]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

/// The open file. Lines reach it with every [`sync`](Self::sync), so that a look into it while training runs shows whole
/// evaluations.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    hash: Sha256,
}

impl Metrics {
    /// A new, empty file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(path: &Path) -> Result<Self, MetricsError> {
        let file = File::create(path).map_err(|error| io_error(path, error))?;
        Ok(Self::of(path, file, 0, Sha256::new()))
    }

    /// The file as it was at some time; what was added since is taken off.
    ///
    /// # Errors
    /// When it is not the same file any more.
    pub fn go_on(path: &Path, written: &Written) -> Result<Self, MetricsError> {
        let changed = |message: String| MetricsError::Changed { path: path.to_owned(), message };
        let open = || OpenOptions::new().read(true).write(true).open(path);
        let mut file = open().map_err(|error| changed(error.to_string()))?;
        let mut hash = Sha256::new();
        let bytes =
            io::copy(&mut Read::by_ref(&mut file).take(written.bytes), &mut Hashing(&mut hash));
        let bytes = bytes.map_err(|error| changed(error.to_string()))?;
        if bytes < written.bytes {
            return Err(changed(format!(
                "expected at least {} bytes, found {bytes}",
                written.bytes
            )));
        }
        if hexadecimal(&hash.clone().finalize()) != written.sha256 {
            let length = written.bytes;
            return Err(changed(format!("its first {length} bytes have another SHA-256")));
        }
        let cut = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)));
        cut.map_err(|error| io_error(path, error))?;
        Ok(Self::of(path, file, bytes, hash))
    }

    fn of(path: &Path, file: File, bytes: u64, hash: Sha256) -> Self {
        Metrics { path: path.to_owned(), file: BufWriter::new(file), bytes, hash }
    }

    /// Adds a line: a [`Record`], or an [`Evaluation`].
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, record: &impl Serialize) -> Result<(), MetricsError> {
        let line = serde_json::to_string(record).map_err(io::Error::from);
        let written = line.map(|line| line + "\n").and_then(|line| {
            self.hash.update(line.as_bytes());
            self.bytes += line.len() as u64;
            self.file.write_all(line.as_bytes())
        });
        written.map_err(|error| io_error(&self.path, error))
    }

    /// Waits until all lines are on the disk, and says what there is.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn sync(&mut self) -> Result<Written, MetricsError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(|error| io_error(&self.path, error))?;
        Ok(Written { bytes: self.bytes, sha256: hexadecimal(&self.hash.clone().finalize()) })
    }
}

fn io_error(path: &Path, error: io::Error) -> MetricsError {
    MetricsError::Io { path: path.to_owned(), error }
}

/// A hash as something that can be written to.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_goes_on_where_a_generation_left_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut metrics = Metrics::create(&path).unwrap();
        let line = |at: u64| serde_json::json!({ "iteration": at });
        (1..=3).for_each(|at| metrics.write(&line(at)).unwrap());
        let written = metrics.sync().unwrap();
        (7..=9).for_each(|at| metrics.write(&line(at)).unwrap());
        metrics.sync().unwrap();
        let mut again = Metrics::go_on(&path, &written).unwrap();
        again.write(&line(4)).unwrap();
        let all = again.sync().unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let right: String = (1..=4).map(|at| format!("{{\"iteration\":{at}}}\n")).collect();
        assert_eq!((text.as_str(), all.bytes), (right.as_str(), right.len() as u64));

        std::fs::write(&path, right.replace('2', "5")).unwrap();
        let error = Metrics::go_on(&path, &all).unwrap_err().to_string();
        assert!(error.contains("another SHA-256"), "{error}");
        std::fs::write(&path, &right[..9]).unwrap();
        let error = Metrics::go_on(&path, &all).unwrap_err().to_string();
        assert!(error.contains("expected at least 64 bytes, found 9"), "{error}");
    }
}
