//! `--threads`: how many threads compute.

use crate::error::Error;

/// How many threads compute. Results do not depend on it.
#[derive(Debug, clap::Args)]
pub(super) struct ThreadArgs {
    /// Threads that compute; the machine's, if not given. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

impl ThreadArgs {
    pub(super) fn apply(&self) -> Result<(), Error> {
        let Some(threads) = self.threads else { return Ok(()) };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into()).build_global();
        pool.map_err(|error| Error::Usage {
            message: format!("cannot start {threads} threads: {error}"),
            help: "ask for fewer".into(),
        })
    }
}
