//! Filters moved over pictures.

pub mod conv2d;

pub use conv2d::Conv2d;
