//! Layers that are linear in rows: affine maps, tables of vectors, products of arrays.

pub mod affine;
mod kernel;
pub(crate) mod map;
pub(crate) mod panels;
pub mod projection;
pub mod temporal_affine;

pub use affine::Affine;
pub(crate) use affine::with_bias;
pub(crate) use kernel::lower;
pub use projection::Projection;
pub use temporal_affine::TemporalAffine;
