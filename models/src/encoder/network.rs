//! The graph file of an encoder: what it computes, from which pictures, and what others call its weights.

use std::path::Path;

use engine_core::engine::Evaluator;
use engine_core::graph::{Checked, Document, Graph, Passes, Plan, Severity};
use engine_core::{Scalar, Shape, Sizes};
use engine_datasets::picture::Preprocess;

use super::error::EncoderError;
use super::weights::{Sources, Weights};
use super::{FEATURES, GRID, IMAGES};
use crate::graph_file;

/// The sections of an encoder's graph file that are not the network.
const SECTIONS: [&str; 2] = ["pictures", "weights"];

/// An encoder's graph file, read and found to be in order.
#[derive(Debug, Clone)]
pub struct Network {
    document: Document,
    plan: Plan,
    preprocess: Preprocess,
    sources: Sources,
}

impl Network {
    /// Reads a graph file.
    ///
    /// # Errors
    /// When it cannot be read, or with everything that is wrong with it.
    pub fn read(path: &Path) -> Result<Self, EncoderError> {
        Self::of(graph_file::open(path)?)
    }

    /// As [`read`](Self::read), from a text.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn of(document: Document) -> Result<Self, EncoderError> {
        let (graph, mut faults) = Graph::read(&document, &SECTIONS);
        let sections = document.sections().unwrap_or_default();
        let text = |name: &str| sections.iter().find(|(n, _)| n == name).map(|(_, text)| *text);
        let preprocess = text("pictures").map(|text| document.parse_fields::<Preprocess>(text));
        let preprocess = preprocess.unwrap_or_else(|| Ok(Preprocess::default()));
        let preprocess = preprocess.map_err(|found| faults.extend(found)).ok();
        let sources = text("weights").map(|text| document.parse::<Sources>(text));
        let sources = sources.unwrap_or_else(|| Ok(Sources::new()));
        let sources = sources.map_err(|found| faults.push(found)).ok();
        let plan = graph.and_then(|graph| {
            let Checked { plan, faults: found } = graph.check(&Sizes::new(), None);
            faults.extend(found.into_iter().filter(|fault| fault.severity == Severity::Error));
            plan
        });
        match (plan, preprocess, sources) {
            (Some(plan), Some(preprocess), Some(sources)) if faults.is_empty() => {
                check(&plan, &preprocess, document.name())?;
                Ok(Network { document, plan, preprocess, sources })
            }
            _ => Err(graph_file::wrong(&document, faults).into()),
        }
    }

    /// The text, with everything that it imports in its place.
    pub fn text(&self) -> &str {
        self.document.text()
    }

    /// What it computes.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What is done to pictures before.
    pub fn preprocess(&self) -> &Preprocess {
        &self.preprocess
    }

    /// Opens a file of weights for it.
    ///
    /// # Errors
    /// When the file cannot be read, or with everything that does not fit.
    pub fn weights(&self, path: &Path) -> Result<Weights, EncoderError> {
        Ok(Weights::open(path, &self.plan, &self.sources)?)
    }

    /// An evaluator of the values in these roles.
    ///
    /// # Errors
    /// When the graph has not such a role, or the weights cannot be read.
    pub fn evaluator<T: Scalar>(
        &self,
        weights: &Weights,
        roles: &[&str],
        passes: &Passes,
    ) -> Result<Evaluator<T>, EncoderError> {
        Evaluator::new(&self.plan, &Sizes::new(), roles, passes, |parameter, first, to| {
            Ok(weights.read(parameter, first, to)?)
        })
    }

    /// The roles that an encoder is asked for.
    pub(super) fn roles(&self) -> Vec<&'static str> {
        [FEATURES, GRID].into_iter().filter(|role| self.plan.output(role).is_some()).collect()
    }
}

/// Whether the graph reads pictures and has features of them.
fn check(plan: &Plan, preprocess: &Preprocess, name: &str) -> Result<(), EncoderError> {
    let refused = |message: String, help: &'static str| {
        Err(EncoderError::Unfit { file: name.to_owned(), message, help })
    };
    let inputs: Vec<&str> = plan.inputs.iter().map(|input| input.name.as_str()).collect();
    let images = plan.inputs.iter().find(|input| input.name == IMAGES);
    let fed = images.filter(|images| inputs.len() == 1 && images.shape.rank() == 4);
    if fed.is_none() {
        let found = plan.inputs.iter().map(|input| format!("`{}` {}", input.name, input.shape));
        let found = found.collect::<Vec<_>>().join(", ");
        return refused(
            format!("expected one input, `{IMAGES}` [Batch, 3, height, width], found {found}"),
            "an encoder reads pictures and nothing else: inputs: {\"images\": [Batch, 3, 224, 224]}",
        );
    }
    let read =
        images.map(|images| images.shape.dims()[1..].iter().map(|dim| plan.sizes.resolve(*dim)));
    let read: Vec<Option<usize>> = read.into_iter().flatten().map(Result::ok).collect();
    let made = preprocess.fixed_size().map(|(height, width)| [3, height, width].map(Some));
    if let Some(made) =
        made.filter(|made| read.iter().zip(made).any(|(a, b)| a.is_some() && a != b))
    {
        let list = |sizes: &[Option<usize>]| {
            let all = sizes.iter().map(|size| size.map_or("?".into(), |size| size.to_string()));
            all.collect::<Vec<_>>().join(", ")
        };
        return refused(
            format!(
                "`{IMAGES}` is [Batch, {}], and the section `pictures` makes [Batch, {}] of them",
                list(&read),
                list(&made)
            ),
            "resize or crop to what the network reads: pictures: (resize: Exact(height, width))",
        );
    }
    let shape = |role: &str| plan.output(role).map(|value| &plan.values[value].shape);
    let fits = |shape: &Shape, rank: usize| shape.rank() == rank && shape.batch_lead() == 1;
    match shape(FEATURES) {
        Some(features) if fits(features, 2) => {}
        found => {
            let found = found.map_or("none".to_owned(), Shape::to_string);
            return refused(
                format!(
                    "expected an output `{FEATURES}` of the shape [Batch, width], found {found}"
                ),
                "name the value in the graph's `outputs`: {\"features\": NODE}; Flatten makes vectors of pictures",
            );
        }
    }
    match shape(GRID) {
        Some(grid) if !fits(grid, 3) => refused(
            format!(
                "expected an output `{GRID}` of the shape [Batch, regions, channels], found {grid}"
            ),
            "Reshape and Transpose bring a picture [Batch, channels, height, width] there",
        ),
        _ => Ok(()),
    }
}
