//! Encoders: graphs that turn pictures into the features that a captioning network reads.

mod reduction;

use std::path::Path;
use std::sync::Arc;

use engine_core::engine::{Engine, checkpoint};
use engine_core::graph::{Checked, Document, Faults, Graph, Severity};
use engine_core::{Batch, Mode, Sizes};
use engine_datasets::picture::{Picture, Preprocess};

use crate::error::Error;

pub use reduction::{Basis, Reduction, ReductionError};
pub(crate) use reduction::{parse_grid, pool};

/// The input of an encoder's graph: pictures as arrays, `[Batch, 3, height, width]`.
pub const IMAGES: &str = "images";

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
    preprocess: Preprocess,
    engine: Engine<f32>,
}

impl Encoder {
    /// Reads an encoder's graph file and its weights.
    ///
    /// # Errors
    /// When one of them cannot be read, the graph is wrong, or the weights are not its.
    pub fn load(graph: &Path, weights: &Path) -> Result<Self, Error> {
        let read = |path: &Path, error| Error::Read { path: path.to_owned(), error };
        let (document, fault) = Document::read(graph).map_err(|error| read(graph, error))?;
        let wrong = |faults| Error::Graph(Box::new(Faults { document: document.clone(), faults }));
        if let Some(fault) = fault {
            return Err(wrong(vec![fault]));
        }
        let (spec, mut faults) = Graph::read(&document, &["pictures", "weights"]);
        let sections = document.sections().unwrap_or_default();
        let text = sections.iter().find(|(name, _)| name == "pictures").map(|(_, text)| *text);
        let preprocess = match text.map(|text| document.parse_fields::<Preprocess>(text)) {
            None => Preprocess::default(),
            Some(read) => read.map_err(|found| faults.extend(found)).unwrap_or_default(),
        };
        let Some(spec) = spec.filter(|_| faults.is_empty()) else { return Err(wrong(faults)) };
        let Checked { plan, faults } = spec.check(&Sizes::new(), None);
        let plan = match plan {
            Some(plan) if faults.iter().all(|fault| fault.severity == Severity::Warning) => plan,
            _ => return Err(wrong(faults)),
        };
        let mut engine = Engine::new(Arc::new(plan), Sizes::new(), 0)?;
        let bytes = std::fs::read(weights).map_err(|error| read(weights, error))?;
        checkpoint::set_parameters(&mut engine, &bytes, weights)?;
        Ok(Encoder { preprocess, engine })
    }

    /// What is done to pictures before.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// The features of pictures.
    ///
    /// # Errors
    /// When what [`preprocess`](Self::preprocess) makes of pictures does not fit the graph.
    pub fn encode(&mut self, pictures: &[Picture]) -> Result<Features, Error> {
        let (height, width) = pictures.first().map_or((0, 0), |first| self.preprocess.size(first));
        let mut batch = Batch::new();
        let array = batch.f32_mut(IMAGES, &[pictures.len(), 3, height, width]);
        for (picture, array) in pictures.iter().zip(array.chunks_exact_mut(3 * height * width)) {
            self.preprocess.write(picture, array);
        }
        self.engine.forward(&batch, Mode::Eval)?;
        let features = self.engine.output("features").expect("an encoder has features");
        let grid = self.engine.output("grid").map(|grid| Grid {
            features: grid.as_slice().to_vec(),
            regions: grid.shape()[1],
            channels: grid.shape()[2],
        });
        let width = features.shape()[1];
        Ok(Features { features: features.as_slice().to_vec(), width, grid })
    }
}
