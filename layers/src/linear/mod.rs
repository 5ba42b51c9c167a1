//! Layers that are linear in rows: affine maps, tables of vectors, products of arrays.

pub mod affine;
pub mod embedding;
mod gradients;
mod kernel;
pub(crate) mod map;
pub mod matmul;
pub(crate) mod panels;
pub mod projection;
pub mod temporal_affine;
pub mod unembedding;

pub use affine::Affine;
pub(crate) use affine::with_bias;
pub use embedding::Embedding;
pub(crate) use kernel::lower;
pub use matmul::MatMul;
pub use projection::Projection;
pub use temporal_affine::TemporalAffine;
pub use unembedding::Unembedding;
