//! `engine caption`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use engine::photographs::reading::{self, Unread};
use engine::photographs::{Alternative, Captioned, Photographs, PhotographsError, reduced};
use engine_datasets::picture::{Picture, Preprocess};
use rayon::prelude::*;
use serde::Serialize;

use crate::diagnostics;
use crate::error::Error;
use crate::out::say;
use crate::run_args::PictureArgs;

/// Caption pictures with a trained network
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine caption runs/mine photo.jpg
  engine caption runs/mine photos/ --decode 'Beam(width: 5, best: 3)' --probabilities
  engine caption runs/mine photos/ --json > captions.jsonl
  engine caption runs/mine https://example.org/photo.jpg

A picture that cannot be read is named, and the others go on; the exit code is 2 then.")]
pub(crate) struct Args {
    /// A run folder with an encoder, or a graph file whose latest run is meant
    #[arg(value_name = "RUN|GRAPH")]
    run: PathBuf,
    /// Pictures, folders of pictures, or addresses that begin with http:// or https://
    #[arg(value_name = "PICTURE|DIR|URL", required = true)]
    pictures: Vec<PathBuf>,
    /// Prints a line of JSON a picture
    #[arg(long)]
    json: bool,
    /// Shows how likely the network takes each word to be, given those before it
    #[arg(long, conflicts_with = "json")]
    probabilities: bool,
    /// Ends with the first picture that cannot be read
    #[arg(long)]
    strict: bool,
    #[command(flatten)]
    how: PictureArgs,
}

/// Pictures that are read at once, then captioned at once.
const BATCH: usize = 16;

/// The ends of the names of pictures in a folder.
const ENDINGS: [&str; 4] = ["jpg", "jpeg", "png", "webp"];

pub(crate) fn run(args: &Args) -> Result<ExitCode, Error> {
    let (overrides, passes) = args.how.apply()?;
    let names = names(&args.pictures)?;
    let photographs = Photographs::open(&args.run, &overrides)?;
    let (decoder, preprocess) = (photographs.decoder(), photographs.preprocess().clone());
    let unread = photographs.describe(&passes, |describe| -> Result<usize, Error> {
        let mut all_unread = 0;
        for names in names.chunks(BATCH) {
            let Few { names, pictures, unread } = read(names, &preprocess, args)?;
            all_unread += unread;
            let found = describe.caption(&pictures, &*decoder)?;
            for (name, captioned) in names.iter().zip(found) {
                print(name, &captioned, args);
            }
        }
        Ok(all_unread)
    })??;
    Ok(if unread > 0 { ExitCode::from(2) } else { ExitCode::SUCCESS })
}

/// Some pictures, and how many more could not be read.
#[derive(Default)]
struct Few<'a> {
    names: Vec<&'a str>,
    pictures: Vec<Picture>,
    unread: usize,
}

/// The pictures of these names. Those that cannot be read are named to the user.
fn read<'a>(names: &'a [String], preprocess: &Preprocess, args: &Args) -> Result<Few<'a>, Error> {
    let read = |name: &String| {
        bytes(name, args.how.allow_private)
            .and_then(|bytes| reading::decode(&bytes))
            .and_then(|picture| reduced(preprocess, picture))
    };
    let found: Vec<Result<Picture, Unread>> = match names {
        // One picture does not wait for threads to start.
        [name] => vec![read(name)],
        names => names.par_iter().map(read).collect(),
    };
    let mut few = Few::default();
    for (name, found) in names.iter().zip(found) {
        match found {
            Ok(picture) => {
                few.names.push(name);
                few.pictures.push(picture);
            }
            Err(why) => {
                if args.json {
                    say!(
                        "{}",
                        json(&Missed { picture: name, error: &why.message, kind: why.kind })
                    );
                }
                let (message, help) = (why.message, why.help);
                let error = PhotographsError::Unread { name: name.clone(), message, help }.into();
                if args.strict {
                    return Err(error);
                }
                diagnostics::print(&error);
                few.unread += 1;
            }
        }
    }
    Ok(few)
}

fn bytes(name: &str, allow_private: bool) -> Result<Vec<u8>, Unread> {
    if is_address(name) {
        return reading::fetch(name, allow_private);
    }
    reading::file(Path::new(name))
}

fn is_address(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    lower.contains("://") && !Path::new(name).exists()
}

/// What is named, with the pictures of a folder, sorted, in the place of the folder.
fn names(given: &[PathBuf]) -> Result<Vec<String>, Error> {
    let mut names = Vec::new();
    for path in given {
        match path.is_dir() {
            true => names.extend(in_folder(path)?),
            false => names.push(path.to_string_lossy().into_owned()),
        }
    }
    Ok(names)
}

fn in_folder(folder: &Path) -> Result<Vec<String>, Error> {
    let usage = |message: String, help: &str| Error::Usage { message, help: help.into() };
    let entries = fs::read_dir(folder).map_err(|error| {
        usage(format!("cannot read the folder {}: {error}", folder.display()), "may it be read?")
    })?;
    let (mut names, mut others) = (Vec::new(), 0);
    for path in entries.flatten().map(|entry| entry.path()) {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        match ending.filter(|ending| ENDINGS.contains(&ending.as_str())) {
            Some(_) if !path.is_dir() => names.push(path.to_string_lossy().into_owned()),
            _ => others += 1,
        }
    }
    names.sort();
    if names.is_empty() {
        let endings = ENDINGS.map(|ending| format!(".{ending}")).join(", ");
        let message = format!(
            "{} has no pictures: expected files that end in {endings}, found {others} other files or folders",
            folder.display()
        );
        return Err(usage(message, "folders inside a folder are given by their own names"));
    }
    Ok(names)
}

/// A line of JSON.
#[derive(Serialize)]
struct Line<'a> {
    picture: &'a str,
    caption: &'a str,
    alternatives: &'a [Alternative],
    attention: &'a Option<engine::photographs::Attention>,
}

/// A line of JSON on a picture that cannot be read.
#[derive(Serialize)]
struct Missed<'a> {
    picture: &'a str,
    error: &'a str,
    kind: &'a str,
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).unwrap_or_default()
}

fn print(name: &str, captioned: &Captioned, args: &Args) {
    let Captioned { sentence, alternatives, attention } = captioned;
    if args.json {
        let line = Line { picture: name, caption: sentence, alternatives, attention };
        say!("{}", json(&line));
        return;
    }
    say!("{name}");
    for (at, way) in alternatives.iter().enumerate() {
        let score = match alternatives.len() {
            1 => String::new(),
            _ => format!("   {:.3}", way.score),
        };
        let title = if at == 0 { "caption" } else { "or" };
        say!("  {title:<9}  {}{score}", way.sentence);
        if args.probabilities {
            say!("             {}", probabilities(way));
        }
    }
}

/// The words of a sentence, each with its probability, and that of the whole sentence.
fn probabilities(way: &Alternative) -> String {
    let words = way.words.iter().map(|word| (word.text.as_str(), word.probability));
    let words = words.chain(way.end.map(|end| ("<END>", end)));
    let words: Vec<String> =
        words.map(|(word, p)| format!("{} {p:.3}", word.escape_debug())).collect();
    format!("{}   ln p {:.3}", words.join(", "), way.log_probability)
}
