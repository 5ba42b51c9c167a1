//! What `metrics.jsonl` tells: a series of numbers for each key, whatever kinds of lines there are.

use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::{Map, Value};

/// Everything that was measured in a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// One for each numeric key, in the order in which keys first occur; scores are named `scores.CIDEr`.
    pub series: Vec<Series>,
    /// The steps of an epoch, by which fractions of epochs are told.
    pub per_epoch: u64,
}

/// The numbers under one key.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The key.
    pub key: String,
    /// In the order of the file.
    pub samples: Vec<Sample>,
}

/// One number and when it was measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// The step, from 1.
    pub step: u64,
    /// The epoch that the step belongs to, from 1.
    pub epoch: u64,
    /// Seconds that training had taken by then, and evaluating as far as the file tells.
    pub seconds: f64,
    /// The number.
    pub value: f64,
}

/// Metrics that cannot be read.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum HistoryError {
    /// There is no such file, or it is no text.
    #[error("cannot read {}: {error}", path.display())]
    #[diagnostic(help("give the folder of a run that has been trained"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// A line is not what the file is made of.
    #[error("{}:{line}:{column}: expected a JSON object with `iteration`, {found}", path.display())]
    #[diagnostic(help("mend or remove the line; the others stay valid"))]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is there instead.
        found: String,
    },
    /// Nothing has been measured yet.
    #[error("{} holds no steps", path.display())]
    #[diagnostic(help("wait for the first epoch, or train again"))]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

/// Keys that say when, not what.
const WHEN: [&str; 2] = ["iteration", "epoch"];

impl History {
    /// Reads a file; `batch` captions a step turn speeds into times. A last line that is still being written does not
    /// count.
    ///
    /// # Errors
    /// When it cannot be read, is empty, or has a line that is no JSON object with a step.
    pub fn read(path: &Path, batch: u64) -> Result<Self, HistoryError> {
        let text = fs::read_to_string(path)
            .map_err(|error| HistoryError::Read { path: path.to_owned(), error })?;
        let mut history = History::default();
        let (mut evaluated, mut since, mut in_epoch, mut epoch) = (0.0, 0.0, 0, 0);
        for (i, line) in text.split_inclusive('\n').enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let object = match serde_json::from_str::<Map<String, Value>>(line.trim_end()) {
                Ok(object) => object,
                Err(error) if error.is_eof() && !line.ends_with('\n') => break,
                Err(error) => {
                    let text = error.to_string();
                    let reason = text.split(" at line ").next().unwrap_or_default();
                    let found = format!("found a line that is none: {reason}");
                    let column = error.column().max(1);
                    return Err(HistoryError::Line {
                        path: path.to_owned(),
                        line: i + 1,
                        column,
                        found,
                    });
                }
            };
            let Some(step) = object.get("iteration").and_then(Value::as_u64) else {
                let (path, found) = (path.to_owned(), "found none".into());
                return Err(HistoryError::Line { path, line: i + 1, column: 1, found });
            };
            let now = object.get("epoch").and_then(Value::as_u64).unwrap_or(1);
            if object.contains_key("loss") {
                let speed = object.get("captions_per_second").and_then(Value::as_f64);
                let took = speed.map_or(0.0, |speed| batch as f64 / speed);
                since += if took.is_finite() { took } else { 0.0 };
                in_epoch = if now == epoch { in_epoch + 1 } else { 1 };
                epoch = now;
                history.per_epoch = history.per_epoch.max(in_epoch);
            }
            // What an evaluation says of the time since the one before beats the sum of steps.
            if let Some(took) = object.get("seconds").and_then(Value::as_f64) {
                (evaluated, since) = (evaluated + took, 0.0);
            }
            let seconds = evaluated + since;
            history.add("", &object, Sample { step, epoch: now, seconds, value: 0.0 });
        }
        match history.series.is_empty() {
            true => Err(HistoryError::Empty { path: path.to_owned() }),
            false => Ok(history),
        }
    }

    /// Adds every number of a line to its series.
    fn add(&mut self, prefix: &str, object: &Map<String, Value>, when: Sample) {
        for (key, value) in object {
            if WHEN.contains(&key.as_str()) {
                continue;
            }
            let key = format!("{prefix}{key}");
            match value {
                Value::Object(inner) => self.add(&format!("{key}."), inner, when),
                _ => {
                    let Some(value) = value.as_f64() else { continue };
                    let sample = Sample { value, ..when };
                    match self.series.iter_mut().find(|series| series.key == key) {
                        Some(series) => series.samples.push(sample),
                        None => self.series.push(Series { key, samples: vec![sample] }),
                    }
                }
            }
        }
    }

    /// The numbers under this key; none if it does not occur.
    pub fn samples(&self, key: &str) -> &[Sample] {
        let series = self.series.iter().find(|series| series.key == key);
        series.map_or(&[], |series| &series.samples)
    }

    /// The keys of scores, such as `scores.CIDEr`: of all numbers that are not known to be something else.
    pub fn scores(&self) -> impl Iterator<Item = &str> {
        let keys = self.series.iter().map(|series| series.key.as_str());
        keys.filter(|key| !KNOWN.contains(key))
    }

    /// The lowest validation loss, the first of equals.
    pub fn lowest_val_loss(&self) -> Option<Sample> {
        let finite = self.samples("val_loss").iter().filter(|sample| !sample.value.is_nan());
        finite.copied().min_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// The highest number under a key, the first of equals.
    pub fn highest(&self, key: &str) -> Option<Sample> {
        let finite = self.samples(key).iter().filter(|sample| !sample.value.is_nan());
        finite.copied().reduce(|a, b| if b.value > a.value { b } else { a })
    }

    /// The last training step.
    pub fn last(&self) -> Option<Sample> {
        self.samples("loss").last().or_else(|| self.series.first()?.samples.last()).copied()
    }

    /// The middle one of all speeds, in captions per second.
    pub fn usual_speed(&self) -> Option<f64> {
        let speeds = self.samples("captions_per_second").iter().map(|sample| sample.value);
        let mut speeds: Vec<f64> = speeds.collect();
        speeds.sort_by(f64::total_cmp);
        speeds.get(speeds.len() / 2).copied()
    }

    /// How many epochs had passed after a step.
    pub fn epochs_at(&self, step: u64) -> f64 {
        step as f64 / self.per_epoch.max(1) as f64
    }
}

/// What a score is called: its key without the name of the object that scores are kept in.
pub(crate) fn score_name(key: &str) -> &str {
    key.strip_prefix("scores.").unwrap_or(key)
}

/// Keys of numbers that are no scores.
const KNOWN: [&str; 8] = [
    "loss",
    "learning_rate",
    "gradient_norm",
    "captions_per_second",
    "data_wait",
    "val_loss",
    "train_loss",
    "seconds",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<History, HistoryError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        fs::write(&path, text).unwrap();
        History::read(&path, 10)
    }

    const STEP: &str = r#"{"iteration":1,"epoch":1,"loss":4.5,"captions_per_second":5.0}"#;

    #[test]
    fn both_kinds_of_lines_are_read() {
        let evaluation = r#"{"iteration":1,"epoch":1,"val_loss":4.25,"best":true,"scores":{"CIDEr":0.5,"note":"x"}}"#;
        let history = read(&format!("{STEP}\n\n{evaluation}\n")).unwrap();
        assert_eq!(history.samples("loss")[0].value, 4.5);
        assert_eq!(history.samples("val_loss")[0].value, 4.25);
        assert_eq!(history.samples("scores.CIDEr")[0].value, 0.5);
        assert_eq!(history.samples("val_loss")[0].seconds, 2.0);
        assert_eq!(history.scores().collect::<Vec<_>>(), ["scores.CIDEr"]);
        let timed = r#"{"iteration":1,"val_loss":4.0,"seconds":3.5}"#;
        let history = read(&format!("{STEP}\n{timed}\n{STEP}\n")).unwrap();
        assert_eq!(history.samples("val_loss")[0].seconds, 3.5);
        assert_eq!(history.last().unwrap().seconds, 5.5);
    }

    #[test]
    fn a_broken_line_has_a_place() {
        let error = read(&format!("{STEP}\n{{\"iteration\": nine}}\n")).unwrap_err();
        assert!(error.to_string().contains("metrics.jsonl:2:16: expected a JSON object with `iteration`, found a line that is none: expected ident"), "{error}");
        let error = read(&format!("{STEP}\n{{\"loss\": 1}}\n")).unwrap_err();
        assert!(error.to_string().contains("metrics.jsonl:2:1: "), "{error}");
        assert!(matches!(read("\n"), Err(HistoryError::Empty { .. })));
    }

    #[test]
    fn a_line_that_is_being_written_is_left_out() {
        let history = read(&format!("{STEP}\n{{\"iteration\": 2, \"lo")).unwrap();
        assert_eq!(history.samples("loss").len(), 1);
        assert!(read(&format!("{STEP}\n{{\"iteration\": 2, \"lo\n")).is_err());
    }

    #[test]
    fn epochs_are_fractions_of_the_longest() {
        let line = |i, epoch| format!("{{\"iteration\":{i},\"epoch\":{epoch},\"loss\":1}}\n");
        let history = read(&[line(1, 1), line(2, 1), line(3, 2)].concat()).unwrap();
        assert_eq!(history.epochs_at(3), 1.5);
        assert_eq!(history.last().unwrap().step, 3);
    }
}
