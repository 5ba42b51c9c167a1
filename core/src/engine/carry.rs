//! Values that go from one batch to the next.

use super::carried::Carried;
use super::network::Engine;
use crate::scalar::Scalar;

impl<T: Scalar> Engine<T> {
    /// Carries the values of the last [`forward`](Self::forward) over to the next, as the section `carry` of the graph
    /// says. No gradient goes back the same way. Without a call, the next batch begins where the last one began.
    pub fn carry(&mut self) {
        if !self.program.carries.is_empty() {
            self.carried.keep(&self.memory, &self.program);
        }
    }

    /// Begins anew: for the next batch, whatever is carried is 0. Returns what was carried before, with which
    /// [`remember`](Self::remember) continues.
    pub fn forget(&mut self) -> Carried<T> {
        std::mem::take(&mut self.carried)
    }

    /// Continues with what [`forget`](Self::forget) has returned, from the same network.
    pub fn remember(&mut self, carried: Carried<T>) {
        self.carried = carried;
    }
}
