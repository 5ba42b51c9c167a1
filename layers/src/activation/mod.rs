//! Functions of numbers, element by element, and noise.

pub mod dropout;
pub mod gelu;
pub mod relu;
pub mod scale;
pub mod sigmoid;
pub mod tanh;

pub use dropout::Dropout;
pub use gelu::Gelu;
pub use relu::Relu;
pub use scale::Scale;
pub use sigmoid::Sigmoid;
pub use tanh::Tanh;
