//! How good the caption of each picture is, by whatever the data set can be measured with.

use engine::score::{Cider, Corpus, Metric, References, spaced};
use engine_datasets::{Source, Split};

use crate::number::shown;

/// A score of each of some captions.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ImageScores {
    /// What it is called, in the middle of a sentence.
    pub(crate) name: &'static str,
    /// For each caption a number, more is better, and the words in which it is shown.
    pub(crate) scores: Vec<(f64, String)>,
}

/// A way to score captions: these of these images. `None` where the data set does not have what it takes.
type Score = fn(&dyn Source, Split, &[usize], &[String]) -> Option<ImageScores>;

/// The ways, the preferred one first.
const SCORES: [Score; 2] = [truth, cider];

/// The scores of captions, one for each image; `None` if nothing can score them.
pub(crate) fn image_scores(
    source: &dyn Source,
    split: Split,
    images: &[usize],
    captions: &[String],
) -> Option<ImageScores> {
    SCORES.iter().find_map(|score| score(source, split, images, captions))
}

/// Whether the data set's judge holds a caption true.
fn truth(
    source: &dyn Source,
    split: Split,
    images: &[usize],
    captions: &[String],
) -> Option<ImageScores> {
    let judge = source.judge()?;
    let judged = images.iter().zip(captions).map(|(image, caption)| {
        let verdict = judge.judge(split, *image, caption);
        (if verdict.is_true() { 1.0 } else { 0.0 }, verdict.to_string())
    });
    Some(ImageScores { name: "truth", scores: judged.collect() })
}

/// CIDEr (Vedantam et al. 2015) against the references of all these images; nothing where one of them has none.
fn cider(
    source: &dyn Source,
    split: Split,
    images: &[usize],
    captions: &[String],
) -> Option<ImageScores> {
    let of_image = |image: &usize| -> Vec<Vec<String>> {
        let references = source.references(split, *image);
        references.map(|tokens| spaced(&source.vocabulary().decode(tokens))).collect()
    };
    let references = References::new(&images.iter().map(of_image).collect::<Vec<_>>()).ok()?;
    let candidates: Vec<_> = captions.iter().map(|caption| spaced(caption)).collect();
    let corpus = Corpus::new(&references, &candidates).ok()?;
    let scored = Cider.score(&corpus).into_iter().next()?;
    let scores = scored.per_image.into_iter().map(|x| (x, format!("CIDEr {}", shown(x))));
    Some(ImageScores { name: "CIDEr", scores: scores.collect() })
}
