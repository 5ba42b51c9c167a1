//! `engine sample`.

use engine_core::Precision;
use engine_core::graph::Passes;
use engine_datasets::{Source, Split};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::out::say;
use super::run_args::RunArgs;
use crate::caption::Captioner;
use crate::decode::DecodeScalar;
use crate::error::Error;
use crate::trained::Trained;

/// Write captions with a trained network, beside the references
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine sample runs/caption_lstm-1
  engine sample runs/caption_lstm-1 --decode 'Greedy(max_length: 12)'
  engine sample graphs/caption_lstm.ron --split train --count 3      (its latest run)")]
pub(super) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Which images: train or val
    #[arg(long, default_value = "val")]
    split: Split,
    /// How many images
    #[arg(long, default_value_t = 10, value_name = "N")]
    count: usize,
    /// Decides which images
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
}

pub(super) fn run(args: &Args) -> Result<(), Error> {
    let (trained, passes) = args.run.open()?;
    match trained.precision() {
        Precision::F32 => run_in::<f32>(&trained, &passes, args),
        Precision::F64 => run_in::<f64>(&trained, &passes, args),
    }
}

fn run_in<T: DecodeScalar>(trained: &Trained, passes: &Passes, args: &Args) -> Result<(), Error> {
    let engine = trained.engine::<T>(passes)?;
    let source = &*trained.source;
    let mut captioner = Captioner::new(&engine, source, &*trained.experiment.decoder)?;
    let all = source.images(args.split);
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut images = sample(&mut rng, all, args.count.min(all)).into_vec();
    images.sort_unstable();
    print_captions(&mut captioner, source, args.split, &images)
}

/// Prints images with their caption and references; `true` or the reason why not, where the data set can tell.
pub(super) fn print_captions<T: DecodeScalar>(
    captioner: &mut Captioner<'_, T>,
    source: &dyn Source,
    split: Split,
    images: &[usize],
) -> Result<(), Error> {
    let sentences = captioner.caption(source, split, images)?;
    for (image, sentence) in images.iter().zip(sentences) {
        let name =
            source.image_name(split, *image).map_or(format!("{split} {image}"), str::to_owned);
        say!("{name}");
        let verdict = source.judge().map(|judge| judge.judge(split, *image, &sentence));
        let verdict = verdict.map_or(String::new(), |verdict| format!("   [{verdict}]"));
        say!("  caption    {sentence}{verdict}");
        for reference in source.references(split, *image) {
            say!("  reference  {}", source.vocabulary().decode(reference));
        }
    }
    Ok(())
}
