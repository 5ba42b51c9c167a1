//! What `engine eval` shows: scores of the set, what its captions are like, the best and the worst of them.

use std::collections::{BTreeMap, BTreeSet};

use engine::score::files::Described;
use engine::score::matching::{Images, matched};
use engine::score::{self, Corpus, Figures, References, Score, ScoreError, Scored, spaced};
use engine_datasets::{Source, Split};
use rayon::prelude::*;
use serde_json::{Value, json};

use crate::error::Error;
use crate::out::say;

/// Sentences with their images, and how they are split into words.
pub(crate) struct Sentences {
    pub(crate) images: Images,
    pub(crate) words: fn(&str) -> Vec<String>,
}

/// What only a run can tell.
pub(crate) struct Known {
    pub(crate) perplexity: Option<f64>,
    pub(crate) vocabulary: Vec<String>,
    pub(crate) seen: BTreeSet<Vec<String>>,
}

/// Candidates beside their references, with what they scored.
pub(crate) struct Table {
    ids: Vec<String>,
    captions: Vec<String>,
    /// The first reference of each.
    references: Vec<String>,
    /// The words of captions as the data set has them.
    words: Vec<Vec<String>>,
    empty: usize,
    scores: Vec<(&'static str, Scored)>,
}

impl Table {
    pub(crate) fn new(
        captions: &Sentences,
        references: &Sentences,
        spaced_words: bool,
        scores: &[Score],
    ) -> Result<Self, Error> {
        let split = |sentences: &Sentences| if spaced_words { spaced } else { sentences.words };
        let order = matched(&captions.images, &references.images)?;
        let chosen: Vec<&Described> = order.iter().map(|at| &captions.images.images[*at]).collect();
        let tokens = of_references(&references.images, split(references))?;
        let sentence = |image: &&Described| image.sentences[0].clone();
        let sentences: Vec<String> = chosen.iter().map(sentence).collect();
        let candidates = in_words(&sentences, split(captions));
        let prepared = References::new(&tokens)?;
        let corpus = Corpus::new(&prepared, &candidates)?;
        let images = references.images.images.iter();
        Ok(Table {
            ids: chosen.iter().map(|image| image.id.clone()).collect(),
            references: images.map(|image| image.sentences[0].clone()).collect(),
            empty: candidates.iter().filter(|words| words.is_empty()).count(),
            scores: score::evaluate(scores, &corpus),
            words: candidates,
            captions: sentences,
        })
    }

    pub(crate) fn json(&self) -> Value {
        let corpus: BTreeMap<_, _> =
            self.scores.iter().map(|(name, scored)| (*name, scored.corpus)).collect();
        let of = |at: usize| -> BTreeMap<&str, f64> {
            self.scores.iter().map(|(name, scored)| (*name, scored.per_image[at])).collect()
        };
        let each: BTreeMap<_, _> = self.ids.iter().zip(0..).map(|(id, at)| (id, of(at))).collect();
        json!({ "corpus": corpus, "per_image": each })
    }

    pub(crate) fn print(&self, known: Option<Known>) {
        if self.empty > 0 {
            eprintln!("warning: {} captions have no words and score 0", self.empty);
        }
        say!("{} images", self.ids.len());
        for (name, scored) in &self.scores {
            say!("  {name:18} {:8.4}", scored.corpus);
        }
        self.print_figures(known);
        self.print_extremes();
    }

    fn print_figures(&self, known: Option<Known>) {
        let mut figures = Figures::new(&self.words);
        let mut perplexity = None;
        if let Some(known) = &known {
            let words: Vec<Vec<String>> = self.captions.iter().map(|s| spaced(s)).collect();
            let vocabulary = known.vocabulary.iter().map(String::as_str);
            figures = figures.against(&words, vocabulary, &known.seen);
            perplexity = known.perplexity;
        }
        let share = |part: usize, all: usize| 100.0 * part as f64 / all.max(1) as f64;
        say!("captions");
        say!(
            "  words each         {:.2} on average; shortest {}, median {}, longest {}",
            figures.mean,
            figures.shortest,
            figures.median,
            figures.longest
        );
        say!("  different words    {}", figures.words);
        if let Some((used, all)) = figures.of_vocabulary {
            say!("  of the vocabulary  {used} of {all} ({:.1} %)", share(used, all));
        }
        let part = |name, part| {
            let percent = share(part, figures.captions);
            say!("  {name:18} {part} of {} ({percent:.1} %)", figures.captions);
        };
        part("distinct", figures.distinct);
        if let Some(novel) = figures.novel {
            part("not in training", novel);
        }
        if let Some(perplexity) = perplexity {
            say!("  perplexity a word  {perplexity:.3}, of the references");
        }
    }

    /// The images that score lowest and highest, by CIDEr if that is among the scores.
    fn print_extremes(&self) {
        const SHOWN: usize = 3;
        let by = self.scores.iter().find(|(name, _)| *name == "CIDEr").or(self.scores.first());
        let Some((name, scored)) = by else { return };
        let mut order: Vec<usize> = (0..self.ids.len()).collect();
        order.sort_by(|a, b| scored.per_image[*a].total_cmp(&scored.per_image[*b]));
        let shown = SHOWN.min(order.len() / 2);
        let worst = ("worst", order[..shown].to_vec());
        let best = ("best", order.iter().rev().take(shown).copied().collect());
        for (title, images) in [worst, best] {
            if !images.is_empty() {
                say!("{title} by {name}");
            }
            for at in images {
                say!("  {:.3}  {}", scored.per_image[at], self.ids[at]);
                say!("         caption    {}", self.captions[at]);
                say!("         reference  {}", self.references[at]);
            }
        }
    }
}

impl Known {
    pub(crate) fn new(source: &dyn Source, perplexity: Option<f64>) -> Self {
        let vocabulary = source.vocabulary();
        let words = vocabulary.words().filter(|word| !word.starts_with('<'));
        let caption = |row| spaced(&vocabulary.decode(source.caption(Split::Train, row)));
        Known {
            perplexity,
            vocabulary: words.map(str::to_owned).collect(),
            seen: (0..source.captions(Split::Train)).map(caption).collect(),
        }
    }
}

/// The words of each sentence.
fn in_words(sentences: &[String], words: fn(&str) -> Vec<String>) -> Vec<Vec<String>> {
    sentences.par_iter().map(|sentence| words(sentence)).collect()
}

/// The words of references, each of which must have some.
fn of_references(
    references: &Images,
    words: fn(&str) -> Vec<String>,
) -> Result<Vec<Vec<Vec<String>>>, ScoreError> {
    let place = || references.place.clone();
    let split = |image: &Described| {
        let tokens: Vec<Vec<String>> = image.sentences.iter().map(|s| words(s)).collect();
        match tokens.iter().position(Vec::is_empty) {
            None => Ok(tokens),
            Some(at) => Err(ScoreError::EmptyReference {
                place: place(),
                image: image.id.clone(),
                number: at + 1,
                text: image.sentences[at].clone(),
            }),
        }
    };
    // Collected before faults are looked for, so that the first one in the file is reported.
    let split: Vec<_> = references.images.par_iter().map(split).collect();
    split.into_iter().collect()
}
