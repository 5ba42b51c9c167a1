//! The training loop.

mod captions;
mod error;
mod report;
mod state;
mod stop;
mod validate;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine_core::engine::{Engine, Updater, checkpoint};
use engine_core::{Batch, Mode, Progress, Scalar};
use engine_datasets::{Source, Split};

use self::state::State;
use crate::batches::with_batches;
use crate::best_by::ranked;
use crate::run::checkpoints::{CARRIED, OPTIMIZER, STATE};
use crate::run::{
    Checkpoints, Contents, Evaluation, Events, Generation, Metrics, Record, RunGuard,
};
use crate::settings::TrainSettings;

pub use captions::CaptionScores;
pub use error::TrainError;
pub use report::{End, Scores, StepReport, Summary, Watch};
pub(crate) use state::evaluations;
pub use state::{Identity, ResumeError};
pub use stop::Stop;
pub use validate::validate;

/// The training of one network, from its first step or from where a checkpoint left it.
pub struct Training<'a, T> {
    engine: &'a mut Engine<T>,
    updater: Updater<T>,
    source: &'a dyn Source,
    settings: &'a TrainSettings,
    checkpoints: Checkpoints,
    metrics: Metrics,
    events: Events,
    state: State,
    /// Steps of the whole run, and of an epoch.
    total: u64,
    per_epoch: u64,
    /// The steps and evaluations that the latest generation holds.
    saved: Option<(u64, u64)>,
    /// When this session began, and how long training had gone on by then.
    begun: (Instant, f64),
}

impl<'a, T: Scalar> Training<'a, T> {
    /// Begins a run in its folder.
    ///
    /// # Errors
    /// When the folder cannot be written to.
    pub fn begin(
        engine: &'a mut Engine<T>,
        source: &'a dyn Source,
        settings: &'a TrainSettings,
        run: &RunGuard,
        identity: Identity,
    ) -> Result<Self, TrainError> {
        // A run that was stopped while it saved its first generation begins anew.
        run.checkpoints().clean()?;
        let mut metrics = Metrics::create(&run.metrics())?;
        let events = Events::create(run.path(), 0)?;
        let state = State::new(identity, metrics.sync()?);
        let updater = Updater::new(settings.optimizer.clone(), settings.limits(), engine);
        let mut training =
            Self::new(engine, updater, (source, settings), run, (metrics, events), state);
        training.save()?;
        Ok(training)
    }

    /// Goes on with a run where its latest generation stands: every step to come is, bit for bit, the one that a run
    /// without a stop would have made.
    ///
    /// # Errors
    /// When there is no generation, it is damaged, or it is one of another network, update rule, seed, batch size or data
    /// set.
    pub fn resume(
        engine: &'a mut Engine<T>,
        source: &'a dyn Source,
        settings: &'a TrainSettings,
        run: &RunGuard,
        identity: &Identity,
    ) -> Result<Self, TrainError> {
        let checkpoints = run.checkpoints();
        checkpoints.clean()?;
        let generation = checkpoints.latest()?;
        let file = |name: &str| generation.path().join(name);
        let contents = checkpoints.load(&generation)?;
        let state = State::read(&contents.state, &file(STATE), identity)?;
        let mut updater = Updater::new(settings.optimizer.clone(), settings.limits(), engine);
        checkpoint::set_parameters(engine, &contents.parameters, &generation.parameters())?;
        let (steps, slots) = (state.iteration, &contents.optimizer);
        checkpoint::set_slots(&mut updater, steps, engine, slots, &file(OPTIMIZER))?;
        if let Some(carried) = &contents.carried {
            checkpoint::set_carried(engine, carried, &file(CARRIED))?;
        }
        let metrics = Metrics::go_on(&run.metrics(), &state.metrics)?;
        let events = Events::create(run.path(), state.iteration)?;
        let saved = Some((state.iteration, state.evaluated));
        let training =
            Self::new(engine, updater, (source, settings), run, (metrics, events), state);
        Ok(Training { saved, ..training })
    }

    fn new(
        engine: &'a mut Engine<T>,
        updater: Updater<T>,
        (source, settings): (&'a dyn Source, &'a TrainSettings),
        run: &RunGuard,
        (metrics, events): (Metrics, Events),
        state: State,
    ) -> Self {
        let captions = source.captions(Split::Train);
        Training {
            per_epoch: settings.order.batches(captions, settings.batch.as_usize()) as u64,
            total: settings.total_steps(captions),
            begun: (Instant::now(), state.seconds.0),
            checkpoints: run.checkpoints(),
            saved: None,
            engine,
            updater,
            source,
            settings,
            metrics,
            events,
            state,
        }
    }

    /// Steps made so far.
    pub fn iteration(&self) -> u64 {
        self.state.iteration
    }

    /// Trains to the end, or until someone asks to stop.
    ///
    /// # Errors
    /// When the data does not fit the network, a number is no longer finite, or a file cannot be written. Parameters that
    /// are not finite are never saved.
    pub fn run(
        mut self,
        scores: &mut dyn Scores<T>,
        watch: &mut dyn Watch,
        stop: &Stop,
    ) -> Result<Summary, TrainError> {
        let from = self.state.iteration;
        let (source, draw) =
            (self.source, self.settings.draw(from, self.total.saturating_sub(from)));
        with_batches(source, draw, |batches| {
            let mut waited = Duration::ZERO;
            let end = loop {
                if self.evaluation_is_due() {
                    self.evaluate(scores, watch, stop)?;
                }
                if let Some(signal) = stop.asked() {
                    break End::Stopped(signal);
                }
                if self.is_without_gain() {
                    break End::NoGain;
                }
                let begun = Instant::now();
                let Some(drawn) = batches.next() else { break End::Complete };
                let (loss, gradient_norm, learning_rate) = self.step(&drawn.batch)?;
                let record = Record {
                    iteration: self.state.iteration,
                    epoch: drawn.epoch,
                    loss,
                    learning_rate,
                    gradient_norm,
                    captions_per_second: drawn.rows as f64 / begun.elapsed().as_secs_f64(),
                    data_wait: (batches.waited() - waited).as_secs_f64(),
                };
                waited = batches.waited();
                self.state.data_wait += record.data_wait;
                self.metrics.write(&record)?;
                self.events.step(&record)?;
                watch.step(&StepReport { total: self.total, record });
                if self.checkpoint_is_due() {
                    self.save()?;
                }
            };
            self.save()?;
            Ok(self.summary(end, from))
        })
    }

    /// Forward, backward, limits, update; what is carried begins anew with every epoch. Returns the loss, the gradients' norm and the learning rate.
    fn step(&mut self, batch: &Batch) -> Result<(f64, f64, f64), TrainError> {
        let (iteration, per_epoch, total) = (self.state.iteration, self.per_epoch, self.total);
        let learning_rate = self.settings.learning_rate(Progress { iteration, per_epoch, total });
        if iteration.is_multiple_of(per_epoch) {
            self.engine.forget();
        }
        self.engine.forward(batch, Mode::Train { iteration })?;
        self.engine.carry();
        let loss = self.engine.loss().unwrap_or(f64::NAN);
        self.finite(loss, "the loss", iteration + 1)?;
        self.engine.backward();
        let norm = self.updater.limit(self.engine);
        self.finite(norm, "the gradient", iteration + 1)?;
        self.updater.update(self.engine, learning_rate);
        self.state.iteration += 1;
        self.state.losses = (self.state.losses.0 + loss, self.state.losses.1 + 1);
        Ok((loss, norm, learning_rate))
    }

    fn finite(&self, number: f64, what: &'static str, iteration: u64) -> Result<(), TrainError> {
        if number.is_finite() {
            return Ok(());
        }
        let node = self.engine.first_not_finite().map(str::to_owned);
        let kept = self.checkpoints.latest().map_or(PathBuf::new(), |latest| latest.parameters());
        Err(TrainError::NotFinite { what, iteration, node, kept })
    }

    fn evaluation_is_due(&self) -> bool {
        let (iteration, every) =
            (self.state.iteration, self.settings.evaluate_every(self.per_epoch));
        iteration > self.state.evaluated
            && (iteration.is_multiple_of(every) || iteration == self.total)
    }

    fn checkpoint_is_due(&self) -> bool {
        let every = self.settings.checkpoint_every;
        every.is_some_and(|every| self.state.iteration.is_multiple_of(every.get()))
            && !self.evaluation_is_due()
    }

    /// Measures the network on the validation captions and saves it. Someone who asks to stop meanwhile puts it off.
    fn evaluate(
        &mut self,
        scores: &mut dyn Scores<T>,
        watch: &mut dyn Watch,
        stop: &Stop,
    ) -> Result<(), TrainError> {
        let iteration = self.state.iteration;
        let (order, rows) = (self.settings.order, self.settings.batch.as_usize());
        let val_loss = validate(self.engine, self.source, Split::Val, (order, rows), stop)?;
        let Some(val_loss) = val_loss else { return Ok(()) };
        self.finite(val_loss, "the validation loss", iteration)?;
        let Some(scores) = scores.scores(self.engine, stop)? else { return Ok(()) };
        let (sum, count) = std::mem::take(&mut self.state.losses);
        let seconds = self.seconds();
        let mut evaluation = Evaluation {
            iteration,
            epoch: (iteration - 1) / self.per_epoch + 1,
            train_loss: sum / count as f64,
            val_loss,
            scores,
            best: false,
            seconds: seconds - self.state.seconds.1,
        };
        evaluation.best = self.best_gain() < self.settings.best_by.gain(&evaluation);
        self.state.evaluated = iteration;
        self.state.seconds.1 = seconds;
        self.metrics.write(&evaluation)?;
        self.events.scalars(iteration, evaluation.scalars())?;
        self.state.evaluations.push(evaluation.clone());
        self.save()?;
        watch.evaluation(&evaluation);
        Ok(())
    }

    /// How good the best evaluation so far is.
    fn best_gain(&self) -> Option<f64> {
        let gains = self.state.evaluations.iter().filter_map(|e| self.settings.best_by.gain(e));
        gains.max_by(f64::total_cmp)
    }

    fn is_without_gain(&self) -> bool {
        let since_best = self.state.evaluations.iter().rev().take_while(|e| !e.best).count() as u64;
        self.settings.patience.is_some_and(|patience| since_best >= patience.get())
    }

    fn seconds(&self) -> f64 {
        self.begun.1 + self.begun.0.elapsed().as_secs_f64()
    }

    /// Saves a generation, unless the latest one is this, and removes those that are not to be kept.
    fn save(&mut self) -> Result<(), TrainError> {
        let now = Some((self.state.iteration, self.state.evaluated));
        if self.saved == now {
            return Ok(());
        }
        self.state.metrics = self.metrics.sync()?;
        self.events.flush()?;
        self.state.seconds.0 = self.seconds();
        let contents = Contents {
            parameters: checkpoint::parameters(self.engine),
            optimizer: checkpoint::slots(&self.updater, self.engine),
            carried: checkpoint::carried(self.engine),
            state: self.state.bytes(),
        };
        self.checkpoints.save(self.state.iteration, &contents)?;
        self.saved = now;
        for generation in self.superseded()? {
            self.checkpoints.remove(&generation)?;
        }
        Ok(())
    }

    /// The generations that are neither among the latest nor among the best.
    fn superseded(&self) -> Result<Vec<Generation>, TrainError> {
        let keep = &self.settings.keep;
        let mut generations = self.checkpoints.list()?;
        generations.truncate(generations.len().saturating_sub(keep.last.as_usize()));
        let best = ranked(&self.state.evaluations, self.settings.best_by);
        let best = &best[..best.len().min(keep.best as usize)];
        generations.retain(|generation| !best.contains(&generation.step));
        Ok(generations)
    }

    fn summary(self, end: End, from: u64) -> Summary {
        Summary {
            iterations: self.state.iteration,
            here: self.state.iteration - from,
            seconds: self.seconds(),
            data_wait: self.state.data_wait,
            evaluations: self.state.evaluations,
            end,
        }
    }
}
