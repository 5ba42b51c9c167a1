//! Data sets of one's own: from a folder of pictures and their captions to the folder that networks train on.
//!
//! An encoder's features are kept as they come, a batch of pictures a file, in a hidden folder beside the one that is to be
//! made: a build that is stopped goes on where it was. The data set gets its name with one rename when all of it is there.
//!
//! | file | concept |
//! |---|---|
//! | `images` | the pictures that captions name, where they lie, and which are validated on |
//! | `staging` | the hidden folder, and what is kept there |
//! | `extract` | from pictures to features |
//! | `moments` | mean, deviation and principal components of features |
//! | `sentences` | vocabulary, and captions as numbers |
//! | `write` | the folder of the data set |

mod error;
mod extract;
mod images;
mod moments;
mod report;
mod sentences;
mod staging;
mod write;

use std::path::{Path, PathBuf};
use std::time::Instant;

use engine_datasets::captions::{self, CaptionFile};
use engine_datasets::{check_free, take_name};

use crate::encoder::Encoder;
use extract::Extracted;
use images::Images;
use sentences::Sentences;
use staging::Staging;
use write::Set;

pub use error::DataBuildError;
pub use images::Refused;
pub use report::Report;

/// What a data set is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The folder of the pictures.
    pub images: PathBuf,
    /// The file of their captions.
    pub captions: PathBuf,
    /// The encoder's graph file.
    pub encoder: PathBuf,
    /// The encoder's weights.
    pub weights: PathBuf,
    /// The folder to make.
    pub out: PathBuf,
    /// Principal components to reduce features to.
    pub pca: Option<usize>,
    /// Rows and columns of regions of the grids.
    pub grid: Option<(usize, usize)>,
    /// The fewest times that the training captions hold a word that has a number.
    pub min_count: usize,
    /// The most words of a caption; the rest is cut off.
    pub max_length: usize,
    /// The share of the pictures that is validated on, where the captions do not say.
    pub val: f64,
    /// Decides which pictures these are.
    pub seed: u64,
    /// Whether a picture that cannot be read ends the build.
    pub strict: bool,
    /// Whether features are centred and scaled by the training pictures' mean and deviation.
    pub standardize: bool,
    /// Pictures that go through the encoder at once.
    pub batch: usize,
}

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Features are about to be computed; so many pictures have them from a build that was stopped.
    Begin {
        /// Pictures that have features.
        kept: usize,
        /// All pictures.
        total: usize,
    },
    /// So many pictures have been through the encoder.
    Pictures {
        /// Pictures that have features.
        done: usize,
        /// All pictures.
        total: usize,
    },
    /// Principal components are computed.
    Components,
    /// The files of the data set are written.
    Write,
}

/// Builds a data set.
///
/// # Errors
/// When something is wrong with what it is to be made of, when nothing is left of it, when an encoder's features cannot be
/// used, and when a file cannot be written. What has been computed by then is kept for the next try.
pub fn build(options: &Options, watch: &mut dyn FnMut(Stage)) -> Result<Report, DataBuildError> {
    let began = Instant::now();
    check_free(&options.out)?;
    let file = captions::read(&options.captions)?;
    let mut images = Images::gather(&file, options)?;
    // The images have the captions from now on.
    let file = CaptionFile { pictures: Vec::new(), ..file };
    // What is wrong with the request is said before time goes into the pictures.
    Sentences::of(&images.all, options)?;
    moments::check(&images.all, options)?;
    let mut encoder = Encoder::load(&options.encoder, &options.weights)?;
    let staging = Staging::open(options)?;
    let extracted = extract::extract(&mut encoder, &images.all, &staging, options, watch)?;
    let Extracted { shape, refused } = extracted;
    let shown = images.without(&refused)?;
    let sentences = Sentences::of(&shown, options)?;
    if options.pca.is_some() {
        watch(Stage::Components);
    }
    let reduction = moments::reduction(&staging, &images.all, shape, options)?;
    watch(Stage::Write);
    let dir = staging.set()?;
    let set = Set {
        dir: &dir,
        staging: &staging,
        images: &images.all,
        reduction: &reduction,
        encoder: &encoder,
        options,
    };
    set.write(&shown, &sentences)?;
    take_name(&dir, &options.out)?;
    staging.remove();
    let report = Report::of(options, &file, images, &shown, &sentences);
    Ok(Report { features: shape.width, refused, elapsed: began.elapsed(), ..report })
}

/// A path as the file system knows it, whatever folder the program runs in.
fn whole(path: &Path) -> Result<PathBuf, DataBuildError> {
    let failed = |error| DataBuildError::Io { action: "find", path: path.to_owned(), error };
    path.canonicalize().map_err(failed)
}
