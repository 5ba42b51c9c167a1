//! A bar on a terminal.

use std::time::Instant;

use engine::{Evaluation, StepReport, Summary, Watch};
use indicatif::{ProgressBar, ProgressStyle};

use super::sparkline::Sparkline;
use super::{Opening, Show, evaluation_line, left};

/// Steps done, loss and its course, the latest evaluation, speed and time left.
pub(super) struct Bar {
    bar: ProgressBar,
    course: Sparkline,
    evaluation: String,
    /// The mean loss and speed of about the last twenty steps.
    smooth: Option<(f64, f64)>,
    earlier: u64,
    begun: Instant,
    rows: &'static str,
    unit: &'static str,
}

/// What matters most comes first: a narrow terminal cuts the rest off.
const TEMPLATE: &str = "{bar:8} {pos}/{len} {wide_msg}";
/// Characters of the loss's course.
const COURSE: usize = 12;
/// The share of the new step in the means.
const SHARE: f64 = 0.05;

impl Bar {
    pub(super) fn new(opening: &Opening) -> Self {
        let bar = ProgressBar::new(opening.total);
        let style = ProgressStyle::with_template(TEMPLATE);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(opening.earlier);
        opening.lines().iter().for_each(|line| bar.suspend(|| eprintln!("{line}")));
        Bar {
            bar,
            course: Sparkline::new(COURSE),
            evaluation: String::new(),
            smooth: None,
            earlier: opening.earlier,
            begun: Instant::now(),
            rows: opening.rows(),
            unit: opening.unit(),
        }
    }
}

impl Watch for Bar {
    fn step(&mut self, StepReport { total, record }: &StepReport) {
        let now = (record.loss, record.captions_per_second);
        let (loss, speed) = self.smooth.map_or(now, |(loss, speed)| {
            (loss + SHARE * (now.0 - loss), speed + SHARE * (now.1 - speed))
        });
        self.smooth = Some((loss, speed));
        self.course.push(record.loss);
        let (done, to_come) = (record.iteration - self.earlier, total - record.iteration);
        self.bar.set_message(format!(
            "{} left loss {loss:.3} {}{} {speed:.0} {}/s",
            left(self.begun.elapsed(), done, to_come),
            self.course.line(),
            self.evaluation,
            self.rows
        ));
        self.bar.set_position(record.iteration);
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        let scores = evaluation.scores.iter().map(|(name, score)| format!(" {name} {score:.3}"));
        self.evaluation = format!(" val {:.3}{}", evaluation.val_loss, scores.collect::<String>());
        self.bar.suspend(|| eprintln!("{}", evaluation_line(evaluation, self.unit)));
    }
}

impl Show for Bar {
    fn end(&mut self, _: &Summary) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        // Also where an error ends training.
        self.bar.finish_and_clear();
    }
}
