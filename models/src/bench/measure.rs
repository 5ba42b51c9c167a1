//! Runs whole training steps with a watch on them. The one place where the benchmark reads the engine.

use std::time::{Duration, Instant};

use engine_core::engine::{Engine, NodeProfile, Updater};
use engine_core::{Batch, Mode, Progress, Scalar};
use engine_datasets::{Source, Split};
use serde::Serialize;

use super::error::BenchError;
use super::{WARM_UP, memory};
use crate::allocations;
use crate::batches::{Drawn, with_batches};
use crate::settings::TrainSettings;

/// What a training step consists of, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Waiting for the batch.
    Batch,
    /// Copying the batch into the network's inputs.
    Feed,
    /// Bringing parameters into the order of kernels.
    Pack,
    /// The forward pass.
    Forward,
    /// The backward pass.
    Backward,
    /// Weight decay and limits on gradients.
    Clip,
    /// The update rule.
    Update,
}

impl Phase {
    /// All of them, in their order.
    pub const ALL: [Phase; 7] = [
        Phase::Batch,
        Phase::Feed,
        Phase::Pack,
        Phase::Forward,
        Phase::Backward,
        Phase::Clip,
        Phase::Update,
    ];
}

/// What the counted steps came to.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The time of each step.
    pub steps: Vec<Duration>,
    /// The time of each phase, of all steps together.
    pub phases: [Duration; Phase::ALL.len()],
    /// Captions a step.
    pub rows: usize,
    /// Allocations of all steps together, where something counts them.
    pub allocations: Option<u64>,
    /// The most memory that the process had, the data included, in MiB.
    pub memory: Option<f64>,
    /// What each node of the plan that runs took, of all steps together.
    pub nodes: Vec<NodeProfile>,
    /// Operations of one step of the network as it is written, on a batch of the same size.
    pub operations_as_written: u64,
}

/// Trains for a few steps that warm up and `count` that are measured.
///
/// # Errors
/// When the data does not fit the network, or a number is no longer finite.
pub(super) fn measure<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    settings: &TrainSettings,
    count: usize,
) -> Result<Measured, BenchError> {
    let mut updater = Updater::new(settings.optimizer.clone(), settings.limits(), engine);
    let captions = source.captions(Split::Train);
    let full = settings.batch.as_usize().min(captions);
    let per_epoch = settings.order.batches(captions, settings.batch.as_usize()) as u64;
    let total = settings.total_steps(captions);
    let draw = settings.draw(0, u64::MAX);
    let (mut steps, mut phases) = (Vec::with_capacity(count), [Duration::ZERO; Phase::ALL.len()]);
    let mut before = None;
    let mut last = Batch::new();
    with_batches(source, draw, |batches| -> Result<(), BenchError> {
        let mut iteration = 0;
        while steps.len() < count {
            let mut watch = Watch::start();
            let Some(Drawn { rows, batch, .. }) = batches.next() else { break };
            // A smaller batch at the end of an epoch is left out, so that all steps are alike.
            if *rows < full {
                continue;
            }
            watch.end(Phase::Batch);
            let progress = Progress { iteration, per_epoch, total };
            step(
                engine,
                &mut updater,
                batch,
                (iteration, settings.learning_rate(progress)),
                &mut watch,
            )?;
            iteration += 1;
            if iteration > WARM_UP {
                steps.push(watch.times.iter().sum());
                phases.iter_mut().zip(watch.times).for_each(|(sum, time)| *sum += time);
            } else if iteration == WARM_UP {
                engine.begin_profile();
                before = allocations::count();
            }
            if steps.len() == count {
                last = batch.clone();
            }
        }
        Ok(())
    })?;
    let allocations = allocations::count().zip(before).map(|(after, before)| after - before);
    let memory = memory::peak_mib();
    let profile = engine.profile().cloned().unwrap_or_default();
    phases[Phase::Feed as usize] = profile.feed.time;
    phases[Phase::Pack as usize] = profile.pack.time;
    phases[Phase::Forward as usize] -= profile.feed.time + profile.pack.time;
    let operations_as_written = operations_as_written(engine, &last)?;
    let (rows, nodes) = (full, profile.nodes);
    Ok(Measured { steps, phases, rows, allocations, memory, nodes, operations_as_written })
}

/// One training step on a batch.
fn step<T: Scalar>(
    engine: &mut Engine<T>,
    updater: &mut Updater<T>,
    batch: &Batch,
    (iteration, learning_rate): (u64, f64),
    watch: &mut Watch,
) -> Result<(), BenchError> {
    engine.forward(batch, Mode::Train { iteration })?;
    engine.carry();
    let loss = engine.loss().unwrap_or(f64::NAN);
    watch.end(Phase::Forward);
    engine.backward();
    watch.end(Phase::Backward);
    let norm = updater.limit(engine);
    watch.end(Phase::Clip);
    finite(loss, "loss", iteration)?;
    finite(norm, "gradient", iteration)?;
    updater.update(engine, learning_rate);
    watch.end(Phase::Update);
    Ok(())
}

fn finite(number: f64, what: &'static str, iteration: u64) -> Result<(), BenchError> {
    match number.is_finite() {
        true => Ok(()),
        false => Err(BenchError::NotFinite { what, step: iteration + 1 }),
    }
}

/// Operations of forward and backward pass of the network without any rewrite.
fn operations_as_written<T: Scalar>(engine: &Engine<T>, batch: &Batch) -> Result<u64, BenchError> {
    let mut plain = Engine::<T>::new(engine.plan().clone(), engine.sizes().clone(), 0)?;
    plain.begin_profile();
    plain.forward(batch, Mode::Train { iteration: 0 })?;
    plain.backward();
    Ok(plain.profile().map_or(0, |profile| profile.operations()))
}

/// The time of each phase of a step.
struct Watch {
    times: [Duration; Phase::ALL.len()],
    last: Instant,
}

impl Watch {
    fn start() -> Self {
        Watch { times: [Duration::ZERO; Phase::ALL.len()], last: Instant::now() }
    }

    /// What has passed since the last call belongs to this phase.
    fn end(&mut self, phase: Phase) {
        let now = Instant::now();
        self.times[phase as usize] += now - self.last;
        self.last = now;
    }
}
