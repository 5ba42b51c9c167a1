//! The numbers of an array in their order, in another shape.

use engine_core::{Backward, Forward, Kernel, Scalar};

use crate::elementwise;

/// Copies the numbers of the first port. A plan that is evaluated gives the output the array itself.
#[derive(Debug)]
pub(crate) struct View;

impl<T: Scalar> Kernel<T> for View {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::copy(cx.outputs[0].as_mut_slice(), cx.inputs[0].as_slice());
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if let Some(dx) = cx.input_gradients.get(0) {
            elementwise::add(dx.as_mut_slice(), cx.output_gradients[0].as_slice());
        }
    }
}
