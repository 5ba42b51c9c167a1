//! Which pictures a gallery shows.

use engine::Captioner;
use engine::decode::{DecodeError, DecodeScalar, Decoder, Hypothesis};
use engine_core::graph::Document;
use engine_core::{Tagged, engine::Engine};
use engine_datasets::{Source, Split};
use rand::SeedableRng;
use rand::seq::index::sample;
use rand_chacha::ChaCha8Rng;

use crate::image_score::{ImageScores, image_scores};

/// Pictures with their captions, and why they are shown.
pub(crate) struct Group {
    /// A heading.
    pub(crate) title: String,
    pub(crate) shown: Vec<Shown>,
}

/// A picture with its captions.
pub(crate) struct Shown {
    /// The image, from 0 within its split.
    pub(crate) image: usize,
    /// Sentences, the best first.
    pub(crate) hypotheses: Vec<Hypothesis>,
    /// What the score says of the best.
    pub(crate) verdict: Option<String>,
}

/// The split that galleries show.
pub(crate) const SPLIT: Split = Split::Val;
/// The most pictures among which the best and the worst are looked for.
const CANDIDATES: usize = 2000;
/// Decides which pictures are looked at, and which are shown at random.
const SEED: u64 = 0;
/// Where the run's decoder offers one sentence only, alternatives come from this one.
const ALTERNATIVES: &str = "Beam(width: 3, best: 3)";

/// Up to `count` of the best, of the worst, and of all.
pub(crate) fn select<T: DecodeScalar>(
    engine: &Engine<T>,
    source: &dyn Source,
    decoder: &dyn Decoder,
    count: usize,
) -> Result<Vec<Group>, DecodeError> {
    let images = some_of(source.images(SPLIT), CANDIDATES);
    let mut captioner = Captioner::new(engine, source, decoder)?;
    let hypotheses = captioner.hypotheses(source, SPLIT, &images)?;
    let sentence = |all: &Vec<Hypothesis>| source.vocabulary().decode(&all[0].tokens);
    let captions: Vec<String> = hypotheses.iter().map(sentence).collect();
    let scores = image_scores(source, SPLIT, &images, &captions);
    let mut chosen = Vec::new();
    if let Some(scores) = &scores {
        let ranked = ranked(&scores.scores, &hypotheses);
        let (best, worst) = ends(&ranked, count);
        chosen.push((format!("The best by {}", scores.name), best));
        chosen.push((format!("The worst by {}", scores.name), worst));
    }
    chosen.push(("At random".to_owned(), some_of(images.len(), count)));
    let mut groups: Vec<Group> = chosen
        .into_iter()
        .map(|(title, places)| Group {
            title,
            shown: places
                .iter()
                .map(|at| shown(images[*at], &hypotheses[*at], *at, &scores))
                .collect(),
        })
        .collect();
    if hypotheses.iter().all(|all| all.len() == 1) {
        add_alternatives(engine, source, &mut groups)?;
    }
    Ok(groups)
}

fn shown(image: usize, all: &[Hypothesis], at: usize, scores: &Option<ImageScores>) -> Shown {
    let verdict = scores.as_ref().map(|scores| scores.scores[at].1.clone());
    Shown { image, hypotheses: all.to_vec(), verdict }
}

/// The best sentences of a decoder that offers several, behind those that are there.
fn add_alternatives<T: DecodeScalar>(
    engine: &Engine<T>,
    source: &dyn Source,
    groups: &mut [Group],
) -> Result<(), DecodeError> {
    let document = Document::new("alternatives", ALTERNATIVES);
    let Ok(decoder) = document.parse::<Tagged<dyn Decoder>>(document.text()) else {
        return Ok(());
    };
    let mut captioner = Captioner::new(engine, source, &*decoder)?;
    for group in groups {
        let images: Vec<usize> = group.shown.iter().map(|shown| shown.image).collect();
        let found = captioner.hypotheses(source, SPLIT, &images)?;
        for (shown, found) in group.shown.iter_mut().zip(found) {
            let new = found.into_iter().filter(|h| h.tokens != shown.hypotheses[0].tokens);
            let new: Vec<Hypothesis> = new.collect();
            shown.hypotheses.extend(new);
        }
    }
    Ok(())
}

/// Some of `0..all`, in order, the same ones each time.
fn some_of(all: usize, count: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut some = sample(&mut rng, all, count.min(all)).into_vec();
    some.sort_unstable();
    some
}

/// The places of captions, the best score first; of equal scores the likelier, then the earlier.
fn ranked(scores: &[(f64, String)], hypotheses: &[Vec<Hypothesis>]) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> =
        scores.iter().enumerate().map(|(at, (score, _))| (at, *score)).collect();
    let likely = |at: usize| hypotheses[at][0].log_probability();
    ranked.sort_by(|(a, x), (b, y)| {
        y.total_cmp(x).then_with(|| likely(*b).total_cmp(&likely(*a))).then(a.cmp(b))
    });
    ranked
}

/// The first and the last of a ranking, each from its end, without an overlap; among the last, of equal scores the
/// likelier comes first, because a wrong caption that the network is sure of tells most.
fn ends(ranked: &[(usize, f64)], count: usize) -> (Vec<usize>, Vec<usize>) {
    let count_best = count.min(ranked.len().div_ceil(2));
    let (best, rest) = ranked.split_at(count_best);
    let mut worst = rest.to_vec();
    // The sort is stable, so that equals stay in their order.
    worst.sort_by(|(_, x), (_, y)| x.total_cmp(y));
    worst.truncate(count);
    let places = |all: &[(usize, f64)]| all.iter().map(|(at, _)| *at).collect();
    (places(best), places(&worst))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_do_not_overlap() {
        let ranked: Vec<(usize, f64)> = [(7, 1.0), (2, 1.0), (0, 0.5), (1, 0.0), (3, 0.0)].to_vec();
        assert_eq!(ends(&ranked, 2), (vec![7, 2], vec![1, 3]));
        assert_eq!(ends(&ranked, 9), (vec![7, 2, 0], vec![1, 3]));
        assert_eq!(ends(&[], 3), (vec![], vec![]));
    }

    #[test]
    fn equals_are_ranked_by_likelihood() {
        let hypothesis = |p: f64| {
            vec![Hypothesis {
                tokens: vec![1],
                log_probabilities: vec![p],
                score: p,
                ..Hypothesis::default()
            }]
        };
        let hypotheses = [hypothesis(-3.0), hypothesis(-1.0), hypothesis(-2.0)];
        let scores = [(1.0, String::new()), (1.0, String::new()), (2.0, String::new())];
        let places: Vec<usize> = ranked(&scores, &hypotheses).into_iter().map(|r| r.0).collect();
        assert_eq!(places, [2, 1, 0]);
    }

    #[test]
    fn some_are_the_same_each_time() {
        let some = some_of(1000, 20);
        assert_eq!(some, some_of(1000, 20));
        assert!(some.len() == 20 && some.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(some_of(3, 20), [0, 1, 2]);
    }
}
