//! The section of pictures with their captions.

use std::path::Path;

use engine::Trained;
use engine::decode::{DecodeScalar, Hypothesis, word_scores};
use engine_core::Precision;
use engine_datasets::Source;
use maud::{Markup, html};

use crate::error::ReportError;
use crate::number::{percent, shown as number};
use crate::picture::embedded;
use crate::section::{Body, Section};
use crate::selection::{Group, SPLIT, Shown, select};
use crate::subject::Subject;

pub(crate) const SECTION: Section = Section { id: "captions", title: "Captions", body: gallery };

fn gallery(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let trained = match &subject.trained {
        Ok(trained) => trained,
        Err(reason) => return Ok(Some(absent(reason))),
    };
    if word_scores(&subject.plan).is_none() {
        return Ok(None);
    }
    let groups = match trained.precision() {
        Precision::F32 => groups::<f32>(trained, subject),
        Precision::F64 => groups::<f64>(trained, subject),
    };
    let groups = match groups {
        Ok(groups) => groups,
        // The rest of a report is worth having also where parameters are not there yet, or have gone.
        Err(reason) => return Ok(Some(absent(&reason))),
    };
    let folder = trained.experiment.data.dir();
    Ok(Some(html! {
        p class="note" {
            "Pictures that training has not seen. The more a word is underlined, the less sure the network was of it: "
            "point at a word, or focus its caption, to read the word's probability given those before it."
        }
        @for group in &groups {
            h3 { (group.title) }
            ul class="cards" { @for shown in &group.shown { (card(shown, &*trained.source, folder)) } }
        }
    }))
}

fn absent(reason: &str) -> Markup {
    html! { p class="note" { "No pictures: " (reason) "." } }
}

fn groups<T: DecodeScalar>(trained: &Trained, subject: &Subject<'_>) -> Result<Vec<Group>, String> {
    let engine = trained.engine::<T>(&subject.passes).map_err(|error| error.to_string())?;
    let decoder = &*trained.experiment.decoder;
    let groups = select(&engine, &*trained.source, decoder, subject.count);
    let groups = groups.map_err(|error| error.to_string())?;
    Ok(groups.into_iter().filter(|group| !group.shown.is_empty()).collect())
}

fn card(shown: &Shown, source: &dyn Source, folder: &Path) -> Markup {
    let vocabulary = source.vocabulary();
    let references: Vec<String> =
        source.references(SPLIT, shown.image).map(|tokens| vocabulary.decode(tokens)).collect();
    let name = source.image_name(SPLIT, shown.image);
    let name = name.map_or(format!("{SPLIT} {}", shown.image), str::to_owned);
    let described = references.first().map_or(name.as_str(), String::as_str);
    html! {
        li class="card" {
            @match embedded(folder, &name) {
                Some(address) => img src=(address) alt={ "Picture: " (described) } decoding="async" {},
                None => div class="missing" role="img" aria-label={ "No picture: " (name) } { (name) },
            }
            (caption(&shown.hypotheses[0], source))
            @if let Some(verdict) = &shown.verdict { p class="verdict" { (verdict) } }
            @if shown.hypotheses.len() > 1 { (alternatives(&shown.hypotheses[1..], source)) }
            details {
                summary { (references.len()) " references" }
                ul { @for reference in &references { li { (reference) } } }
            }
            p class="file" { (name) }
        }
    }
}

/// A caption, each word with its probability.
fn caption(hypothesis: &Hypothesis, source: &dyn Source) -> Markup {
    let vocabulary = source.vocabulary();
    let words = hypothesis.tokens.iter().zip(&hypothesis.log_probabilities);
    html! {
        p class="caption" tabindex="0" {
            @for (token, log_probability) in words {
                @let p = log_probability.exp();
                @let word = if *token == vocabulary.end() { "." } else { vocabulary.word(*token).unwrap_or("?") };
                span class="word" style=(format!("--doubt:{:.2}", 1.0 - p)) {
                    (word) small { " " (percent(p)) " " }
                }
                " "
            }
        }
    }
}

fn alternatives(others: &[Hypothesis], source: &dyn Source) -> Markup {
    html! {
        details {
            summary { (others.len()) @if others.len() == 1 { " alternative" } @else { " alternatives" } }
            ol {
                @for other in others {
                    li {
                        (source.vocabulary().decode(&other.tokens))
                        small { " score " (number(other.score)) ", probability " (percent(other.log_probability().exp())) }
                    }
                }
            }
        }
    }
}
