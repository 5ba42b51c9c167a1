//! Training as it is shown while it runs: one form a file.

mod bar;
mod json;
mod plain;
mod sparkline;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use engine::{Summary, TrainSettings, Watch};
use engine_core::engine::Engine;
use engine_core::{Precision, Scalar};
use engine_datasets::{Source, Split};
use engine_kernels::team;
use serde::Serialize;

/// How training is shown, on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// A bar where standard error is a terminal, plain lines elsewhere
    Auto,
    /// A bar with loss, scores, speed and time left, and a line an evaluation
    Bar,
    /// Lines of text
    Plain,
    /// A JSON object a line
    Json,
}

/// What is about to be trained.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Opening {
    captions: usize,
    images: usize,
    words: usize,
    parameters: usize,
    precision: Precision,
    threads: usize,
    run: String,
    /// All steps of the run, and those of earlier sessions.
    total: u64,
    earlier: u64,
}

impl Opening {
    pub(super) fn new<T: Scalar>(
        engine: &Engine<T>,
        source: &dyn Source,
        run: &Path,
        settings: &TrainSettings,
    ) -> Self {
        let captions = source.captions(Split::Train);
        Opening {
            captions,
            images: source.images(Split::Train),
            words: source.vocabulary().len(),
            parameters: engine.parameters().iter().map(|p| p.as_slice().len()).sum(),
            precision: T::PRECISION,
            threads: team::threads(),
            run: run.display().to_string(),
            total: settings.total_steps(captions),
            earlier: 0,
        }
    }

    /// The same after so many steps of earlier sessions.
    pub(super) fn after(self, earlier: u64) -> Self {
        Opening { earlier, ..self }
    }

    /// The unit of losses: captions are what a loss is summed over, and the pieces that a text is cut into say nothing.
    fn unit(&self) -> &'static str {
        if self.images > 0 { "nats a caption" } else { "nats" }
    }

    /// What goes through the network in a second.
    fn rows(&self) -> &'static str {
        if self.images > 0 { "captions" } else { "pieces" }
    }

    /// In words: what is trained, and from where it goes on.
    fn lines(&self) -> Vec<String> {
        let Opening { captions, images, words, parameters, precision, threads, run, .. } = self;
        let data = match images {
            0 => format!("{captions} pieces of text"),
            images => format!("{captions} captions of {images} images"),
        };
        let what = format!(
            "{data}, {words} words; {parameters} parameters in {precision:?}; {threads} threads; {run}"
        );
        let from = match self.earlier {
            0 => None,
            all if all >= self.total => {
                Some(format!("all {all} steps are made; --epochs N goes further"))
            }
            steps => Some(format!("going on after step {steps}")),
        };
        [Some(what), from].into_iter().flatten().collect()
    }
}

/// Shows training while it runs.
pub(super) trait Show: Watch {
    /// Says what it came to, where results on standard output do not.
    fn end(&mut self, summary: &Summary);
}

/// Begins to show training.
pub(super) fn open(form: Form, settings: &TrainSettings, opening: Opening) -> Box<dyn Show> {
    let print_every = settings.print_every.get();
    match form {
        _ if !settings.verbose => Box::new(Silent),
        Form::Json => Box::new(json::Json::new(print_every, &opening)),
        Form::Auto if !io::stderr().is_terminal() => {
            Box::new(plain::Plain::new(print_every, &opening))
        }
        Form::Plain => Box::new(plain::Plain::new(print_every, &opening)),
        Form::Auto | Form::Bar => Box::new(bar::Bar::new(&opening)),
    }
}

/// Shows nothing.
struct Silent;

impl Watch for Silent {
    fn step(&mut self, _: &engine::StepReport) {}
    fn evaluation(&mut self, _: &engine::Evaluation) {}
}

impl Show for Silent {
    fn end(&mut self, _: &Summary) {}
}

/// The time that steps to come take if they take as long as those of this session did.
fn left(elapsed: Duration, done: u64, to_come: u64) -> String {
    let each = elapsed.as_secs_f64() / done.max(1) as f64;
    let seconds = Duration::try_from_secs_f64(each * to_come as f64).unwrap_or_default().as_secs();
    match seconds / 3600 {
        0 => format!("{}:{:02}", seconds / 60, seconds % 60),
        hours => format!("{hours}:{:02}:{:02}", seconds / 60 % 60, seconds % 60),
    }
}

/// An evaluation in words; `unit` is that of the validation loss.
fn evaluation_line(evaluation: &engine::Evaluation, unit: &str) -> String {
    let scores = evaluation.scores.iter().map(|(name, score)| format!(", {name} {score:.4}"));
    format!(
        "epoch {}: loss {:.4}, validation {:.4} {unit}{}{}, {:.1} s",
        evaluation.epoch,
        evaluation.train_loss,
        evaluation.val_loss,
        scores.collect::<String>(),
        if evaluation.best { " (best)" } else { "" },
        evaluation.seconds
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_left_is_that_of_steps_like_those_before() {
        assert_eq!(left(Duration::from_secs(30), 10, 20), "1:00");
        assert_eq!(left(Duration::from_secs(3600), 2, 3), "1:30:00");
        assert_eq!(left(Duration::from_secs(5), 0, 0), "0:00");
    }
}
