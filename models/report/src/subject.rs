//! A run as a report sees it.

use std::sync::Arc;

use engine::{Experiment, RunFolder, Trained};
use engine_core::Sizes;
use engine_core::graph::{Passes, Plan};

use crate::history::History;

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
