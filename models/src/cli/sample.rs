//! `engine sample`.

use engine_core::Precision;
use engine_core::graph::Passes;
use engine_datasets::{Source, Split, Vocabulary};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use super::out::say;
use super::run_args::RunArgs;
use crate::caption::Captioner;
use crate::decode::{DecodeScalar, Hypothesis};
use crate::error::Error;
use crate::trained::Trained;

/// Write captions with a trained network, beside the references
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine sample runs/caption_lstm-1
  engine sample runs/caption_lstm-1 --decode 'Beam(width: 5, best: 3)' --probabilities
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
    /// Shows how likely the network takes each word to be, given those before it
    #[arg(long)]
    probabilities: bool,
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
    print_hypotheses(&mut captioner, source, args.split, &images, args.probabilities)
}

/// Prints images with their caption and references; `true` or the reason why not, where the data set can tell.
pub(super) fn print_captions<T: DecodeScalar>(
    captioner: &mut Captioner<'_, T>,
    source: &dyn Source,
    split: Split,
    images: &[usize],
) -> Result<(), Error> {
    print_hypotheses(captioner, source, split, images, false)
}

/// As [`print_captions`], perhaps with the probability of each word. Where a decoder gives several sentences, each stands
/// with its score.
fn print_hypotheses<T: DecodeScalar>(
    captioner: &mut Captioner<'_, T>,
    source: &dyn Source,
    split: Split,
    images: &[usize],
    probabilities: bool,
) -> Result<(), Error> {
    let vocabulary = source.vocabulary();
    let found = captioner.hypotheses(source, split, images)?;
    for (image, hypotheses) in images.iter().zip(found) {
        let name =
            source.image_name(split, *image).map_or(format!("{split} {image}"), str::to_owned);
        say!("{name}");
        for (at, hypothesis) in hypotheses.iter().enumerate() {
            let sentence = vocabulary.decode(&hypothesis.tokens);
            let verdict = source.judge().map(|judge| judge.judge(split, *image, &sentence));
            let verdict = verdict.map_or(String::new(), |verdict| format!("   [{verdict}]"));
            let score = match hypotheses.len() {
                1 => String::new(),
                _ => format!("   {:.3}", hypothesis.score),
            };
            let title = if at == 0 { "caption" } else { "or" };
            say!("  {title:<9}  {sentence}{verdict}{score}");
            if probabilities {
                say!("             {}", word_probabilities(hypothesis, vocabulary));
            }
        }
        for reference in source.references(split, *image) {
            say!("  reference  {}", vocabulary.decode(reference));
        }
    }
    Ok(())
}

/// The words of a sentence, each with its probability, and that of the whole sentence.
fn word_probabilities(hypothesis: &Hypothesis, vocabulary: &Vocabulary) -> String {
    let words = hypothesis.tokens.iter().map(|token| vocabulary.word(*token).unwrap_or("<UNK>"));
    let words = words.zip(&hypothesis.log_probabilities);
    let words: Vec<String> = words.map(|(word, ln)| format!("{word} {:.3}", ln.exp())).collect();
    format!("{}   ln p {:.3}", words.join(", "), hypothesis.log_probability())
}
