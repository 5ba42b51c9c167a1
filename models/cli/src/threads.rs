//! `--threads`: how many threads compute.

use std::num::NonZeroUsize;

use engine_kernels::team;

use crate::error::Error;

/// How many threads compute. Results do not depend on it.
#[derive(Debug, clap::Args)]
pub(crate) struct ThreadArgs {
    /// Threads that compute; the machine's, if not given. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadArgs {
    pub(crate) fn apply(&self) -> Result<(), Error> {
        let Some(threads) = self.threads.and_then(|threads| NonZeroUsize::new(threads.into()))
        else {
            return Ok(());
        };
        let refused = |reason: String| Error::Usage {
            message: format!("cannot start {threads} threads: {reason}"),
            help: "ask for fewer".into(),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.get()).build_global();
        pool.map_err(|error| refused(error.to_string()))?;
        team::set_threads(threads).map_err(|error| refused(error.to_string()))
    }
}
