//! The allocator of the command: the system's, with a count of what it is asked for.

use std::alloc::{GlobalAlloc, Layout, System};

use engine::allocations::add_one;

/// The system's allocator, whose requests [`engine::allocations`] counts, of all threads together.
#[derive(Debug)]
pub(crate) struct Counting;

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

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use engine::allocations::count;

    #[test]
    fn the_program_counts_what_it_asks_for() {
        let before = count().expect("the program has begun, so something was allocated");
        let kept = black_box(vec![1; 10]);
        assert!(count() > Some(before));
        drop(kept);
    }
}
