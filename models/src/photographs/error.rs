//! Runs that cannot caption pictures.

use std::path::PathBuf;

/// Why a run cannot caption pictures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PhotographsError {
    /// The run keeps no encoder.
    #[error("the run has no encoder: expected the folder {}, found none", path.display())]
    NoEncoder {
        /// Where it would be.
        path: PathBuf,
    },
    /// The network scores no words step by step.
    #[error("the network has no value `{scores}` with a time dimension: it writes no captions")]
    NoWords {
        /// The role that is missing.
        scores: &'static str,
    },
    /// The network writes about nothing.
    #[error(
        "the network reads no pictures: expected an input `features`, `grid` or `images`, found none"
    )]
    NoSubject,
    /// The network reads what no encoder gives.
    #[error(
        "the network reads the input `{input}`, expected `features` or `grid` alone: no other is known of a picture"
    )]
    Unfed {
        /// The input.
        input: String,
    },
    /// The network reads pixels of pictures whose size only data knows.
    #[error(
        "the network reads `images`, and the graph does not say their height and width in numbers"
    )]
    NoSize,
    /// The encoder has no output in the role that the network reads.
    #[error("the network reads `{input}`, which the run's encoder does not give")]
    NotGiven {
        /// The input, and the role.
        input: &'static str,
    },
    /// The encoder is not the one of the network's data.
    #[error(
        "`{input}` of the run's encoder: expected {expected} numbers a picture, which the network reads, found {found}"
    )]
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
        help: String,
    },
    /// A parameter's shape says another number of a size than something else does.
    #[error("{}: parameter `{parameter}`: expected the shape {expected}, found {found:?}", path.display())]
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

impl PhotographsError {
    /// What to try.
    pub fn help(&self) -> String {
        match self {
            PhotographsError::NoEncoder { .. } => {
                "train on data built by `engine data build`, whose encoder the run keeps; captions of the data's own \
                 images are written by: engine sample RUN"
                    .into()
            }
            PhotographsError::NoWords { .. } | PhotographsError::NoSubject => {
                "give the run of a captioning network, such as graphs/caption_lstm.ron".into()
            }
            PhotographsError::NoSize | PhotographsError::Unfed { .. } => {
                "captions of the data's own images are written by: engine sample RUN".into()
            }
            PhotographsError::NotGiven { .. } | PhotographsError::OtherWidth { .. } => {
                "encoder/ is to be the one of the data that the run was trained on".into()
            }
            PhotographsError::Unread { help, .. } => help.clone(),
            PhotographsError::OtherShape { .. } => "is this the checkpoint of another graph?".into(),
        }
    }
}
