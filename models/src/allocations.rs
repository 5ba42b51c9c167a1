//! A count of what the program asks its allocator for.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

/// The system's allocator with a count, of all threads together. It counts where a program installs it, as `engine`
/// does:
///
/// ```
/// #[global_allocator]
/// static ALLOCATOR: engine::allocations::Counting = engine::allocations::Counting;
///
/// let before = engine::allocations::count().expect("the program has begun, so something was allocated");
/// let kept = vec![1; 10];
/// assert!(engine::allocations::count() > Some(before));
/// # drop(kept);
/// ```
#[derive(Debug)]
pub struct Counting;

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

fn add_one() {
    COUNT.0.fetch_add(1, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator as it is; counting allocates nothing and cannot unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add_one();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are the system's.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        add_one();
        // SAFETY: the caller's promises are the system's.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
