//! Training on the terminal: a bar while it runs, a line an epoch.

use std::path::Path;
use std::time::{Duration, Instant};

use engine_core::engine::Engine;
use engine_core::{Scalar, team};
use engine_datasets::{Source, Split};
use indicatif::{ProgressBar, ProgressStyle};

use crate::settings::TrainSettings;
use crate::train::{Evaluation, StepReport, Watch};

/// Shows a bar where standard error is a terminal, and lines of text everywhere.
pub(super) struct Terminal {
    bar: ProgressBar,
    print_every: u64,
    verbose: bool,
    begun: Instant,
    /// Steps of earlier sittings.
    earlier: u64,
}

const BAR: &str = "{bar:24} {pos}/{len} {msg} {eta} left";

impl Terminal {
    /// Says what is about to happen, and begins to show it.
    pub(super) fn new<T: Scalar>(
        settings: &TrainSettings,
        engine: &Engine<T>,
        source: &dyn Source,
        run: &Path,
    ) -> Self {
        let captions = source.captions(Split::Train);
        let bar = match settings.verbose {
            true => ProgressBar::new(settings.total_steps(captions)),
            false => ProgressBar::hidden(),
        };
        let style = ProgressStyle::with_template(BAR);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        let (print_every, verbose) = (settings.print_every.get(), settings.verbose);
        let terminal = Terminal { bar, print_every, verbose, begun: Instant::now(), earlier: 0 };
        let parameters: usize = engine.parameters().iter().map(|p| p.as_slice().len()).sum();
        terminal.line(&format!(
            "{captions} captions of {} images, {} words; {parameters} parameters in {:?}; {} threads; {}",
            source.images(Split::Train),
            source.vocabulary().len(),
            T::PRECISION,
            team::threads(),
            run.display()
        ));
        terminal
    }

    /// Says that so many steps of all were made before.
    pub(super) fn resumes(&mut self, steps: u64, total: u64) {
        self.earlier = steps;
        self.bar.set_position(steps);
        self.bar.reset_eta();
        self.line(&match steps < total {
            true => format!("going on after step {steps}"),
            false => format!("all {steps} steps are made; --epochs N goes further"),
        });
    }

    fn line(&self, text: &str) {
        if self.verbose {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }
}

impl Watch for Terminal {
    fn step(&mut self, report: &StepReport) {
        let StepReport { record, total } = report;
        self.bar.set_message(format!(
            "epoch {} loss {:.3} {:.0} captions/s",
            record.epoch, record.loss, record.captions_per_second
        ));
        self.bar.set_position(record.iteration);
        if record.iteration.is_multiple_of(self.print_every) {
            let each =
                self.begun.elapsed().as_secs_f64() / (record.iteration - self.earlier) as f64;
            self.line(&format!(
                "iteration {}/{total}: loss {:.4}, {:.0} captions/s, {} left",
                record.iteration,
                record.loss,
                record.captions_per_second,
                clock(each * (total - record.iteration) as f64)
            ));
        }
    }

    fn evaluation(&mut self, report: &Evaluation) {
        self.line(&format!(
            "epoch {}: loss {:.4}, validation {:.4} nats a caption{}, {:.1} s",
            report.epoch,
            report.train_loss,
            report.val_loss,
            if report.best { " (best)" } else { "" },
            report.seconds
        ));
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn clock(seconds: f64) -> String {
    let seconds = Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    format!("{}:{:02}", seconds / 60, seconds % 60)
}
