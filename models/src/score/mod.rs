//! How good captions are: scores against references, one metric a file.
//!
//! [`References`] hold what people wrote, and what metrics count in it once; a [`Corpus`] sets candidates beside them.
//! [`named`] finds a [`Score`] by the name that users write:
//!
//! ```
//! use engine::score::{self, Corpus, References};
//!
//! let words = |sentence: &str| sentence.split(' ').map(str::to_owned).collect::<Vec<_>>();
//! let references = References::new(&[vec![words("a dog runs"), words("the dog runs fast")], vec![words("a red bus")]])?;
//! let corpus = Corpus::new(&references, &[words("a dog runs"), words("a bus")])?;
//! let scored = score::named("Cider")?.of(&corpus);
//! assert_eq!(scored.per_image.len(), 2);
//! # Ok::<(), engine::score::ScoreError>(())
//! ```
//!
//! A metric is one file: a type with [`Metric`], and [`register_metric!`](crate::register_metric).

mod align;
mod bleu;
mod cider;
mod corpus;
mod error;
mod figures;
pub mod files;
pub mod matching;
mod meteor;
mod name;
mod ngrams;
mod perplexity;
mod rouge;
mod stemming;
mod tokenizer;

use std::fmt;

use engine_core::graph::did_you_mean;

pub use bleu::Bleu;
pub use cider::Cider;
pub use corpus::{Corpus, References};
pub use error::ScoreError;
pub use figures::Figures;
pub use meteor::MeteorExactStem;
pub use name::ScoreName;
pub(crate) use name::bare_word;
pub use perplexity::perplexity;
pub use rouge::RougeL;
pub use tokenizer::{spaced, tokenize};

/// A way to compare captions with references. It gives one score, or several that share their work.
pub trait Metric: Sync {
    /// The names of its scores, in the order of [`score`](Self::score).
    fn names(&self) -> &'static [&'static str];

    /// Its scores. The same corpus gives the same bits on any number of threads.
    fn score(&self, corpus: &Corpus<'_>) -> Vec<Scored>;
}

/// What a score came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The whole set's; not always the mean over its images.
    pub corpus: f64,
    /// Each image's, in the order of the candidates.
    pub per_image: Vec<f64>,
}

impl Scored {
    /// The score whose corpus value is the mean over images; 0 for none.
    pub(crate) fn mean(per_image: Vec<f64>) -> Self {
        let corpus = per_image.iter().sum::<f64>() / per_image.len().max(1) as f64;
        Scored { corpus, per_image }
    }
}

/// A metric on the list of all metrics.
pub struct Registered(
    /// The metric.
    pub &'static dyn Metric,
);

engine_core::registry::inventory::collect!(Registered);

/// Puts a metric on the list: `register_metric!(Bleu)`, where `Bleu` is a unit struct.
#[macro_export]
macro_rules! register_metric {
    ($metric:path) => {
        engine_core::registry::inventory::submit! { $crate::score::Registered(&$metric) }
    };
}

/// One score of a metric.
#[derive(Clone, Copy)]
pub struct Score {
    /// Its name.
    pub name: &'static str,
    metric: &'static dyn Metric,
    column: usize,
}

impl fmt::Debug for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Score").field(&self.name).finish()
    }
}

impl Score {
    /// The score of a corpus.
    pub fn of(&self, corpus: &Corpus<'_>) -> Scored {
        self.metric.score(corpus).swap_remove(self.column)
    }
}

/// The metrics, by the names of their first scores.
fn metrics() -> Vec<&'static dyn Metric> {
    let registered = engine_core::registry::inventory::iter::<Registered>.into_iter();
    let mut metrics: Vec<_> = registered.map(|registered| registered.0).collect();
    metrics.sort_by_key(|metric| metric.names());
    metrics
}

/// All scores: those of a metric side by side, metrics in the order of their names.
pub fn all() -> Vec<Score> {
    let scores = |metric: &'static dyn Metric| {
        let names = metric.names().iter().enumerate();
        names.map(move |(column, name)| Score { name, metric, column })
    };
    metrics().into_iter().flat_map(scores).collect()
}

/// The score of this name; case, `-`, `_` and spaces do not matter: `cider`, `BLEU-4`, `bleu4`.
///
/// # Errors
/// When there is none, with the nearest name.
pub fn named(name: &str) -> Result<Score, ScoreError> {
    let plain = |name: &str| {
        let letters = name.chars().filter(|c| !matches!(c, '-' | '_' | ' '));
        letters.flat_map(char::to_lowercase).collect::<String>()
    };
    let found = all().into_iter().find(|score| plain(score.name) == plain(name));
    found.ok_or_else(|| {
        let help = did_you_mean(name, all().iter().map(|score| score.name));
        ScoreError::UnknownMetric { found: name.to_owned(), help }
    })
}

/// These scores of a corpus, in this order; a metric with several of them works once.
pub fn evaluate(scores: &[Score], corpus: &Corpus<'_>) -> Vec<(&'static str, Scored)> {
    let mut done: Vec<(&'static str, Scored)> = Vec::new();
    for metric in metrics() {
        if scores.iter().any(|score| metric.names().contains(&score.name)) {
            done.extend(metric.names().iter().copied().zip(metric.score(corpus)));
        }
    }
    let of = |score: &Score| done.iter().find(|(name, _)| *name == score.name).cloned();
    scores.iter().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_forgive_case_and_dashes() {
        for (written, name) in [
            ("Cider", "CIDEr"),
            ("cider", "CIDEr"),
            ("bleu4", "BLEU_4"),
            ("BLEU-4", "BLEU_4"),
            ("rouge l", "ROUGE_L"),
            ("CIDEr-D", "CIDEr_D"),
            ("meteor_exact_stem", "METEOR_exact_stem"),
        ] {
            assert_eq!(named(written).unwrap().name, name);
        }
        let error = named("Cidr").unwrap_err();
        let help = miette::Diagnostic::help(&error).unwrap().to_string();
        assert!(help.contains("did you mean `CIDEr`?"), "{help}");
    }

    #[test]
    fn every_name_is_there_once() {
        let names: Vec<&str> = all().iter().map(|score| score.name).collect();
        let distinct: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(names.len() >= 8, "{names:?}");
    }
}
