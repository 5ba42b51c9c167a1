//! Functions of numbers, element by element, and of rows; noise.

pub mod dropout;
pub mod gelu;
pub mod log_softmax;
pub mod relu;
pub mod scale;
pub mod sigmoid;
pub mod softmax;
pub mod tanh;

pub use dropout::Dropout;
pub use gelu::Gelu;
pub use log_softmax::LogSoftmax;
pub use relu::Relu;
pub use scale::Scale;
pub use sigmoid::Sigmoid;
pub use softmax::Softmax;
pub use tanh::Tanh;
