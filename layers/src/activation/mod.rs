//! Functions of numbers, element by element, and of rows.

pub mod relu;
pub mod sigmoid;
pub mod tanh;

pub use relu::Relu;
pub use sigmoid::Sigmoid;
pub use tanh::Tanh;
