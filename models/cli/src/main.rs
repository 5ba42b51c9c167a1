//! The `engine` command: one subcommand a file.
//!
//! Results go to standard output, progress and errors to standard error. The exit code is 0 for success, 2 for what the
//! user can mend, 1 for a fault of this program.

mod allocations;
mod bench;
mod caption;
mod check;
mod compare;
mod data;
mod data_build;
mod data_fetch;
mod data_progress;
mod diagnostics;
mod draw;
mod error;
mod eval;
mod graph_args;
mod init;
mod layers;
mod log;
mod out;
mod pass_args;
mod report;
mod run_args;
mod sample;
mod scores_table;
#[cfg(feature = "server")]
mod serve;
mod threads;
mod train;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::allocations::Counting;
use crate::error::Error;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Train and run captioning and sequence networks on ordinary CPUs.
///
/// A network is a text file: see graphs/caption_lstm.ron.
#[derive(Debug, Parser)]
#[command(
    name = "engine",
    version,
    after_help = "Begin with: engine train graphs/caption_lstm.ron"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Train(train::Args),
    Sample(sample::Args),
    Caption(caption::Args),
    #[cfg(feature = "server")]
    Serve(serve::Args),
    Eval(eval::Args),
    Check(check::Args),
    Draw(draw::Args),
    Report(report::Args),
    Compare(compare::Args),
    Bench(bench::Args),
    Layers(layers::Args),
    #[command(subcommand, verbatim_doc_comment)]
    Data(data::Command),
}

fn main() -> ExitCode {
    diagnostics::install();
    let command = Cli::parse().command;
    // A panic is this program's fault; its message is on standard error by the time it arrives here.
    match std::panic::catch_unwind(|| run(&command)) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => {
            diagnostics::print(&error);
            ExitCode::from(2)
        }
        Err(_) => {
            eprintln!(
                "this is a fault of engine itself, not of what it was given; please report it"
            );
            ExitCode::from(1)
        }
    }
}

fn run(command: &Command) -> Result<ExitCode, Error> {
    match command {
        Command::Train(args) => return train::run(args),
        Command::Caption(args) => return caption::run(args),
        Command::Sample(args) => sample::run(args),
        #[cfg(feature = "server")]
        Command::Serve(args) => serve::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Check(args) => check::run(args),
        Command::Draw(args) => draw::run(args),
        Command::Report(args) => report::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Layers(args) => layers::run(args),
        Command::Data(command) => data::run(command),
    }?;
    Ok(ExitCode::SUCCESS)
}
