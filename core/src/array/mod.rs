//! Arrays: symbolic sizes and shapes, buffers, and the arrays that data comes in.

pub mod batch;
pub mod dim;
pub mod shape;
pub mod tensor;

pub use batch::{Array, Batch, Elements};
pub use dim::{Dim, Symbol};
pub use shape::{Shape, Sizes};
pub use tensor::Tensor;
