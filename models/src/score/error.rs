//! What keeps captions from being scored.

use std::io;
use std::path::PathBuf;

use engine_core::graph::did_you_mean;

/// Why captions cannot be scored.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ScoreError {
    /// A metric that there is not.
    #[error("unknown metric `{found}`")]
    UnknownMetric {
        /// The name as written.
        found: String,
        /// The nearest name.
        #[help]
        help: String,
    },
    /// Not as many candidates as images with references.
    #[error("expected a caption for each of {images} images, found {captions}")]
    Counts {
        /// Images with references.
        images: usize,
        /// Candidates.
        captions: usize,
    },
    /// Nothing to score.
    #[error("{place} has no image")]
    Empty {
        /// The file, or what else holds references.
        place: String,
    },
    /// An image without references.
    #[error("{place}: image `{image}` has no references")]
    #[diagnostic(help("{REFERENCED}"))]
    NoReferences {
        /// The file, or what else holds references.
        place: String,
        /// The image.
        image: String,
    },
    /// A reference without words.
    #[error("{place}: reference {number} of image `{image}` has no words: {text:?}")]
    #[diagnostic(help("{REFERENCED}"))]
    EmptyReference {
        /// The file, or what else holds references.
        place: String,
        /// The image.
        image: String,
        /// Which of the image's, from 1.
        number: usize,
        /// What it is.
        text: String,
    },
    /// A file that cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    #[diagnostic(help("give a file that is there and may be read"))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// A file that is no JSON.
    #[error("{}:{line}:{column}: {message}", path.display())]
    #[diagnostic(help("is it a whole JSON file?"))]
    Json {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What the parser expected.
        message: String,
    },
    /// JSON that holds something else.
    #[error("{}: {place}: expected {expected}, found {found}", path.display())]
    #[diagnostic(help("{SHAPES}"))]
    Shape {
        /// The file.
        path: PathBuf,
        /// Where in it: `entry 3`.
        place: String,
        /// What belongs there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An image that comes twice.
    #[error("{}: image `{id}` comes twice", path.display())]
    #[diagnostic(help("leave one caption for each image"))]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The image.
        id: String,
    },
    /// Several candidates for an image.
    #[error("{}: image `{id}` has {count} captions, expected one", path.display())]
    #[diagnostic(help("leave one caption for each image"))]
    Several {
        /// The file.
        path: PathBuf,
        /// The image.
        id: String,
        /// How many.
        count: usize,
    },
    /// A folder with no references in it.
    #[error(
        "{}: expected a data set (`coco2014_captions.h5`) or one JSON file with references, found {found}",
        path.display()
    )]
    #[diagnostic(help("name the file itself"))]
    NoReferenceFile {
        /// The folder.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// Images on one side that the other lacks.
    #[error("{lacking} has nothing for {count} of the images of {having}: {}", names.join(", "))]
    #[diagnostic(help("{}", matching(names, others)))]
    Unmatched {
        /// What lacks them.
        lacking: String,
        /// What has them.
        having: String,
        /// How many.
        count: usize,
        /// The first of them, at most three.
        names: Vec<String>,
        /// The images that `lacking` has and `having` lacks, the nearest of which is named.
        others: Vec<String>,
    },
}

/// How many images are offered in place of one that is missing.
const SHOWN: usize = 5;

/// The forms of files.
const SHAPES: &str = "captions: [{\"image_id\": 1, \"caption\": \"..\"}] or {\"image\": \"caption\"}; \
     references: {\"image\": [\"caption\", ..]} or COCO's {\"images\": .., \"annotations\": ..}";

const REFERENCED: &str = "every image needs at least one reference, and each of them a word";

/// How the images of captions and of references are matched, with those that are nearest to the first that is missing.
fn matching(missing: &[String], others: &[String]) -> String {
    let first = missing.first().map_or("", String::as_str);
    let some = others.iter().take(SHOWN).map(String::as_str);
    format!(
        "captions and references must be of the same images, named by path, file name or stem; for `{first}`: {}",
        did_you_mean(first, some)
    )
}
