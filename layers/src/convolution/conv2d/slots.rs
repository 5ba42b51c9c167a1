//! Work that needs memory of its own, shared out.

use std::ops::Range;

use engine_kernels::team;

/// How many parts of some work have memory of their own: at most so many threads share it.
pub(super) const SLOTS: usize = 8;

/// Calls `f` with neighbouring numbers below `count` and a slot's memory, of `length` each, for all slots that there is
/// work for.
pub(super) fn for_each_slot<T: Send>(
    memory: &mut [T],
    length: usize,
    count: usize,
    f: impl Fn(Range<usize>, &mut [T]) + Sync,
) {
    let slots = SLOTS.min(count);
    team::for_each_chunk_mut(&mut memory[..slots * length], length, |slot, memory| {
        f(slot * count / slots..(slot + 1) * count / slots, memory);
    });
}
