//! The training loop.

use std::time::{Duration, Instant};

use engine_core::engine::{Engine, Updater, checkpoint};
use engine_core::{Batch, Mode, Progress, Scalar};
use engine_datasets::{Source, Split};

use crate::batches::{Drawn, with_batches};
use crate::error::Error;
use crate::metrics::{Metrics, Record};
use crate::run::RunFolder;
use crate::settings::TrainSettings;
use crate::validate::validate;

/// What one step came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepReport {
    /// The step, from 1.
    pub iteration: u64,
    /// All steps of the run.
    pub total: u64,
    /// The epoch, from 1.
    pub epoch: u64,
    /// The loss of its batch.
    pub loss: f64,
    /// The learning rate it was made with.
    pub learning_rate: f64,
    /// The norm of all gradients before clipping by norm.
    pub gradient_norm: f64,
    /// Its speed, waiting for data included.
    pub captions_per_second: f64,
    /// How long it waited for its batch, in seconds.
    pub data_wait: f64,
}

/// What one epoch came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The mean loss of its batches.
    pub loss: f64,
    /// The mean loss over the validation captions after it.
    pub val_loss: f64,
    /// Whether that is the lowest so far.
    pub best: bool,
    /// Its time, validation included, in seconds.
    pub seconds: f64,
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Steps made.
    pub iterations: u64,
    /// Every epoch; the last may have been cut short.
    pub epochs: Vec<EpochReport>,
    /// The whole time in seconds.
    pub seconds: f64,
    /// How much of it steps have waited for their batches, in seconds.
    pub data_wait: f64,
}

impl Summary {
    /// The epoch with the lowest validation loss.
    pub fn best(&self) -> Option<&EpochReport> {
        self.epochs.iter().rev().find(|epoch| epoch.best)
    }

    /// The part of the time that steps have waited for their batches, from 0 to 1.
    pub fn data_wait_share(&self) -> f64 {
        self.data_wait / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// Whoever looks on while a network trains.
pub trait Watch {
    /// A step is done.
    fn step(&mut self, report: &StepReport);
    /// An epoch is done.
    fn epoch(&mut self, report: &EpochReport);
}

/// Trains a network on the training captions of `source`, and writes metrics and parameters into `run`.
///
/// The same seed gives the same parameters, bit for bit, for any number of threads.
///
/// # Errors
/// When the data does not fit the network, a number is no longer finite, or a file cannot be written. Parameters that
/// are not finite are never written.
pub fn train<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    settings: &TrainSettings,
    run: &RunFolder,
    watch: &mut dyn Watch,
) -> Result<Summary, Error> {
    let write = |error| Error::Write { path: run.metrics(), error };
    let mut metrics = Metrics::create(&run.metrics()).map_err(write)?;
    let mut updater = Updater::new(settings.optimizer.clone(), settings.limits(), engine);
    let captions = source.captions(Split::Train);
    let per_epoch = settings.order.batches(captions, settings.batch.as_usize()) as u64;
    let total = settings.total_steps(captions);
    let draw = settings.draw(total);
    let begun = Instant::now();
    let (mut epochs, mut best, mut iteration) = (Vec::new(), f64::INFINITY, 0);
    let (mut epoch_begun, mut losses, mut first) = (begun, 0.0, iteration);
    save(engine, run.last(), iteration, None)?;

    with_batches(source, draw, |batches| {
        let (mut step_begun, mut waited) = (Instant::now(), Duration::ZERO);
        while let Some(Drawn { epoch, rows, batch }) = batches.next() {
            let (epoch, rows) = (*epoch, *rows);
            let learning_rate = settings.learning_rate(Progress { iteration, per_epoch, total });
            let (loss, gradient_norm) =
                step(engine, &mut updater, batch, iteration, learning_rate, run)?;
            iteration += 1;
            losses += loss;
            let report = StepReport {
                iteration,
                total,
                epoch,
                loss,
                learning_rate,
                gradient_norm,
                captions_per_second: rows as f64 / step_begun.elapsed().as_secs_f64(),
                data_wait: (batches.waited() - waited).as_secs_f64(),
            };
            watch.step(&report);
            if iteration == total || iteration == first + per_epoch {
                let val_loss = finite_validation(engine, source, settings, iteration, run)?;
                metrics.write(&report.record(Some(val_loss))).map_err(write)?;
                save(engine, run.last(), iteration, Some(val_loss))?;
                let is_best = val_loss < best;
                if is_best {
                    best = val_loss;
                    save(engine, run.best(), iteration, Some(val_loss))?;
                }
                let loss = losses / (iteration - first) as f64;
                let seconds = epoch_begun.elapsed().as_secs_f64();
                epochs.push(EpochReport { epoch, loss, val_loss, best: is_best, seconds });
                watch.epoch(&epochs[epochs.len() - 1]);
                (epoch_begun, losses, first) = (Instant::now(), 0.0, iteration);
            } else {
                metrics.write(&report.record(None)).map_err(write)?;
            }
            (step_begun, waited) = (Instant::now(), batches.waited());
        }
        let (seconds, data_wait) = (begun.elapsed().as_secs_f64(), waited.as_secs_f64());
        Ok(Summary { iterations: iteration, epochs, seconds, data_wait })
    })
}

/// Forward, backward, limits, update. Returns the loss and the gradients' norm.
fn step<T: Scalar>(
    engine: &mut Engine<T>,
    updater: &mut Updater<T>,
    batch: &Batch,
    iteration: u64,
    learning_rate: f64,
    run: &RunFolder,
) -> Result<(f64, f64), Error> {
    engine.forward(batch, Mode::Train { iteration })?;
    let loss = engine.loss().unwrap_or(f64::NAN);
    if !loss.is_finite() {
        return Err(not_finite(engine, "the loss", iteration + 1, run));
    }
    engine.backward();
    let norm = updater.limit(engine);
    if !norm.is_finite() {
        return Err(not_finite(engine, "the gradient", iteration + 1, run));
    }
    updater.update(engine, learning_rate);
    Ok((loss, norm))
}

fn finite_validation<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    settings: &TrainSettings,
    iteration: u64,
    run: &RunFolder,
) -> Result<f64, Error> {
    let loss = validate(engine, source, Split::Val, settings.batch.as_usize())?;
    if loss.is_finite() {
        Ok(loss)
    } else {
        Err(not_finite(engine, "the validation loss", iteration, run))
    }
}

fn not_finite<T: Scalar>(
    engine: &Engine<T>,
    what: &'static str,
    iteration: u64,
    run: &RunFolder,
) -> Error {
    let node = engine.first_not_finite().map(str::to_owned);
    Error::NotFinite { what, iteration, node, kept: run.last() }
}

fn save<T: Scalar>(
    engine: &Engine<T>,
    path: std::path::PathBuf,
    iteration: u64,
    val_loss: Option<f64>,
) -> Result<(), Error> {
    let version = env!("CARGO_PKG_VERSION");
    let about =
        serde_json::json!({ "version": version, "iteration": iteration, "val_loss": val_loss });
    Ok(checkpoint::save(engine, &path, &about.to_string())?)
}

impl StepReport {
    fn record(&self, val_loss: Option<f64>) -> Record {
        Record {
            iteration: self.iteration,
            epoch: self.epoch,
            loss: self.loss,
            learning_rate: self.learning_rate,
            gradient_norm: self.gradient_norm,
            captions_per_second: self.captions_per_second,
            data_wait: self.data_wait,
            val_loss,
        }
    }
}
