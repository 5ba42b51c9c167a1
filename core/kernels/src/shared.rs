//! An array that several threads write at once.

use std::marker::PhantomData;
use std::ops::Range;

/// A mutable slice of which several threads take parts at the same time, each its own: columns of a matrix, say, which
/// no split of a slice can express.
#[derive(Debug)]
pub struct Shared<'a, T> {
    start: *mut T,
    length: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: a `Shared` stands for the exclusive borrow that it was made from; handing parts of it to threads is handing
// them mutable slices, which `T: Send` allows. That parts do not overlap is the promise of whoever calls `part`.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    /// The whole slice, to be taken in parts.
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { start: slice.as_mut_ptr(), length: slice.len(), lifetime: PhantomData }
    }

    /// How many elements there are.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements of `range`.
    ///
    /// # Panics
    /// When the range ends beyond the slice.
    ///
    /// # Safety
    /// As long as the part lives, no other part has an element of the range.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that parts do not overlap")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part of the slice");
        // SAFETY: the range lies within the slice that `self` borrows mutably, and the caller promises that nobody else
        // has an element of it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of an element, from which all elements can be reached.
    ///
    /// # Panics
    /// When there is no such element.
    pub fn pointer(&self, at: usize) -> *mut T {
        assert!(at < self.length, "an element of the slice");
        // SAFETY: the element lies within the slice.
        unsafe { self.start.add(at) }
    }

    /// The elements of `range`, to be read.
    ///
    /// # Panics
    /// When the range ends beyond the slice.
    ///
    /// # Safety
    /// As long as what is returned lives, nobody has a part to change with an element of the range.
    pub unsafe fn read(&self, range: Range<usize>) -> &[T] {
        assert!(range.start <= range.end && range.end <= self.length, "a part of the slice");
        // SAFETY: the range lies within the slice that `self` borrows mutably, and the caller promises that nobody changes
        // an element of it.
        unsafe { std::slice::from_raw_parts(self.start.add(range.start), range.len()) }
    }

    /// The first element's address.
    pub(crate) fn start(&self) -> *mut T {
        self.start
    }
}
