//! Arrays that are cut into chunks which members change side by side.

use std::marker::PhantomData;
use std::ops::Range;

/// Something cut into numbered chunks that do not overlap.
///
/// # Safety
/// Chunks of different numbers below [`count`](DisjointChunks::count) have no element in common, so that threads can have
/// one each.
pub unsafe trait DisjointChunks: Sync {
    /// One chunk, exclusive to whoever has it.
    type Chunk;

    /// How many chunks there are.
    fn count(&self) -> usize;

    /// The chunk of a number.
    ///
    /// # Safety
    /// The number must be below [`DisjointChunks::count`], and no chunk may be had twice at the same time.
    unsafe fn chunk(&self, at: usize) -> Self::Chunk;
}

/// A slice cut into chunks of the same length, up to the last.
pub struct Chunks<'a, T> {
    items: *mut T,
    len: usize,
    chunk: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: sharing it hands chunks to other threads, each to one of them, which is to send `&mut [T]`.
unsafe impl<T: Send> Sync for Chunks<'_, T> {}

impl<'a, T> Chunks<'a, T> {
    /// A slice in chunks of `chunk` items.
    ///
    /// # Panics
    /// When chunks are to have no items.
    pub fn new(items: &'a mut [T], chunk: usize) -> Self {
        assert!(chunk > 0, "chunks of at least one item");
        Chunks { items: items.as_mut_ptr(), len: items.len(), chunk, borrow: PhantomData }
    }
}

// SAFETY: a chunk begins where the one before it ends.
unsafe impl<'a, T: Send> DisjointChunks for Chunks<'a, T> {
    type Chunk = &'a mut [T];

    fn count(&self) -> usize {
        self.len.div_ceil(self.chunk)
    }

    unsafe fn chunk(&self, at: usize) -> &'a mut [T] {
        let start = at * self.chunk;
        debug_assert!(start < self.len, "a chunk that there is");
        let len = self.chunk.min(self.len - start);
        // SAFETY: the chunk lies within the slice that is borrowed for 'a, and the caller has it only once at a time.
        unsafe { std::slice::from_raw_parts_mut(self.items.add(start), len) }
    }
}

// SAFETY: a chunk consists of the chunks of this number, which belong to different borrows.
unsafe impl<C: DisjointChunks, const N: usize> DisjointChunks for [C; N] {
    type Chunk = [C::Chunk; N];

    /// Without arrays there is no end to what they are cut into.
    fn count(&self) -> usize {
        same(self.iter().map(C::count))
    }

    unsafe fn chunk(&self, at: usize) -> Self::Chunk {
        // SAFETY: the caller's promises.
        std::array::from_fn(|array| unsafe { self[array].chunk(at) })
    }
}

// SAFETY: a chunk consists of the chunks of this number, which belong to different borrows.
unsafe impl<A: DisjointChunks, B: DisjointChunks> DisjointChunks for (A, B) {
    type Chunk = (A::Chunk, B::Chunk);

    fn count(&self) -> usize {
        same([self.0.count(), self.1.count()].into_iter())
    }

    unsafe fn chunk(&self, at: usize) -> Self::Chunk {
        // SAFETY: the caller's promises.
        unsafe { (self.0.chunk(at), self.1.chunk(at)) }
    }
}

// SAFETY: a chunk consists of the chunks of this number, which belong to different borrows.
unsafe impl<A: DisjointChunks, B: DisjointChunks, C: DisjointChunks> DisjointChunks for (A, B, C) {
    type Chunk = (A::Chunk, B::Chunk, C::Chunk);

    fn count(&self) -> usize {
        same([self.0.count(), self.1.count(), self.2.count()].into_iter())
    }

    unsafe fn chunk(&self, at: usize) -> Self::Chunk {
        // SAFETY: the caller's promises.
        unsafe { (self.0.chunk(at), self.1.chunk(at), self.2.chunk(at)) }
    }
}

// SAFETY: a chunk is one of the same number, or none.
unsafe impl<C: DisjointChunks> DisjointChunks for Option<C> {
    type Chunk = Option<C::Chunk>;

    /// Without an array there is no end to what it is cut into.
    fn count(&self) -> usize {
        self.as_ref().map_or(usize::MAX, C::count)
    }

    unsafe fn chunk(&self, at: usize) -> Self::Chunk {
        // SAFETY: the caller's promises.
        self.as_ref().map(|chunks| unsafe { chunks.chunk(at) })
    }
}

/// Neighbouring chunks, which come one after the other with their numbers.
pub struct Share<'a, C> {
    chunks: &'a C,
    left: Range<usize>,
}

impl<'a, C: DisjointChunks> Share<'a, C> {
    /// The chunks of these numbers.
    ///
    /// # Safety
    /// There are such chunks, and as long as any that came lives, nobody else has it.
    pub(super) unsafe fn new(chunks: &'a C, left: Range<usize>) -> Self {
        Share { chunks, left }
    }

    /// The numbers of the chunks that are left.
    pub fn numbers(&self) -> Range<usize> {
        self.left.clone()
    }
}

impl<C: DisjointChunks> Iterator for Share<'_, C> {
    type Item = (usize, C::Chunk);

    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let at = self.left.next()?;
        // SAFETY: each number comes once, and whoever made the share promised that its chunks are nobody else's.
        Some((at, unsafe { self.chunks.chunk(at) }))
    }
}

/// The count of every array that has one.
fn same(counts: impl Iterator<Item = usize>) -> usize {
    let mut counts = counts.filter(|count| *count != usize::MAX);
    let first = counts.next().unwrap_or(usize::MAX);
    assert!(counts.all(|count| count == first), "as many chunks of each array");
    first
}
