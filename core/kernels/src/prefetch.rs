//! Memory that will be read soon.

/// Bytes in a cache line.
const LINE: usize = 64;

/// Asks for these numbers to come into the cache while something else is computed. It is a hint and changes nothing.
#[inline(always)]
pub fn prefetch<T>(numbers: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for at in (0..size_of_val(numbers)).step_by(LINE) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let byte = numbers.as_ptr().cast::<i8>().wrapping_add(at);
        // SAFETY: every processor of this architecture has the instruction, and it takes any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(byte) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (numbers, LINE);
}
