//! What graph files can name, and the values of its fields: numbers that carry their range in their type, first values of
//! parameters, windows over a dimension.

pub mod field;
pub mod init;
pub mod pair;
pub mod registry;
pub mod tagged;
pub mod windows;

pub use pair::Pair;
pub use tagged::Tagged;
pub use windows::Windows;
