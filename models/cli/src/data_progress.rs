//! How far a long command has come: a bar where standard error is a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(10);

/// Progress as it is shown.
pub(crate) struct Progress {
    bar: ProgressBar,
    unit: &'static str,
    plain: bool,
    said: Instant,
}

impl Progress {
    /// Progress in this unit; the template is indicatif's.
    pub(crate) fn new(template: &str, unit: &'static str) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template(template);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Progress { bar, unit, plain: !io::stderr().is_terminal(), said: Instant::now() }
    }

    /// A line of its own.
    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| eprintln!("{text}"));
    }

    /// Time begins to count, from so much.
    pub(crate) fn begin(&mut self, done: u64) {
        self.bar.reset();
        self.bar.set_position(done);
        self.bar.reset_eta();
        self.said = Instant::now();
    }

    /// So much is done.
    pub(crate) fn at(&mut self, done: u64, total: Option<u64>) {
        if let Some(total) = total {
            self.bar.set_length(total);
        }
        self.bar.set_position(done);
        if self.plain && self.said.elapsed() >= EVERY {
            let total = total.map(|total| format!(" of {total}")).unwrap_or_default();
            eprintln!("{done}{total} {}", self.unit);
            self.said = Instant::now();
        }
    }

    /// Nothing more is shown.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
