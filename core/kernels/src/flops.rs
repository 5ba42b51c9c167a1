//! How many floating-point operations matrix products have taken: a multiplication and an addition for each term.
//!
//! Whoever asks for a product counts it, on the thread that asks. Everything else that a network computes is of a lower
//! order and not counted.

use std::cell::Cell;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// Counts the product of a `[rows, depth]` and a `[depth, columns]` matrix.
pub fn count_product(rows: usize, depth: usize, columns: usize) {
    COUNT.set(COUNT.get() + 2 * rows as u64 * depth as u64 * columns as u64);
}

/// The operations that this thread has counted so far.
pub fn counted() -> u64 {
    COUNT.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_two_operations() {
        let before = counted();
        count_product(3, 4, 5);
        assert_eq!(counted() - before, 120);
    }
}
