//! A layer's mathematics.

use std::fmt::Debug;

use super::context::{Backward, Forward, Step};

/// The mathematics of a form of a layer in the number type `T`, written once for every [`Scalar`](crate::Scalar).
///
/// Kernels are infallible: the engine has checked every shape at planning and every token when it was fed.
pub trait Kernel<T>: Send + Sync {
    /// Computes the outputs, and whatever the backward pass wants to find in `saved`.
    ///
    /// Outputs, saved values and scratch hold unspecified numbers when it is called.
    fn forward(&self, cx: &mut Forward<'_, T>);

    /// *Adds* to the gradients of inputs and parameters what the gradients of the outputs imply.
    ///
    /// Inputs, outputs and saved values are those of the forward pass.
    fn backward(&self, cx: &mut Backward<'_, T>);

    /// Computes one time step. Inputs and outputs that have a time dimension have it with length 1.
    ///
    /// A layer that carries nothing from step to step has nothing to do here: its step is its forward pass. One that
    /// asks for [`state`](super::memory::Memory::state) sets it up when `cx.first`, and leaves it ready for the next step.
    fn step(&self, cx: &mut Step<'_, T>) {
        self.forward(&mut cx.forward);
    }
}

/// Mathematics in every precision: what a node of a plan runs. Every type with both kernels is one.
pub trait Operation: Kernel<f32> + Kernel<f64> + Debug + Send + Sync {}

impl<K: Kernel<f32> + Kernel<f64> + Debug + Send + Sync> Operation for K {}
