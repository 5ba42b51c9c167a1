//! `engine data build`.

use std::path::PathBuf;
use std::str::FromStr;

use engine::build::{Options, Stage, build};
use engine::encoder::parse_grid;

use crate::data_progress::Progress;
use crate::error::Error;
use crate::threads::ThreadArgs;

/// Make a data set of your own pictures and captions
///
/// Captions are COCO's annotations (JSON), Karpathy's dataset.json with its splits, or a table with a picture, a tab and a
/// caption a line (also Flickr8k's); the file's content tells which. They are taken apart in the way of the CS231n set: in
/// lower case, without punctuation. Pictures are JPEG, PNG or WebP files.
///
/// What is computed is kept beside the folder to make until that is whole: the same command goes on after a stop.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine data build --images photos --captions captions.txt --encoder graphs/encoders/squeezenet.ron \\
      --weights squeezenet.safetensors --out datasets/mine
  engine data build --images coco --captions dataset_coco.json --encoder graphs/encoders/vgg16.ron \\
      --weights vgg16.safetensors --out datasets/coco --pca 512
  engine train graphs/caption_lstm.ron --data datasets/mine")]
pub(crate) struct Args {
    /// The folder of the pictures
    #[arg(long, value_name = "DIR")]
    images: PathBuf,
    /// The file of their captions
    #[arg(long, value_name = "FILE")]
    captions: PathBuf,
    /// The graph file of the network that reads the pictures
    #[arg(long, value_name = "GRAPH")]
    encoder: PathBuf,
    /// Its weights
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// The folder to make; it must not exist
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Reduces features to so many principal components of the training pictures', beside the full ones
    #[arg(long, value_name = "N", value_parser = count(1 << 20))]
    pca: Option<u64>,
    /// Keeps the features of regions too, brought to so many rows and columns: 4x4
    #[arg(long, value_name = "RxR")]
    grid: Option<Grid>,
    /// The fewest times that the training captions hold a word that is learned; others read <UNK>
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = count(u64::MAX))]
    min_count: u64,
    /// The most words of a caption; the rest is cut off
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = count(1000))]
    max_length: u64,
    /// The share of the pictures to validate on, where the captions do not say: between 0 and 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val: f64,
    /// Decides which pictures these are
    #[arg(long, value_name = "N", default_value_t = 231)]
    seed: u64,
    /// Stops at a picture that cannot be read; without it such pictures are left out and named at the end
    #[arg(long)]
    strict: bool,
    /// Centres features and scales them to deviation 1 over the training pictures, and scales grids by one number
    #[arg(long)]
    standardize: bool,
    /// Pictures that go through the encoder at once
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = count(4096))]
    batch: u64,
    #[command(flatten)]
    threads: ThreadArgs,
}

/// Rows and columns of regions.
#[derive(Debug, Clone, Copy)]
struct Grid(usize, usize);

impl FromStr for Grid {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let grid = parse_grid(text).map(|(rows, columns)| Grid(rows, columns));
        grid.ok_or_else(|| "expected rows and columns of regions, such as 4x4".to_owned())
    }
}

fn count(most: u64) -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=most)
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..1.0).contains(share) && *share > 0.0);
    share.ok_or_else(|| "expected a number between 0 and 1, such as 0.1".to_owned())
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    args.threads.apply()?;
    // Sizes are below what their parsers let through, or as good as endless.
    let size = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    let options = Options {
        images: args.images.clone(),
        captions: args.captions.clone(),
        encoder: args.encoder.clone(),
        weights: args.weights.clone(),
        out: args.out.clone(),
        pca: args.pca.map(size),
        grid: args.grid.map(|Grid(rows, columns)| (rows, columns)),
        min_count: size(args.min_count),
        max_length: size(args.max_length),
        val: args.val,
        seed: args.seed,
        strict: args.strict,
        standardize: args.standardize,
        batch: size(args.batch),
    };
    let mut progress =
        Progress::new("{bar:24} {pos}/{len} pictures {per_sec} {eta} left", "pictures");
    let report = build(&options, &mut |stage| match stage {
        Stage::Begin { kept, total } => {
            if kept > 0 {
                progress
                    .say(&format!("going on: {kept} of {total} pictures have features already"));
            }
            progress.begin(kept as u64);
        }
        Stage::Pictures { done, total } => progress.at(done as u64, Some(total as u64)),
        Stage::Components => progress.say("computing principal components"),
        Stage::Write => progress.say("writing the data set"),
    });
    progress.end();
    eprintln!("{}", report?);
    Ok(())
}
