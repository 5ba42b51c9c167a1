//! A run that is compared.

use engine::Experiment;

use crate::history::History;

/// A run that is compared.
#[derive(Debug)]
pub struct Contender {
    /// What it is called, unlike any other here.
    pub name: String,
    /// Its graph file.
    pub experiment: Experiment,
    /// What was measured.
    pub history: History,
}
