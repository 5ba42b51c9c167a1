//! The layers of **engine**: mathematics only, one layer a file.
//!
//! A layer's file holds its documentation, its configuration, which *is* the layer, its two passes and its tests. Adding
//! a layer is adding such a file, and two lines here. Graph files name the layers; `engine layers` prints their
//! documentation.
//!
//! | layer | meaning |
//! |---|---|
//! | [`Projection`], [`TemporalAffine`] | x w + b, once a row of the batch or once a step |
//! | [`Embedding`] | a learnt vector for each word |
//! | [`Rnn`], [`Lstm`], [`Gru`] | recurrences over time |
//! | [`RnnCell`], [`LstmCell`], [`GruCell`] | one step of them |
//! | [`AdditiveAttention`], [`MultiHeadAttention`] | means of what is attended to, weighted by queries |
//! | [`PositionalEncoding`], [`LearnedPositions`] | where in a sequence a step is |
//! | [`SoftmaxLoss`] | the objective: cross entropy of scores against targets |
//! | [`Dropout`] | noise that keeps a network from relying on single numbers |
//! | [`Relu`], [`Tanh`], [`Sigmoid`] | element-wise functions |
//! | [`Add`], [`Multiply`], [`Concat`] | several arrays into one |
//!
//! What layers share is in modules named for it: `affine`, `attention`, `elementwise`, `positions`, `recurrent`, `sums`; their faster forms are in `fused`.
//!
//! A program that only depends on this crate must also mention it, `use engine_layers as _;`, or the linker leaves the
//! layers out.

pub mod add;
pub mod additive_attention;
mod affine;
mod attention;
pub mod concat;
pub mod dropout;
mod elementwise;
pub mod embedding;
mod fused;
pub mod gru;
pub mod gru_cell;
pub mod learned_positions;
pub mod lstm;
pub mod lstm_cell;
pub mod multi_head_attention;
pub mod multiply;
pub mod positional_encoding;
mod positions;
pub mod projection;
mod recurrent;
pub mod relu;
pub mod rnn;
pub mod rnn_cell;
#[cfg(test)]
mod samples;
pub mod sigmoid;
pub mod softmax_loss;
mod sums;
pub mod tanh;
pub mod temporal_affine;
#[cfg(doctest)]
mod tutorial;

pub use add::Add;
pub use additive_attention::AdditiveAttention;
pub use concat::Concat;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use gru::Gru;
pub use gru_cell::GruCell;
pub use learned_positions::LearnedPositions;
pub use lstm::Lstm;
pub use lstm_cell::LstmCell;
pub use multi_head_attention::MultiHeadAttention;
pub use multiply::Multiply;
pub use positional_encoding::PositionalEncoding;
pub use projection::Projection;
pub use relu::Relu;
pub use rnn::Rnn;
pub use rnn_cell::RnnCell;
pub use sigmoid::Sigmoid;
pub use softmax_loss::SoftmaxLoss;
pub use tanh::Tanh;
pub use temporal_affine::TemporalAffine;
