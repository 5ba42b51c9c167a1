//! Batches that are prepared on a thread of their own while the caller works on the one before.

use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use engine_core::Batch;
use engine_datasets::{Order, Source, Split};

/// Which batches, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The split they come from.
    pub split: Split,
    /// How an epoch goes through its captions.
    pub order: Order,
    /// Decides the order.
    pub seed: u64,
    /// Captions a batch; at least one.
    pub rows: usize,
    /// Batches that come before the first one: those that a run had drawn when it stopped.
    pub skip: u64,
    /// Batches in all after those, over as many epochs as it takes.
    pub batches: u64,
}

/// A batch and where it stands.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Drawn {
    /// The epoch that it belongs to, from 1.
    pub epoch: u64,
    /// Its captions; the last batch of an epoch may have fewer than the others.
    pub rows: usize,
    /// What [`Source::fill`] has written.
    pub batch: Batch,
}

/// The batches of a [`Draw`], one after the other; [`with_batches`] makes it.
///
/// Two batches go back and forth between the caller and the thread that fills them: the caller has one, the thread
/// prepares the next in the other. Once both have been as large as they get, neither side allocates, save for the order
/// of each epoch. Which rows make up a batch depends on the draw alone.
#[derive(Debug)]
pub struct Batches<'scope> {
    now: Drawn,
    waited: Duration,
    // Nothing once the thread has ended or is to end; dropping the channels is what tells it to.
    thread: Option<Filler<'scope>>,
}

/// The thread that fills batches, and the channels to it and from it.
#[derive(Debug)]
struct Filler<'scope> {
    used: SyncSender<Drawn>,
    filled: Receiver<Drawn>,
    handle: ScopedJoinHandle<'scope, ()>,
}

/// Calls `work` with the batches of `draw` from `source`, and returns what it returns.
///
/// The thread that fills them ends with the last one or when `work` returns, whichever is first. Time that `work` spends
/// on one batch hides the making of the next.
///
/// # Panics
/// As `work` does, and where the source does: [`Batches::next`] passes its panic on.
pub fn with_batches<R>(
    source: &dyn Source,
    draw: Draw,
    work: impl FnOnce(&mut Batches<'_>) -> R,
) -> R {
    thread::scope(|scope| work(&mut Batches::new(scope, source, draw)))
}

impl<'scope> Batches<'scope> {
    fn new<'env>(scope: &'scope Scope<'scope, 'env>, source: &'env dyn Source, draw: Draw) -> Self {
        // Bounded channels have their room from the start: sending takes no memory.
        let (used, to_fill) = sync_channel(1);
        let (done, filled) = sync_channel(1);
        let handle = scope.spawn(move || fill(source, draw, &to_fill, &done));
        let thread = Some(Filler { used, filled, handle });
        Batches { now: Drawn::default(), waited: Duration::ZERO, thread }
    }

    /// The next batch, or nothing after the last one.
    ///
    /// # Panics
    /// As the source does while it fills the batch.
    #[expect(clippy::should_implement_trait, reason = "an iterator cannot lend its own batch")]
    pub fn next(&mut self) -> Option<&Drawn> {
        let filler = self.thread.as_ref()?;
        let asked = Instant::now();
        let next = filler.filled.recv();
        self.waited += asked.elapsed();
        match next {
            Ok(next) => {
                let used = std::mem::replace(&mut self.now, next);
                // A thread that has made its last batch takes none back.
                let _ = filler.used.send(used);
                Some(&self.now)
            }
            Err(_) => {
                self.end().unwrap_or_else(|panic| resume_unwind(panic));
                None
            }
        }
    }

    /// The time that [`next`](Self::next) has waited for batches in all, the first one's making included.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// Tells the thread to end, waits until it has, and returns its panic if it had one.
    fn end(&mut self) -> thread::Result<()> {
        let Some(Filler { used, filled, handle }) = self.thread.take() else { return Ok(()) };
        drop((used, filled));
        handle.join()
    }
}

impl Drop for Batches<'_> {
    fn drop(&mut self) {
        // A panic over a batch that nobody has asked for is nobody's concern: a caller with an error of its own reports
        // that one.
        let _ = self.end();
    }
}

/// What the thread does: fills a batch ahead, then every one that comes back, until there are enough or nobody listens.
fn fill(source: &dyn Source, draw: Draw, used: &Receiver<Drawn>, filled: &SyncSender<Drawn>) {
    let captions = source.captions(draw.split);
    let per_epoch = draw.order.batches(captions, draw.rows) as u64;
    let (mut left, mut skip) = (draw.batches, draw.skip % per_epoch.max(1));
    let mut next = Drawn::default();
    for epoch in draw.skip / per_epoch.max(1).. {
        if left == 0 || per_epoch == 0 {
            return;
        }
        let order = draw.order.epoch(draw.seed, epoch, captions, draw.rows);
        for rows in order.batches().skip(std::mem::take(&mut skip) as usize) {
            source.fill(draw.split, rows, &mut next.batch);
            (next.epoch, next.rows) = (epoch + 1, rows.len());
            left -= 1;
            if filled.send(next).is_err() || left == 0 {
                return;
            }
            match used.recv() {
                Ok(back) => next = back,
                Err(_) => return,
            }
        }
    }
}
