//! Encoders: graphs that turn pictures into the features that a captioning network reads.
//!
//! | where | what |
//! |---|---|
//! | [`network`] | the graph file of an encoder |
//! | [`weights`] | files of weights, also those of other programs |
//! | [`folder`] | the folder in which a data set or a run keeps an encoder |

pub mod folder;
pub mod network;
pub mod weights;

mod error;
mod reduction;

use std::path::Path;

use engine_core::Batch;
use engine_core::engine::{Evaluator, FeedError};
use engine_core::graph::Passes;
use engine_datasets::picture::{Picture, Preprocess};
use engine_kernels::team;

use self::network::Network;
use self::weights::Weights;

pub use error::EncoderError;
pub use reduction::{Basis, Reduction, ReductionError};
pub use reduction::{parse_grid, pool};

/// The input of an encoder's graph: pictures as arrays, `[Batch, 3, height, width]`.
pub const IMAGES: &str = "images";

/// The role of what an encoder says of a picture as a whole.
pub const FEATURES: &str = "features";

/// The role of what it says of regions.
pub const GRID: &str = "grid";

/// What an encoder says of pictures, a row of each array a picture.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Features {
    /// The role `features`: `[pictures, width]`.
    pub features: Vec<f32>,
    /// Numbers a picture in `features`.
    pub width: usize,
    /// The role `grid`, where the graph has it: `[pictures, regions, channels]`.
    pub grid: Option<Grid>,
}

/// Features of regions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grid {
    /// `[pictures, regions, channels]`.
    pub features: Vec<f32>,
    /// Regions a picture, row after row from the top.
    pub regions: usize,
    /// Numbers a region.
    pub channels: usize,
}

/// A network that reads pictures, with its weights and with what is done to pictures before.
#[derive(Debug)]
pub struct Encoder {
    network: Network,
    weights: Weights,
    evaluator: Evaluator<f32>,
    batch: Batch,
    /// What the data set whose encoder it is does to features.
    reduction: Option<Reduction>,
    /// Whether features become the data set's principal components, where it has any.
    components: bool,
}

/// Pictures that go through the network together, so that memory does not grow with how many there are.
const TOGETHER: usize = 16;

impl Encoder {
    /// Reads an encoder's graph file and its weights.
    ///
    /// # Errors
    /// When one of them cannot be read, the graph is wrong, or the weights are not its.
    pub fn load(graph: &Path, weights: &Path) -> Result<Self, EncoderError> {
        Self::with_passes(graph, weights, &Passes::default())
    }

    /// As [`load`](Self::load), with its plan rewritten by these passes.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn with_passes(
        graph: &Path,
        weights: &Path,
        passes: &Passes,
    ) -> Result<Self, EncoderError> {
        let network = Network::read(graph)?;
        let weights = network.weights(weights)?;
        let evaluator = network.evaluator(&weights, &network.roles(), passes)?;
        let batch = Batch::new();
        Ok(Encoder { network, weights, evaluator, batch, reduction: None, components: true })
    }

    /// The same, whose features go the way of a data set's before it stores them.
    fn reduced(mut self, reduction: Reduction) -> Self {
        self.reduction = Some(reduction);
        self
    }

    /// The same, which gives full features where it would give principal components of them: what a network reads that was
    /// trained with `pca_features: false`.
    pub fn full(mut self) -> Self {
        self.components = false;
        self
    }

    /// What is done to pictures before.
    pub fn preprocess(&self) -> &Preprocess {
        self.network.preprocess()
    }

    /// The network.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// What runs it.
    pub fn evaluator(&mut self) -> &mut Evaluator<f32> {
        &mut self.evaluator
    }

    /// The features of pictures: as the network gives them, or, of a data set's encoder, as the data set stores them.
    ///
    /// # Errors
    /// When what [`preprocess`](Self::preprocess) makes of pictures does not fit the graph, or the network's features do
    /// not fit the data set's.
    pub fn encode(&mut self, pictures: &[Picture]) -> Result<Features, EncoderError> {
        let mut all = Features::default();
        for pictures in pictures.chunks(TOGETHER) {
            self.feed(pictures)?;
            self.evaluator.run(&self.batch)?;
            self.append(&mut all);
        }
        match &self.reduction {
            None => {}
            Some(reduction) if self.components => reduction.apply(&mut all)?,
            Some(reduction) => reduction.apply_full(&mut all)?,
        }
        Ok(all)
    }

    /// Rows and columns that so many regions of its grids lie in: those of the data set, or else of a square; `None` where
    /// they are not known.
    pub fn rows_and_columns(&self, regions: usize) -> Option<(usize, usize)> {
        let side = regions.isqrt();
        let square = (side * side == regions).then_some((side, side));
        let said = self.reduction.as_ref().and_then(|reduction| reduction.grid);
        said.filter(|(rows, columns)| rows * columns == regions).or(square)
    }

    /// Brings pictures into the form that the network reads.
    fn feed(&mut self, pictures: &[Picture]) -> Result<(), EncoderError> {
        let preprocess = self.network.preprocess();
        let mut sizes = pictures.iter().map(|picture| preprocess.size(picture));
        let (height, width) = sizes.next().unwrap_or_default();
        if let Some(other) = sizes.find(|size| *size != (height, width)) {
            return Err(FeedError::Shape {
                input: IMAGES.into(),
                expected: format!("[Batch, 3, {height}, {width}], as of the first picture"),
                found: vec![1, 3, other.0, other.1],
            }
            .into());
        }
        let array = self.batch.f32_mut(IMAGES, &[pictures.len(), 3, height, width]);
        team::for_each_chunk_mut(array, 3 * height * width, |at, array| {
            preprocess.write(&pictures[at], array);
        });
        Ok(())
    }

    /// Adds what the network has made of pictures to what it has made of others.
    fn append(&self, all: &mut Features) {
        if let Some(features) = self.evaluator.output(FEATURES) {
            all.features.extend_from_slice(features.as_slice());
            all.width = features.dim(1);
        }
        if let Some(grid) = self.evaluator.output(GRID) {
            let all = all.grid.get_or_insert_default();
            all.features.extend_from_slice(grid.as_slice());
            (all.regions, all.channels) = (grid.dim(1), grid.dim(2));
        }
    }
}
