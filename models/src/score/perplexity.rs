//! How well a network foretells what people write.

use engine_core::engine::{Engine, FeedError};
use engine_core::{Batch, Mode, Scalar};
use engine_datasets::{Source, Split};

use crate::decode::{SCORES, log_probabilities};

/// Captions at once.
const ROWS: usize = 100;

/// The perplexity of a split's captions: as if each word were one of so many equally likely ones.
///
/// ```text
/// exp(-(sum over words of log p[word]) / number of words)
/// ```
///
/// Words are those of `words_out`, `<END>` counted and `<NULL>` not; p is the softmax of the value `scores`, whatever the loss
/// of the graph is. `None` where the network has no such value with a row for each word, or the split no word.
///
/// The engine runs the plan as it is written, without passes: they may leave `scores` out.
///
/// # Errors
/// When the data does not fit the network.
pub fn perplexity<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    split: Split,
) -> Result<Option<f64>, FeedError> {
    let program = engine.program();
    let Some(scores) = program.output(SCORES).or_else(|| program.value(SCORES)) else {
        return Ok(None);
    };
    let null = source.vocabulary().null();
    let captions: Vec<usize> = (0..source.captions(split)).collect();
    let mut batch = Batch::new();
    let (mut sum, mut words) = (0.0, 0_usize);
    for captions in captions.chunks(ROWS) {
        source.fill(split, captions, &mut batch);
        engine.forward(&batch, Mode::Eval)?;
        let targets = captions.iter().flat_map(|caption| &source.caption(split, *caption)[1..]);
        let targets: Vec<u32> = targets.copied().collect();
        let scores = engine.value(scores).rows();
        if scores.nrows() != targets.len() || scores.ncols() < source.vocabulary().len() {
            return Ok(None);
        }
        let mut logarithms = vec![0.0; targets.len()];
        log_probabilities(scores, &targets, &mut logarithms);
        let counted = logarithms.iter().zip(&targets).filter(|(_, target)| **target != null);
        words += counted.clone().count();
        sum -= counted.map(|(logarithm, _)| logarithm).sum::<f64>();
    }
    Ok((words > 0).then(|| (sum / words as f64).exp()))
}
