//! What is particular to a recurrent cell: its gates.

use std::fmt::Debug;

use engine_kernels::lanes::Simd;
use engine_kernels::math::Math;
use engine_kernels::panels::width;

/// The mathematics of one sequence's step, for the units of one panel.
///
/// `gates` is a row of a panel: for each gate the same units, one gate after the other, [`share`] numbers each. At the
/// edge of a cell there are fewer units than that; the other slices have just the units there are.
pub(crate) trait Cell: Debug + Copy + Send + Sync + 'static {
    /// How many gates the cell has; a power of two.
    const GATES: usize;
    /// Whether a memory c is carried beside the state h.
    const REMEMBERS: bool;

    /// From the sums of the gates to their values, in place, and on to c and h.
    fn open<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Open<'_, T>);

    /// From the gradients of h and c to those of the gates' sums, in the gates' place, and of c before the step, in that
    /// of c after it.
    fn close<T: Math, S: Simd>(self, simd: S, gates: &mut [T], step: Close<'_, T>);
}

/// A step forward. Without a memory, `c` and `c_before` are empty.
pub(crate) struct Open<'a, T> {
    pub(crate) c_before: &'a [T],
    pub(crate) c: &'a mut [T],
    pub(crate) h: &'a mut [T],
}

/// A step back. Without a memory, what begins with `c` or ends with it is empty.
pub(crate) struct Close<'a, T> {
    pub(crate) h: &'a [T],
    pub(crate) c_before: &'a [T],
    pub(crate) c: &'a [T],
    pub(crate) dh: &'a [T],
    pub(crate) dc: &'a mut [T],
}

/// Units of a cell that a panel has.
pub(crate) const fn share<T, C: Cell>() -> usize {
    width::<T>() / C::GATES
}
