//! `engine serve`.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use engine::photographs::Photographs;
use engine_server::{Settings, serve};

use crate::error::Error;
use crate::out::say;
use crate::run_args::PictureArgs;

/// Caption pictures for a browser and for programs, until Ctrl-C
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine serve runs/mine                         (a page at http://127.0.0.1:8080, the API at /api)
  engine serve runs/mine --port 0                (any port that is free)
  engine serve runs/mine --bind 0.0.0.0          (for other machines too: there is no password)")]
pub(crate) struct Args {
    /// A run folder with an encoder, or a graph file whose latest run is meant
    #[arg(value_name = "RUN|GRAPH")]
    run: PathBuf,
    /// The port; 0 for any that is free
    #[arg(long, default_value_t = 8080, value_name = "N")]
    port: u16,
    /// The address to listen on
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    bind: IpAddr,
    /// Requests for captions that are answered at once; more are told to come back
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    queue: u16,
    /// Seconds that a request may take
    #[arg(long, default_value_t = 30, value_name = "S", value_parser = clap::value_parser!(u16).range(1..=3600))]
    timeout: u16,
    #[command(flatten)]
    pictures: PictureArgs,
}

/// Pictures that are captioned at once: what weights are read from memory for, and what the last of them waits for.
const BATCH: usize = 16;

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let (overrides, passes) = args.pictures.apply()?;
    let photographs = Photographs::open(&args.run, &overrides)?;
    let settings = Settings {
        bind: args.bind,
        port: args.port,
        queue: args.queue.into(),
        timeout: Duration::from_secs(args.timeout.into()),
        allow_private: args.pictures.allow_private,
        batch: BATCH,
    };
    let listening = |address| {
        say!("listening on http://{address}  (the API: /api; Ctrl-C ends it)");
    };
    Ok(serve(photographs, &passes, settings, listening)?)
}
