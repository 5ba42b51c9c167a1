//! Work that needs memory of its own, shared out.

use engine_kernels::team::{self, Chunks, DisjointChunks, Share};

/// How many parts of some work have memory of their own: at most so many threads share it.
pub(super) const SLOTS: usize = 8;

/// Calls `f` with a share of neighbouring chunks and a slot's memory, of `length` each, for all slots that there is work
/// for.
pub(super) fn for_each_slot<C: DisjointChunks, T: Send>(
    memory: &mut [T],
    length: usize,
    chunks: C,
    f: impl Fn(Share<'_, C>, &mut [T]) + Sync,
) {
    let slots = SLOTS.min(chunks.count());
    team::for_each_share(chunks, Chunks::new(&mut memory[..slots * length], length), f);
}
