//! A count of what the program asks its allocator for, where its allocator counts: that of the command does.

use std::sync::atomic::{AtomicU64, Ordering};

/// Alone on its cache line, so that counting slows down nothing that lies beside it.
#[repr(align(128))]
struct Counter(AtomicU64);

static COUNT: Counter = Counter(AtomicU64::new(0));

/// How often memory was asked for or resized since the program began; `None` where nothing counts.
pub fn count() -> Option<u64> {
    match COUNT.0.load(Ordering::Relaxed) {
        0 => None,
        count => Some(count),
    }
}

/// Counts a request, as the program's allocator is to do for each. It allocates nothing.
pub fn add_one() {
    COUNT.0.fetch_add(1, Ordering::Relaxed);
}
