//! `metrics.jsonl`: what happened at each step, one JSON object a line.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

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
    #[serde(default)]
    pub data_wait: f64,
    /// The mean loss over the validation captions, where they were looked at after this step.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_loss: Option<f64>,
}

/// The open file. Lines are flushed with every validation, so that a look into it while training runs shows whole epochs.
#[derive(Debug)]
pub struct Metrics {
    file: BufWriter<File>,
}

impl Metrics {
    /// A new, empty file.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Metrics { file: BufWriter::new(File::create(path)?) })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        serde_json::to_writer(&mut self.file, record)?;
        self.file.write_all(b"\n")?;
        if record.val_loss.is_some() { self.file.flush() } else { Ok(()) }
    }
}
