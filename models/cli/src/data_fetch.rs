//! `engine data fetch`.

use std::path::PathBuf;

use engine::fetch::{COCO, Limits, Options, Patience, Stage, fetch};
use engine_datasets::quote;

use crate::data_progress::Progress;
use crate::error::Error;

/// Download a data set that others publish
///
/// `coco` is the captioning set of the CS231n course: the captions of COCO 2014 and VGG-16 features of its images. A
/// download that is stopped goes on with the same command.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine data fetch coco
  engine data fetch coco --out /data/coco --url https://example.org/mirror/coco_captioning.zip
  engine train graphs/caption_lstm.ron --data datasets/coco")]
pub(crate) struct Args {
    /// Which one
    #[arg(value_enum)]
    set: Set,
    /// The folder to make; it must not exist. In place of datasets/<name>
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another address of the same archive
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// The SHA-256 that the archive must have
    #[arg(long, value_name = "DIGITS", value_parser = sha256)]
    sha256: Option<String>,
}

/// A published data set.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Set {
    /// Captions and VGG-16 features of COCO 2014, as the CS231n course has them
    Coco,
}

impl Set {
    fn url(self) -> &'static str {
        match self {
            Set::Coco => COCO,
        }
    }

    fn folder(self) -> &'static str {
        match self {
            Set::Coco => "datasets/coco",
        }
    }
}

fn sha256(text: &str) -> Result<String, String> {
    match text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        true => Ok(text.to_owned()),
        false => Err("expected 64 hexadecimal digits".to_owned()),
    }
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let options = Options {
        url: args.url.clone().unwrap_or_else(|| args.set.url().to_owned()),
        out: args.out.clone().unwrap_or_else(|| args.set.folder().into()),
        sha256: args.sha256.clone(),
        patience: Patience::default(),
        limits: Limits::default(),
    };
    let mut progress =
        Progress::new("{bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} left", "bytes");
    progress.say(&format!("fetching {}", options.url));
    let mut unpacking = false;
    let fetched = fetch(&options, &mut |stage| match stage {
        Stage::Download { done, total } => progress.at(done, total),
        Stage::Unpack { done, total } => {
            if !unpacking {
                unpacking = true;
                progress.say("unpacking");
                progress.begin(0);
            }
            progress.at(done, Some(total));
        }
    });
    progress.end();
    let fetched = fetched?;
    eprintln!("sha256 {} ({} bytes)", fetched.sha256, fetched.bytes);
    eprintln!("{}: {} files", options.out.display(), fetched.files);
    let out = quote(&options.out);
    eprintln!(
        "train on it with: engine train graphs/caption_lstm.ron --data {out} --set data.pca_features=true"
    );
    Ok(())
}
