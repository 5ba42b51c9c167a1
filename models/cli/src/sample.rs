//! `engine sample`.

use engine::decode::{DecodeScalar, Hypothesis};
use engine::{Captioner, Continuation, Trained};
use engine_core::Precision;
use engine_core::graph::Passes;
use engine_datasets::{Source, Split, Vocabulary};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use crate::error::Error;
use crate::out::say;
use crate::run_args::RunArgs;

/// Write captions with a trained network, beside the references; or go on with a text
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine sample runs/caption_lstm-1
  engine sample runs/caption_lstm-1 --decode 'Beam(width: 5, best: 3)' --probabilities
  engine sample graphs/caption_lstm.ron --split train --count 3      (its latest run)
  engine sample runs/char_lm-1 --text 'a red '                       (goes on with a text)")]
pub(crate) struct Args {
    #[command(flatten)]
    run: RunArgs,
    /// Which images: train or val
    #[arg(long, default_value = "val")]
    split: Split,
    /// Goes on with this text, for a network that reads no images; without it, such a network begins one
    #[arg(long, value_name = "TEXT", conflicts_with = "split")]
    text: Option<String>,
    /// How many images, by default 10; or how many texts, by default 1
    #[arg(long, value_name = "N")]
    count: Option<usize>,
    /// Decides which images; or, where a decoder draws words, which texts
    #[arg(long, default_value_t = 0, value_name = "N")]
    seed: u64,
    /// Shows how likely the network takes each word to be, given those before it
    #[arg(long)]
    probabilities: bool,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let (trained, passes) = args.run.open()?;
    match trained.precision() {
        Precision::F32 => run_in::<f32>(&trained, &passes, args),
        Precision::F64 => run_in::<f64>(&trained, &passes, args),
    }
}

fn run_in<T: DecodeScalar>(trained: &Trained, passes: &Passes, args: &Args) -> Result<(), Error> {
    let engine = trained.engine::<T>(passes)?;
    let source = &*trained.source;
    let decoder = &*trained.experiment.decoder;
    if args.text.is_some() || source.images(args.split) == 0 {
        let mut writer = Continuation::new(&engine, source, decoder)?;
        let first = args.seed as usize;
        let places: Vec<usize> = (first..first.saturating_add(args.count.unwrap_or(1))).collect();
        let text = args.text.as_deref();
        return print_texts(&mut writer, source, text, &places, args.probabilities);
    }
    let mut captioner = Captioner::new(&engine, source, decoder)?;
    let all = source.images(args.split);
    let mut rng = ChaCha8Rng::seed_from_u64(args.seed);
    let mut images = sample(&mut rng, all, args.count.unwrap_or(10).min(all)).into_vec();
    images.sort_unstable();
    print_hypotheses(&mut captioner, source, args.split, &images, args.probabilities)
}

/// Prints texts, one after the other, perhaps with the probability of each word after what was given. Where there are
/// several, each has a line before it.
pub(crate) fn print_texts<T: DecodeScalar>(
    writer: &mut Continuation<'_, T>,
    source: &dyn Source,
    text: Option<&str>,
    places: &[usize],
    probabilities: bool,
) -> Result<(), Error> {
    let vocabulary = source.vocabulary();
    let continued = writer.write(text, places)?;
    let all = continued.iter().flat_map(|text| text.hypotheses.iter().map(move |way| (text, way)));
    let all: Vec<_> = all.collect();
    for (at, (text, way)) in all.iter().enumerate() {
        if all.len() > 1 {
            say!("--- {} of {}: ln p {:.3}", at + 1, all.len(), way.log_probability());
        }
        say!("{}", text.text(way, vocabulary));
        if probabilities {
            say!("  {}", word_probabilities(way, vocabulary));
        }
    }
    Ok(())
}

/// Prints images with their caption and references; `true` or the reason why not, where the data set can tell.
pub(crate) fn print_captions<T: DecodeScalar>(
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
    let words: Vec<String> =
        words.map(|(word, ln)| format!("{} {:.3}", word.escape_debug(), ln.exp())).collect();
    format!("{}   ln p {:.3}", words.join(", "), hypothesis.log_probability())
}
