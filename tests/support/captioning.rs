//! The captioning networks of the graph files, with the reference's parameters.

use std::collections::BTreeSet;

use engine::{Experiment, Override};
use engine_core::engine::Engine;
use engine_core::{Batch, Mode, Scalar, Sizes, Tensor};
use engine_datasets::Vocabulary;

use crate::case::Case;
use crate::paths::in_workspace;

/// The reference's parameters and those of the graph files.
pub(crate) const PARAMETERS: [(&str, &str); 8] = [
    ("W_embed", "words.w"),
    ("W_proj", "h0.w"),
    ("b_proj", "h0.b"),
    ("Wx", "hidden.wx"),
    ("Wh", "hidden.wh"),
    ("b", "hidden.b"),
    ("W_vocab", "scores.w"),
    ("b_vocab", "scores.b"),
];

/// The sizes of a captioning network.
pub(crate) struct Captioning {
    pub(crate) features: usize,
    pub(crate) embedding: usize,
    pub(crate) hidden: usize,
    pub(crate) vocabulary: usize,
}

impl Captioning {
    /// Those of a case's parameters.
    pub(crate) fn of_case(case: &Case) -> Self {
        let shape = |name: &str| case.exact(&format!("param.{name}")).shape().to_vec();
        let [features, hidden] = shape("W_proj")[..] else { panic!("`W_proj` is a matrix") };
        let [vocabulary, embedding] = shape("W_embed")[..] else { panic!("`W_embed` is a matrix") };
        Captioning { features, embedding, hidden, vocabulary }
    }

    /// The network of a graph file, of these sizes.
    pub(crate) fn engine<T: Scalar>(&self, graph: &str) -> Engine<T> {
        let overrides = [
            Override::new("precision", format!("{:?}", T::PRECISION)),
            Override::new("nodes.h0.layer.units", self.hidden),
            Override::new("nodes.words.layer.units", self.embedding),
            Override::new("nodes.hidden.layer.units", self.hidden),
        ];
        let path = in_workspace(&format!("graphs/{graph}.ron"));
        let experiment = Experiment::load(&path, &overrides).unwrap_or_else(|e| panic!("{e}"));
        let sizes = [("Features", self.features), ("Vocabulary", self.vocabulary)];
        let sizes: Sizes = sizes.into_iter().collect();
        let (plan, warnings) = experiment.plan(&sizes).unwrap_or_else(|error| panic!("{error}"));
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(plan.precision, T::PRECISION);
        let names: BTreeSet<&str> = plan.parameters.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, BTreeSet::from(PARAMETERS.map(|(_, own)| own)));
        Engine::new(plan, sizes, 0).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Words that stand for nothing but their numbers.
    pub(crate) fn vocabulary(&self) -> Vocabulary {
        let special = Vocabulary::SPECIAL.map(str::to_owned).into_iter();
        let words = special.chain((4..).map(|i| format!("word{i}"))).take(self.vocabulary);
        Vocabulary::new(words.collect()).expect("a vocabulary of four words or more")
    }
}

/// The batch that trains on whole captions: all words but the last are read, all but the first predicted.
pub(crate) fn caption_batch(features: &Tensor<f64>, captions: &Tensor<u32>) -> Batch {
    let mut batch = Batch::new();
    batch.f64_mut("features", features.shape()).copy_from_slice(features.as_slice());
    let (rows, length) = (captions.dim(0), captions.dim(1));
    for (name, from) in [("words_in", 0), ("words_out", 1)] {
        let words = batch.tokens_mut(name, &[rows, length - 1]).chunks_mut(length - 1);
        for (words, caption) in words.zip(captions.as_slice().chunks(length)) {
            words.copy_from_slice(&caption[from..][..length - 1]);
        }
    }
    batch
}

/// Computes the loss, which it returns, and its gradients.
pub(crate) fn gradients<T: Scalar>(engine: &mut Engine<T>, batch: &Batch) -> f64 {
    engine.forward(batch, Mode::Train { iteration: 0 }).unwrap_or_else(|e| panic!("{e}"));
    engine.backward();
    engine.loss().expect("a graph with a loss")
}

/// A parameter by its name.
pub(crate) fn parameter<'a, T: Scalar>(engine: &'a mut Engine<T>, name: &str) -> &'a mut Tensor<T> {
    let at = engine.plan().parameter(name).unwrap_or_else(|| panic!("no parameter `{name}`"));
    &mut engine.parameters_mut()[at]
}
