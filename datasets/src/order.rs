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
    /// The captions as they lie, side by side in as many streams as a batch has rows: row `s` of batch `k` is the `k`-th
    /// caption of stream `s`, so that every batch goes on where the one before it ended. Every batch is full; an epoch has
    /// `captions / batch` of them, rounded down, and leaves out what remains. It is the same in every epoch.
    Streams,
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
            Order::Streams => {
                let length = captions / batch;
                (0..length).flat_map(|k| (0..batch).map(move |s| s * length + k)).collect()
            }
        };
        Epoch { rows, batch }
    }

    /// The batches in which captions are gone through to be measured: as they lie, or in streams, of which there are at
    /// most as many as captions.
    pub fn measured(self, captions: usize, batch: usize) -> Epoch {
        let batch = batch.max(1);
        match self {
            Order::Shuffled | Order::WithReplacement => {
                Epoch { rows: (0..captions).collect(), batch }
            }
            Order::Streams => self.epoch(0, 0, captions, batch.min(captions)),
        }
    }

    /// The number of batches in an epoch, without drawing them.
    pub fn batches(self, captions: usize, batch: usize) -> usize {
        let batch = batch.max(1);
        match self {
            Order::Shuffled => captions.div_ceil(batch),
            Order::WithReplacement if captions == 0 => 0,
            Order::WithReplacement => (captions / batch).max(1),
            Order::Streams => captions / batch,
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
    fn streams_go_on_where_they_ended() {
        for (captions, batch) in [(23, 4), (8, 8), (7, 8), (0, 3), (5, 1)] {
            let epoch = Order::Streams.epoch(1, 0, captions, batch);
            assert_eq!(epoch.len(), Order::Streams.batches(captions, batch));
            assert_eq!(epoch, Order::Streams.epoch(2, 7, captions, batch));
            let mut seen: Vec<usize> = epoch.batches().flatten().copied().collect();
            for pair in epoch.batches().collect::<Vec<_>>().windows(2) {
                assert!(pair[0].iter().zip(pair[1]).all(|(a, b)| a + 1 == *b));
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..captions / batch * batch).collect::<Vec<_>>());
        }
    }

    #[test]
    fn captions_are_measured_as_they_lie_or_in_streams() {
        let rows = |order: Order, captions, batch| {
            order.measured(captions, batch).batches().map(<[usize]>::to_vec).collect::<Vec<_>>()
        };
        assert_eq!(rows(Order::Shuffled, 5, 2), [vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(rows(Order::Streams, 5, 2), [[0, 2], [1, 3]]);
        assert_eq!(rows(Order::Streams, 2, 9), [[0, 1]]);
        assert!(rows(Order::Streams, 0, 9).is_empty());
    }

    #[test]
    fn a_batch_of_none_is_a_batch_of_one() {
        assert_eq!(Order::Shuffled.epoch(1, 0, 3, 0).len(), 3);
        assert_eq!(Order::Shuffled.epoch(1, 0, 3, usize::MAX).len(), 1);
    }
}
