//! Which rewrites of the plan are applied.

use engine_core::graph::Passes;

use crate::error::Error;

/// Rewrites that are switched off.
#[derive(Debug, clap::Args)]
pub(crate) struct PassArgs {
    /// Leaves out a rewrite of the plan; `engine check --passes` lists them. Can be given many times
    #[arg(long, value_name = "PASS")]
    pub(crate) without: Vec<String>,
}

impl PassArgs {
    /// All passes but those that are switched off.
    pub(crate) fn passes(&self) -> Result<Passes, Error> {
        Passes::without(&self.without)
            .map_err(|error| Error::Usage { message: error.to_string(), help: error.help })
    }
}
