//! What can stop the building of a data set.

use std::io;
use std::path::PathBuf;

use engine_datasets::captions::CaptionsError;
use engine_datasets::{Split, quote};

use crate::encoder::ReductionError;

/// Why a data set was not built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataBuildError {
    /// The captions cannot be used.
    #[error(transparent)]
    Captions(#[from] CaptionsError),
    /// Features cannot be reduced.
    #[error(transparent)]
    Reduction(#[from] ReductionError),
    /// The file system refused.
    #[error("cannot {action} {}: {error}", path.display())]
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
    NoFolder {
        /// What was given.
        path: PathBuf,
        /// `nothing` or `a file`.
        found: &'static str,
    },
    /// The folder holds no pictures.
    #[error("{} holds no pictures: it holds {found}", path.display())]
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
    NoSentence {
        /// The file of captions.
        path: PathBuf,
    },
    /// More principal components than there can be.
    #[error("{asked} principal components of {what}: expected at most {most}")]
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
    NoComponents,
    /// A build that was stopped was one of something else.
    #[error("{} holds the features of a build that was stopped and had {}", folder.display(), differences.join(" and "))]
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
    Taken {
        /// The folder to make.
        out: PathBuf,
        /// Its number.
        process: Option<u32>,
    },
    /// A file of the hidden folder is damaged.
    #[error("{} is damaged: {message}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A feature that is not a number, or infinite.
    #[error("the encoder's features of {} are not finite: number {index} is {value}", picture.display())]
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
    Uneven {
        /// The picture.
        picture: PathBuf,
        /// What it got.
        found: String,
        /// What others got.
        expected: String,
    },
}

impl DataBuildError {
    /// What to try.
    pub fn help(&self) -> String {
        use DataBuildError::*;
        match self {
            Captions(error) => error.help(),
            Reduction(error) => error.help(),
            Io { action: "write" | "make", .. } => {
                "is the disk full? What has been computed is kept: mend it, and the same command goes on".into()
            }
            Io { .. } => "give a file or folder that can be read".into(),
            NoFolder { .. } => "give the folder of the pictures: --images DIR".into(),
            NoPictures { .. } => {
                "give the folder that holds the JPEG, PNG or WebP files which the captions name".into()
            }
            NoneNamed { .. } => {
                "--images is the folder from which the names in the captions lead to the pictures".into()
            }
            EmptySplit { .. } => {
                "a data set has pictures to train and pictures to validate on: give more pictures, or another --val".into()
            }
            Unreadable { .. } => {
                "mend or remove it; without --strict it is left out and named at the end".into()
            }
            NoWord { most, .. } => format!("give more captions, or --min-count {most} or less"),
            NoSentence { .. } => "give captions with words of letters or digits".into(),
            TooManyComponents { most, .. } => format!("ask for fewer: --pca {most}"),
            NoComponents => "leave --pca out".into(),
            OtherBuild { folder, .. } => {
                format!("give what it was begun with, or remove it: rm -r {}", quote(folder))
            }
            Taken { .. } => "wait for it, or give another folder to make".into(),
            Damaged { path, .. } => format!("remove it, and it is made again: rm {}", quote(path)),
            NotFinite { .. } => "are the weights whole, and those of this graph?".into(),
            Uneven { .. } => "let `pictures` in the encoder's graph bring all to one size: `resize: Exact(224, 224)`".into(),
        }
    }
}
