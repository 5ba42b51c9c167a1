//! The loss on captions that training never sees.

use engine_core::engine::{Engine, FeedError};
use engine_core::{Batch, Mode, Scalar};
use engine_datasets::{Source, Split};

use crate::train::Stop;

/// The mean loss over all captions of a split, in nats a caption for a loss that is summed over words; nothing if someone
/// asks to stop meanwhile.
///
/// # Errors
/// When the data does not fit the network.
pub fn validate<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    split: Split,
    batch_rows: usize,
    stop: &Stop,
) -> Result<Option<f64>, FeedError> {
    let rows: Vec<usize> = (0..source.captions(split)).collect();
    let mut batch = Batch::new();
    let mut sum = 0.0;
    for rows in rows.chunks(batch_rows.max(1)) {
        if stop.asked().is_some() {
            return Ok(None);
        }
        source.fill(split, rows, &mut batch);
        engine.forward(&batch, Mode::Eval)?;
        sum += engine.loss().unwrap_or(f64::NAN) * rows.len() as f64;
    }
    Ok(Some(sum / rows.len() as f64))
}
