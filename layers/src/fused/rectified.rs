//! An operation whose numbers end as their positive parts.

use engine_core::context::Forward;
use engine_core::{Backward, Kernel, Scalar};

use crate::elementwise;

/// max(0, y) of what another operation computes, taken in place. For networks that are not trained.
#[derive(Debug)]
pub(crate) struct Rectified<K>(pub(crate) K);

impl<T: Scalar, K: Kernel<T>> Kernel<T> for Rectified<K> {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.0.forward(cx);
        cx.outputs
            .iter_mut()
            .for_each(|y| elementwise::change(y.as_mut_slice(), elementwise::relu));
    }

    fn backward(&self, _: &mut Backward<'_, T>) {
        unreachable!("a plan that is evaluated has no way back")
    }
}
