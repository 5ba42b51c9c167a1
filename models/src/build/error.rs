//! What can stop the building of a data set.

use std::io;
use std::path::PathBuf;

use engine_datasets::captions::CaptionsError;
use engine_datasets::{DataError, Split, quote};

use crate::encoder::{EncoderError, ReductionError};

/// Why a data set was not built.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum DataBuildError {
    /// The folder of the data set cannot be made, or its files not written.
    #[error("{0}")]
    Data(#[from] DataError),
    /// The encoder cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Encoder(#[from] EncoderError),
    /// The captions cannot be used.
    #[error(transparent)]
    #[diagnostic(help("{}", _0.help()))]
    Captions(#[from] CaptionsError),
    /// Features cannot be reduced.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Reduction(#[from] ReductionError),
    /// The file system refused.
    #[error("cannot {action} {}: {error}", path.display())]
    #[diagnostic(help("{}", io_help(action)))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// The folder of pictures is not there, or is none.
    #[error("expected a folder of pictures, found {found} at {}", path.display())]
    #[diagnostic(help("give the folder of the pictures: --images DIR"))]
    NoFolder {
        /// What was given.
        path: PathBuf,
        /// `nothing` or `a file`.
        found: &'static str,
    },
    /// The folder holds no pictures.
    #[error("{} holds no pictures: it holds {found}", path.display())]
    #[diagnostic(help(
        "give the folder that holds the JPEG, PNG or WebP files which the captions name"
    ))]
    NoPictures {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// Captions and pictures have nothing in common.
    #[error(
        "none of the {count} pictures that {} names is in {}: it names `{named}`, and the folder holds `{present}`",
        captions.display(),
        images.display()
    )]
    #[diagnostic(help(
        "--images is the folder from which the names in the captions lead to the pictures"
    ))]
    NoneNamed {
        /// The file of captions.
        captions: PathBuf,
        /// The folder of pictures.
        images: PathBuf,
        /// The pictures that it names.
        count: usize,
        /// One of them.
        named: String,
        /// One that is there.
        present: String,
    },
    /// A split without pictures.
    #[error("{found} of {pictures} pictures for {}: {why}", if *split == Split::Train { "training" } else { "validation" })]
    #[diagnostic(help(
        "a data set has pictures to train and pictures to validate on: give more pictures, or another --val"
    ))]
    EmptySplit {
        /// The split.
        split: Split,
        /// How it is said that there are none.
        found: &'static str,
        /// All pictures.
        pictures: usize,
        /// Why there are none.
        why: &'static str,
    },
    /// A picture that cannot be read, where that is not allowed.
    #[error("cannot read the picture {}: {reason}", path.display())]
    #[diagnostic(help("mend or remove it; without --strict it is left out and named at the end"))]
    Unreadable {
        /// Its file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// No word is common enough.
    #[error(
        "no word comes {min_count} times in the {captions} training captions; the commonest, `{commonest}`, comes {most} times"
    )]
    #[diagnostic(help("give more captions, or --min-count {most} or less"))]
    NoWord {
        /// The fewest times.
        min_count: usize,
        /// The captions.
        captions: usize,
        /// The commonest word.
        commonest: String,
        /// How often it comes.
        most: usize,
    },
    /// No caption has a word.
    #[error("no caption of {} has a word", path.display())]
    #[diagnostic(help("give captions with words of letters or digits"))]
    NoSentence {
        /// The file of captions.
        path: PathBuf,
    },
    /// More principal components than there can be.
    #[error("{asked} principal components of {what}: expected at most {most}")]
    #[diagnostic(help("ask for fewer: --pca {most}"))]
    TooManyComponents {
        /// Those asked for.
        asked: usize,
        /// What they would be of.
        what: &'static str,
        /// The most there can be.
        most: usize,
    },
    /// Eigenvectors could not be found.
    #[error(
        "the principal components of the features cannot be computed: their covariance has no eigenvectors to be found"
    )]
    #[diagnostic(help("leave --pca out"))]
    NoComponents,
    /// A build that was stopped was one of something else.
    #[error("{} holds the features of a build that was stopped and had {}", folder.display(), differences.join(" and "))]
    #[diagnostic(help("give what it was begun with, or remove it: rm -r {}", quote(folder)))]
    OtherBuild {
        /// The hidden folder.
        folder: PathBuf,
        /// What it had: `other weights`.
        differences: Vec<&'static str>,
    },
    /// Another process builds the same.
    #[error(
        "another process{} builds {}",
        process.map(|number| format!(" ({number})")).unwrap_or_default(),
        out.display()
    )]
    #[diagnostic(help("wait for it, or give another folder to make"))]
    Taken {
        /// The folder to make.
        out: PathBuf,
        /// Its number.
        process: Option<u32>,
    },
    /// A file of the hidden folder is damaged.
    #[error("{} is damaged: {message}", path.display())]
    #[diagnostic(help("remove it, and it is made again: rm {}", quote(path)))]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A feature that is not a number, or infinite.
    #[error("the encoder's features of {} are not finite: number {index} is {value}", picture.display())]
    #[diagnostic(help("are the weights whole, and those of this graph?"))]
    NotFinite {
        /// The picture.
        picture: PathBuf,
        /// Counted from 0.
        index: usize,
        /// The value.
        value: f32,
    },
    /// An encoder that does not give every picture features of the same shape.
    #[error("the encoder gives {} {found}, and others before it {expected}", picture.display())]
    #[diagnostic(help(
        "let `pictures` in the encoder's graph bring all to one size: `resize: Exact(224, 224)`"
    ))]
    Uneven {
        /// The picture.
        picture: PathBuf,
        /// What it got.
        found: String,
        /// What others got.
        expected: String,
    },
}

fn io_help(action: &str) -> &'static str {
    match action {
        "write" | "make" => {
            "is the disk full? What has been computed is kept: mend it, and the same command goes on"
        }
        _ => "give a file or folder that can be read",
    }
}
