//! Runs that cannot caption pictures.

use std::path::PathBuf;

use crate::decode::DecodeError;
use crate::encoder::EncoderError;
use crate::trained::TrainedError;

/// Why a run cannot caption pictures.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PhotographsError {
    /// There is no such run, or it cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Trained(#[from] TrainedError),
    /// Its encoder cannot be read, or does not take the pictures.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Encoder(#[from] EncoderError),
    /// The network cannot write, or the decoder cannot write with its words.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Decode(#[from] DecodeError),
    /// The run keeps no encoder.
    #[error("the run has no encoder: expected the folder {}, found none", path.display())]
    #[diagnostic(help(
        "train on data built by `engine data build`, whose encoder the run keeps; captions of the data's own images are written by: engine sample RUN"
    ))]
    NoEncoder {
        /// Where it would be.
        path: PathBuf,
    },
    /// The network scores no words step by step.
    #[error("the network has no value `{scores}` with a time dimension: it writes no captions")]
    #[diagnostic(help("{CAPTIONING}"))]
    NoWords {
        /// The role that is missing.
        scores: &'static str,
    },
    /// The network writes about nothing.
    #[error(
        "the network reads no pictures: expected an input `features`, `grid` or `images`, found none"
    )]
    #[diagnostic(help("{CAPTIONING}"))]
    NoSubject,
    /// The network reads what no encoder gives.
    #[error(
        "the network reads the input `{input}`, expected `features` or `grid` alone: no other is known of a picture"
    )]
    #[diagnostic(help("{OWN_IMAGES}"))]
    Unfed {
        /// The input.
        input: String,
    },
    /// The network reads pixels of pictures whose size only data knows.
    #[error(
        "the network reads `images`, and the graph does not say their height and width in numbers"
    )]
    #[diagnostic(help("{OWN_IMAGES}"))]
    NoSize,
    /// The encoder has no output in the role that the network reads.
    #[error("the network reads `{input}`, which the run's encoder does not give")]
    #[diagnostic(help("{OTHER_ENCODER}"))]
    NotGiven {
        /// The input, and the role.
        input: &'static str,
    },
    /// The encoder is not the one of the network's data.
    #[error(
        "`{input}` of the run's encoder: expected {expected} numbers a picture, which the network reads, found {found}"
    )]
    #[diagnostic(help("{OTHER_ENCODER}"))]
    OtherWidth {
        /// The input.
        input: &'static str,
        /// Numbers that the network reads.
        expected: usize,
        /// Numbers that the encoder gives.
        found: usize,
    },
    /// A picture that cannot be read.
    #[error("cannot read the picture {name}: {message}")]
    Unread {
        /// Its file or address.
        name: String,
        /// What is wrong with it.
        message: String,
        /// What to try.
        #[help]
        help: String,
    },
    /// A parameter's shape says another number of a size than something else does.
    #[error("{}: parameter `{parameter}`: expected the shape {expected}, found {found:?}", path.display())]
    #[diagnostic(help("is this the checkpoint of another graph?"))]
    OtherShape {
        /// The file of the parameters.
        path: PathBuf,
        /// The parameter.
        parameter: String,
        /// Its shape in the graph.
        expected: String,
        /// Its shape in the file.
        found: Vec<usize>,
    },
}

const CAPTIONING: &str = "give the run of a captioning network, such as graphs/caption_lstm.ron";

const OWN_IMAGES: &str = "captions of the data's own images are written by: engine sample RUN";

const OTHER_ENCODER: &str = "encoder/ is to be the one of the data that the run was trained on";
