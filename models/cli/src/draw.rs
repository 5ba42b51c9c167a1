//! `engine draw`.

use std::fs;
use std::path::PathBuf;

use engine::Experiment;
use engine_report::draw;

use crate::check::laid_out;
use crate::diagnostics;
use crate::error::Error;
use crate::graph_args::GraphArgs;
use crate::out::{say, writable};

/// Draw the network of a graph file as an SVG picture
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine draw graphs/caption_lstm.ron --out caption_lstm.svg
  engine draw graphs/caption_lstm.ron --set nodes.hidden.layer='Gru(units: 256)' > gru.svg")]
pub(crate) struct Args {
    /// The graph file
    graph: PathBuf,
    #[command(flatten)]
    values: GraphArgs,
    /// The file that the picture goes to, in place of standard output
    #[arg(long, value_name = "FILE.svg")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    args.out.as_deref().map_or(Ok(()), writable)?;
    let experiment = Experiment::load(&args.graph, &args.values.overrides(Vec::new()))?;
    let (plan, sizes, warnings) = laid_out(&experiment, &args.values)?;
    diagnostics::print_faults(&experiment.document, &warnings);
    let picture = draw(&plan, &sizes, &experiment.name);
    match &args.out {
        Some(path) => fs::write(path, picture + "\n")
            .map_err(|error| Error::Write { path: path.clone(), error }),
        None => {
            say!("{picture}");
            Ok(())
        }
    }
}
