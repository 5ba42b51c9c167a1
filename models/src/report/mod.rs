//! Runs as pages: one self-contained HTML file that shows what a run has learned, or how several compare.
//!
//! Each section of a page is a file of its own, whose `SECTION` is named in the list of its page.

mod chart;
mod compare;
mod configuration;
mod curves;
mod gallery;
mod history;
mod image_score;
mod machine;
mod network;
mod number;
mod page;
mod picture;
mod points;
mod selection;
mod summary;

use std::sync::Arc;

use engine_core::Sizes;
use engine_core::graph::{Passes, Plan};
use maud::Markup;

pub use compare::{Comparison, Contender, Difference};
pub use history::{History, HistoryError, Sample, Series};

use crate::error::Error;
use crate::experiment::Experiment;
use crate::run::RunFolder;
use crate::trained::Trained;
use page::{Part, page};

/// A run as a report sees it.
pub struct Subject<'a> {
    /// What the run is called.
    pub name: String,
    /// Its folder.
    pub run: RunFolder,
    /// Its graph file.
    pub experiment: Experiment,
    /// Its network, laid out for its data where that is at hand.
    pub plan: Arc<Plan>,
    /// What is known of the sizes of the data.
    pub sizes: Sizes,
    /// What was measured.
    pub history: History,
    /// What it has learned and its data, or why there are no captions to show.
    pub trained: Result<&'a Trained, String>,
    /// Rewrites of the plan that captions are written with.
    pub passes: Passes,
    /// The most pictures of each group of the gallery.
    pub count: usize,
}

/// What stands in a section; nothing where a run does not have what it shows.
type Body = Option<Markup>;

/// A section of a report.
struct Section {
    id: &'static str,
    title: &'static str,
    body: fn(&Subject<'_>) -> Result<Body, Error>,
}

/// The sections of a report in their order.
const SECTIONS: [Section; 6] = [
    summary::SECTION,
    curves::SECTION,
    gallery::SECTION,
    network::SECTION,
    configuration::SECTION,
    machine::SECTION,
];

/// What a run is called: the name of its folder, also where that was given as `.`.
pub fn run_name(run: &RunFolder) -> String {
    let path = run.path().canonicalize().unwrap_or_else(|_| run.path().to_owned());
    path.file_name().map_or("run".into(), |name| name.to_string_lossy().into_owned())
}

/// The report of a run as the text of an HTML file.
///
/// # Errors
/// When captions cannot be written, or the run's record of its machine is broken.
pub fn report(subject: &Subject<'_>) -> Result<String, Error> {
    let mut parts = Vec::new();
    for Section { id, title, body } in &SECTIONS {
        if let Some(body) = body(subject)? {
            parts.push(Part { id, title, body });
        }
    }
    Ok(page(&subject.name, "Report of a training run", &parts))
}
