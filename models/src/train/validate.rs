//! The loss on captions that training never sees.

use engine_core::engine::{Engine, FeedError};
use engine_core::{Batch, Mode, Scalar};
use engine_datasets::{Order, Source, Split};

use super::stop::Stop;

/// The mean loss over all captions of a split, in nats a caption for a loss that is summed over words; nothing if someone
/// asks to stop meanwhile.
///
/// Captions are taken as they lie, or, in the order [`Streams`](Order::Streams), as many streams side by side as a batch
/// has rows. What the network carries from batch to batch begins anew; afterwards it is what it was before.
///
/// # Errors
/// When the data does not fit the network.
pub fn validate<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    split: Split,
    (order, rows): (Order, usize),
    stop: &Stop,
) -> Result<Option<f64>, FeedError> {
    let before = engine.forget();
    let loss = mean_loss(engine, source, split, (order, rows), stop);
    engine.remember(before);
    loss
}

fn mean_loss<T: Scalar>(
    engine: &mut Engine<T>,
    source: &dyn Source,
    split: Split,
    (order, rows): (Order, usize),
    stop: &Stop,
) -> Result<Option<f64>, FeedError> {
    let epoch = order.measured(source.captions(split), rows);
    let (mut sum, mut count, mut batch) = (0.0, 0, Batch::new());
    for rows in epoch.batches() {
        if stop.asked().is_some() {
            return Ok(None);
        }
        source.fill(split, rows, &mut batch);
        engine.forward(&batch, Mode::Eval)?;
        engine.carry();
        sum += engine.loss().unwrap_or(f64::NAN) * rows.len() as f64;
        count += rows.len();
    }
    Ok(Some(sum / count as f64))
}
