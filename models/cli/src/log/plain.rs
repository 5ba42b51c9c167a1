//! Lines of text, for files and pipes.

use std::time::Instant;

use engine::{Evaluation, StepReport, Summary, Watch};

use super::{Opening, Show, evaluation_line, left};

/// A line every so many steps, and one an evaluation.
pub(super) struct Plain {
    print_every: u64,
    earlier: u64,
    begun: Instant,
    rows: &'static str,
    unit: &'static str,
}

impl Plain {
    pub(super) fn new(print_every: u64, opening: &Opening) -> Self {
        opening.lines().iter().for_each(|line| eprintln!("{line}"));
        Plain {
            print_every,
            earlier: opening.earlier,
            begun: Instant::now(),
            rows: opening.rows(),
            unit: opening.unit(),
        }
    }
}

impl Watch for Plain {
    fn step(&mut self, StepReport { total, record }: &StepReport) {
        if !record.iteration.is_multiple_of(self.print_every) {
            return;
        }
        let (done, to_come) = (record.iteration - self.earlier, total - record.iteration);
        eprintln!(
            "iteration {}/{total}: loss {:.4}, {:.0} {}/s, {} left",
            record.iteration,
            record.loss,
            record.captions_per_second,
            self.rows,
            left(self.begun.elapsed(), done, to_come)
        );
    }

    fn evaluation(&mut self, evaluation: &Evaluation) {
        eprintln!("{}", evaluation_line(evaluation, self.unit));
    }
}

impl Show for Plain {
    fn end(&mut self, _: &Summary) {}
}
