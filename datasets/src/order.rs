//! Which captions make up each batch of an epoch.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, Stream};

/// How an epoch goes through the training captions.
///
/// The order depends on the seed and on the number of the epoch alone: epoch 7 can be drawn without drawing the six
/// before it, so a resumed run sees exactly the batches that an uninterrupted one would have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Order {
    /// Every caption once, in a new order each epoch. The last batch holds what is left and may be smaller.
    #[default]
    Shuffled,
    /// Each row drawn from all captions, so that some come twice and some not at all. Every batch is full, and an
    /// epoch has `captions / batch` of them, rounded down, but at least one.
    WithReplacement,
}

impl Order {
    /// The batches of epoch `epoch`, for `captions` rows and batches of `batch` rows (at least one).
    pub fn epoch(self, seed: u64, epoch: u64, captions: usize, batch: usize) -> Epoch {
        let batch = batch.max(1);
        let mut stream = Stream::new(seed, Purpose::Order, epoch);
        let rows = match self {
            Order::Shuffled => {
                let mut rows: Vec<usize> = (0..captions).collect();
                stream.shuffle(&mut rows);
                rows
            }
            Order::WithReplacement if captions == 0 => Vec::new(),
            Order::WithReplacement => {
                let drawn = (captions / batch).max(1) * batch;
                (0..drawn).map(|_| stream.below(captions)).collect()
            }
        };
        Epoch { rows, batch }
    }

    /// The number of batches in an epoch, without drawing them.
    pub fn batches(self, captions: usize, batch: usize) -> usize {
        let batch = batch.max(1);
        match self {
            Order::Shuffled => captions.div_ceil(batch),
            Order::WithReplacement if captions == 0 => 0,
            Order::WithReplacement => (captions / batch).max(1),
        }
    }
}

/// The rows of one epoch, batch after batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    rows: Vec<usize>,
    batch: usize,
}

impl Epoch {
    /// The number of batches.
    pub fn len(&self) -> usize {
        self.rows.len().div_ceil(self.batch)
    }

    /// Whether there is no batch at all.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows of batch `index`; none if the epoch is shorter.
    pub fn batch(&self, index: usize) -> &[usize] {
        let start = index.saturating_mul(self.batch).min(self.rows.len());
        let end = start.saturating_add(self.batch).min(self.rows.len());
        &self.rows[start..end]
    }

    /// The batches in order.
    pub fn batches(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.rows.chunks(self.batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_holds_every_row_once() {
        for seed in 0..40 {
            let mut draw = Stream::new(seed, Purpose::Subset, 0);
            let (captions, batch) = (draw.below(300), 1 + draw.below(40));
            let epoch = Order::Shuffled.epoch(seed, 5, captions, batch);
            assert_eq!(epoch.len(), Order::Shuffled.batches(captions, batch), "seed {seed}");
            let mut rows: Vec<_> = epoch.batches().flatten().copied().collect();
            assert_eq!(epoch.batches().flatten().count(), captions);
            rows.sort_unstable();
            assert_eq!(rows, (0..captions).collect::<Vec<_>>(), "seed {seed}");
            for (i, rows) in epoch.batches().enumerate() {
                assert_eq!(rows, epoch.batch(i));
                assert!(rows.len() == batch || i + 1 == epoch.len(), "seed {seed}");
            }
            assert!(epoch.batch(epoch.len()).is_empty());
        }
    }

    #[test]
    fn an_epoch_does_not_depend_on_those_before_it() {
        let order = Order::Shuffled;
        assert_eq!(order.epoch(3, 9, 50, 7), order.epoch(3, 9, 50, 7));
        assert_ne!(order.epoch(3, 9, 50, 7), order.epoch(3, 8, 50, 7));
        assert_ne!(order.epoch(3, 9, 50, 7), order.epoch(4, 9, 50, 7));
    }

    #[test]
    fn with_replacement_fills_every_batch() {
        for (captions, batch, batches) in [(100, 30, 3), (10, 25, 1), (0, 5, 0)] {
            let epoch = Order::WithReplacement.epoch(1, 0, captions, batch);
            assert_eq!(epoch.len(), batches);
            assert_eq!(Order::WithReplacement.batches(captions, batch), batches);
            assert!(epoch.batches().all(|rows| rows.len() == batch));
            assert!(epoch.batches().flatten().all(|row| *row < captions));
        }
    }

    #[test]
    fn a_batch_of_none_is_a_batch_of_one() {
        assert_eq!(Order::Shuffled.epoch(1, 0, 3, 0).len(), 3);
        assert_eq!(Order::Shuffled.epoch(1, 0, 3, usize::MAX).len(), 1);
    }
}
