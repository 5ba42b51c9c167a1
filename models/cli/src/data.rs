//! `engine data`.

use std::path::{Path, PathBuf};

use engine_datasets::{CocoHdf5, Dataset, describe};
use engine_datasets::{Options, generate};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::Error;
use crate::out::say;
use crate::{data_build, data_fetch};

/// Look at data sets and make them
///
/// Examples:
///   engine data info datasets/scenes
///   engine data scenes datasets/scenes
///   engine data build --help
///   engine data fetch coco
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show counts, shapes, caption lengths, the commonest words and a few captions
    #[command(after_help = "Example:\n  engine data info datasets/scenes")]
    Info {
        /// The folder
        dir: PathBuf,
    },
    /// Make the default data set: pictures of coloured shapes, and what is true of them
    #[command(after_help = "Example:\n  engine data scenes datasets/scenes")]
    Scenes {
        /// The folder to make; it must not exist
        dir: PathBuf,
        /// Training pictures
        #[arg(long, value_name = "N", default_value_t = Options::default().train)]
        train: usize,
        /// Validation pictures
        #[arg(long, value_name = "N", default_value_t = Options::default().val)]
        val: usize,
        /// The same seed gives the same files, byte for byte
        #[arg(long, value_name = "N", default_value_t = Options::default().seed)]
        seed: u64,
    },
    Build(Box<data_build::Args>),
    Fetch(data_fetch::Args),
}

pub(crate) fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Info { dir } => {
            let source = CocoHdf5::in_dir(dir)?.open()?;
            say!("{}", describe(&*source).to_string().trim_end());
            Ok(())
        }
        Command::Scenes { dir, train, val, seed } => {
            make_scenes(dir, &Options { train: *train, val: *val, seed: *seed })
        }
        Command::Build(args) => data_build::run(args),
        Command::Fetch(args) => data_fetch::run(args),
    }
}

/// Makes the default data set in `dir`, with a progress bar.
pub(crate) fn make_scenes(dir: &Path, options: &Options) -> Result<(), Error> {
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:24} {pos}/{len} pictures {eta} left");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let made = generate(dir, options, &|done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    eprintln!("{}", made?);
    Ok(())
}
