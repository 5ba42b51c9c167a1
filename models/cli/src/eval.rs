//! `engine eval`.

use std::fs;
use std::path::{Path, PathBuf};

use engine::caption::NoImages;
use engine::decode::DecodeScalar;
use engine::score::files::{self, Described};
use engine::score::matching::Images;
use engine::score::{self, ScoreError, spaced, tokenize};
use engine::{Captioner, Trained};
use engine_core::Precision;
use engine_core::graph::Passes;
use engine_datasets::{CocoHdf5, Dataset, Source, Split};
use serde_json::{Value, json};

use crate::error::Error;
use crate::out::writable;
use crate::run_args::WithArgs;
use crate::scores_table::{Known, Sentences, Table};

/// Score captions against references: BLEU, ROUGE-L, CIDEr and more
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine eval runs/caption_lstm-1
  engine eval runs/caption_lstm-1 --references val_references.json --metrics CIDEr,BLEU_4
  engine eval runs/caption_lstm-1 --write captions.json --json scores.json
  engine eval --captions captions.json --references val_references.json")]
pub(crate) struct Args {
    /// A run folder, or a graph file whose latest run is meant: writes a caption for every image
    #[arg(value_name = "RUN|GRAPH", required_unless_present = "captions")]
    run: Option<PathBuf>,
    #[command(flatten)]
    with: WithArgs,
    /// Which images of the data set: train or val
    #[arg(long, default_value = "val")]
    split: Split,
    /// Captions in place of a run's: [{"image_id": .., "caption": ..}] or {"image": "caption"}
    #[arg(long, value_name = "FILE", conflicts_with = "run", requires = "references")]
    captions: Option<PathBuf>,
    /// References: {"image": ["caption", ..]}, COCO's annotations, or a data set's folder. Default: the run's data
    #[arg(long, value_name = "FILE|DIR")]
    references: Option<PathBuf>,
    /// Scores, separated by commas. Default: all
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Captions and references are tokens already, with spaces between them
    #[arg(long)]
    tokenized: bool,
    /// Writes the captions to this file, in COCO's format of results
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Writes the scores of the set and of each image to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let scores = match args.metrics.as_slice() {
        [] => score::all(),
        names => names.iter().map(|name| score::named(name)).collect::<Result<_, _>>()?,
    };
    for path in args.write.iter().chain(&args.json) {
        can_write(path)?;
    }
    let references = args.references.as_deref().map(|path| references(path, args)).transpose()?;
    let (captions, own, known) = match (&args.captions, &args.run) {
        (Some(path), _) => {
            args.with.apply_threads()?;
            let images = files::captions(path)?;
            let images = Images { place: path.display().to_string(), images };
            (Sentences { images, words: tokenize }, None, None)
        }
        (None, Some(run)) => {
            let (trained, passes) = args.with.open(run)?;
            let (captions, known) = match trained.precision() {
                Precision::F32 => written::<f32>(&trained, &passes, args.split)?,
                Precision::F64 => written::<f64>(&trained, &passes, args.split)?,
            };
            (captions, Some(own_references(&*trained.source, run, args.split)), Some(known))
        }
        (None, None) => {
            let message = "neither a run nor --captions is given".to_owned();
            let help = "engine eval RUN, or engine eval --captions FILE --references FILE".into();
            return Err(Error::Usage { message, help });
        }
    };
    if let Some(path) = &args.write {
        write(path, &results(&captions.images))?;
    }
    let own_words = references.is_none();
    let references =
        references.or(own).ok_or_else(|| ScoreError::Empty { place: "references".into() })?;
    let spaced_words = args.tokenized || own_words;
    let table = Table::new(&captions, &references, spaced_words, &scores)?;
    if let Some(path) = &args.json {
        write(path, &table.json())?;
    }
    if own_words {
        warn_of_unknown_words(&references.images);
    }
    table.print(known);
    Ok(())
}

/// A data set keeps `<UNK>` in place of rare words, and captions are right about it for free.
fn warn_of_unknown_words(references: &Images) {
    const UNKNOWN: &str = "<UNK>";
    let sentences = references.images.iter().flat_map(|image| &image.sentences);
    let is_unknown = |word: &&str| *word == UNKNOWN;
    let unknown = sentences.flat_map(|sentence| sentence.split(' ')).filter(is_unknown).count();
    if unknown > 0 {
        eprintln!(
            "warning: {unknown} words of {} are {UNKNOWN}, which matches {UNKNOWN} in captions; \
             give --references FILE to score against what people wrote",
            references.place
        );
    }
}

/// Refuses a file that cannot be written before time goes into what it is to hold.
fn can_write(path: &Path) -> Result<(), Error> {
    writable(path)?;
    let there = path.exists();
    let opened = fs::OpenOptions::new().append(true).create(true).open(path).map(drop);
    let probed = opened.and_then(|()| if there { Ok(()) } else { fs::remove_file(path) });
    probed.map_err(|error| Error::Usage {
        message: format!("cannot write {}: {error}", path.display()),
        help: "give a file that may be written".into(),
    })
}

fn references(path: &Path, args: &Args) -> Result<Sentences, Error> {
    if path.join("coco2014_captions.h5").is_file() {
        let source = CocoHdf5::in_dir(path)?.open()?;
        return Ok(own_references(&*source, path, args.split));
    }
    let images = Images { place: path.display().to_string(), images: files::references(path)? };
    Ok(Sentences { images, words: tokenize })
}

/// What the data set calls an image.
fn name(source: &dyn Source, split: Split, image: usize) -> String {
    source.image_name(split, image).map_or(image.to_string(), str::to_owned)
}

/// The references of a data set, whose words are tokens.
fn own_references(source: &dyn Source, path: &Path, split: Split) -> Sentences {
    let decode = |tokens| source.vocabulary().decode(tokens);
    let described = |image| Described {
        id: name(source, split, image),
        file: Some(image.to_string()),
        sentences: source.references(split, image).map(decode).collect(),
    };
    let images = (0..source.images(split)).map(described);
    // An image that nobody has described cannot be scored.
    let images = images.filter(|image| !image.sentences.is_empty()).collect();
    let place = format!("{} ({split})", path.display());
    Sentences { images: Images { place, images }, words: spaced }
}

/// A run's caption of every image with references, and what the run knows.
fn written<T: DecodeScalar>(
    trained: &Trained,
    passes: &Passes,
    split: Split,
) -> Result<(Sentences, Known), Error> {
    let source = &*trained.source;
    if source.images(split) == 0 {
        return Err(NoImages { what: "engine eval" }.into());
    }
    let engine = trained.engine::<T>(passes)?;
    let mut captioner = Captioner::new(&engine, source, &*trained.experiment.decoder)?;
    let images: Vec<usize> = (0..source.images(split))
        .filter(|image| source.references(split, *image).len() > 0)
        .collect();
    let sentences = captioner.caption(source, split, &images)?;
    let described = |(image, sentence): (&usize, String)| Described {
        id: name(source, split, *image),
        file: None,
        sentences: vec![sentence],
    };
    let described = images.iter().zip(sentences).map(described).collect();
    let place = trained.run.path().display().to_string();
    let captions = Sentences { images: Images { place, images: described }, words: tokenize };
    let perplexity = score::perplexity(&mut trained.engine::<T>(&Passes::none())?, source, split)?;
    Ok((captions, Known::new(source, perplexity)))
}

/// Captions in COCO's format of results.
fn results(images: &Images) -> Value {
    let result = |image: &Described| {
        let id = image.id.parse::<u64>().map_or(json!(image.id), |id| json!(id));
        json!({ "image_id": id, "caption": image.sentences[0] })
    };
    images.images.iter().map(result).collect()
}

fn write(path: &Path, value: &Value) -> Result<(), Error> {
    let text = format!("{value:#}\n");
    fs::write(path, text).map_err(|error| Error::Write { path: path.to_owned(), error })
}
