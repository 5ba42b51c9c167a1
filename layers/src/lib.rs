//! The layers of **engine**: mathematics only, one layer a file.
//!
//! A layer's file holds its documentation, its configuration, which *is* the layer, its two passes and its tests. Adding
//! a layer is adding such a file, and two lines here. Graph files name the layers; `engine layers` prints their
//! documentation.
//!
//! | layer | meaning |
//! |---|---|
//! | [`Projection`], [`TemporalAffine`], [`Affine`] | x w + b, once a row of the batch, once a step, or of any rows |
//! | [`Embedding`], [`Unembedding`] | a learnt vector for each word, and scores of words from these |
//! | [`Rnn`], [`Lstm`], [`Gru`] | recurrences over time |
//! | [`RnnCell`], [`LstmCell`], [`GruCell`] | one step of them |
//! | [`AdditiveAttention`], [`MultiHeadAttention`] | means of what is attended to, weighted by queries |
//! | [`Conv2d`] | filters moved over pictures |
//! | [`PositionalEncoding`], [`LearnedPositions`] | where in a sequence a step is |
//! | [`SoftmaxLoss`], [`CrossEntropy`] | the objective: cross entropy of scores against words, or against classes |
//! | [`CoverageLoss`], [`WeightedSum`] | an objective for attention, and several objectives as one |
//! | [`Dropout`] | noise that keeps a network from relying on single numbers |
//! | [`LayerNorm`], [`BatchNorm`], [`BatchNorm2d`] | rows, columns or channels with mean 0 and deviation 1 |
//! | [`LocalResponseNorm`] | channels divided by what those beside them hold |
//! | [`MaxPool2d`], [`AvgPool2d`], [`GlobalAvgPool`] | smaller pictures of the same channels |
//! | [`Pad`], [`Coordinates`], [`Flatten`] | pictures with a border, or with where places are; pictures as vectors |
//! | [`Softmax`], [`LogSoftmax`] | rows as probabilities |
//! | [`Relu`], [`Tanh`], [`Sigmoid`], [`Gelu`], [`Scale`] | element-wise functions |
//! | [`Add`], [`Subtract`], [`Multiply`], [`ScaleRows`], [`MatMul`], [`Concat`] | several arrays into one |
//! | [`Slice`], [`Chunk`], [`AtEnd`] | parts of an array |
//! | [`Sum`], [`Mean`] | one dimension less |
//! | [`Reshape`], [`Transpose`], [`AlongTime`] | the same numbers in another shape |
//!
//! What layers share is in modules named for it: `affine`, `attention`, `columns`, `elementwise`, `over_axis`,
//! `pooling`, `positions`, `recurrent`, `rows`, `sequences`, `span`, `step_of_row`, `sums`; their faster forms are in `fused`.
//!
//! A program that only depends on this crate must also mention it, `use engine_layers as _;`, or the linker leaves the
//! layers out.

pub mod add;
pub mod additive_attention;
pub mod affine;
pub mod along_time;
pub mod at_end;
mod attention;
pub mod avg_pool_2d;
pub mod batch_norm;
pub mod batch_norm_2d;
pub mod chunk;
mod columns;
pub mod concat;
pub mod conv2d;
pub mod coordinates;
pub mod coverage_loss;
pub mod cross_entropy;
pub mod dropout;
mod elementwise;
pub mod embedding;
pub mod flatten;
mod fused;
pub mod gelu;
pub mod global_avg_pool;
pub mod gru;
pub mod gru_cell;
pub mod layer_norm;
pub mod learned_positions;
pub mod local_response_norm;
pub mod log_softmax;
pub mod lstm;
pub mod lstm_cell;
pub mod matmul;
pub mod max_pool_2d;
pub mod mean;
pub mod multi_head_attention;
pub mod multiply;
mod over_axis;
pub mod pad;
mod pooling;
pub mod positional_encoding;
mod positions;
pub mod projection;
mod recurrent;
pub mod relu;
pub mod reshape;
pub mod rnn;
pub mod rnn_cell;
mod rows;
#[cfg(test)]
mod samples;
pub mod scale;
pub mod scale_rows;
mod sequences;
pub mod sigmoid;
pub mod slice;
pub mod softmax;
pub mod softmax_loss;
mod span;
mod step_of_row;
pub mod subtract;
pub mod sum;
mod sums;
pub mod tanh;
pub mod temporal_affine;
pub mod transpose;
#[cfg(doctest)]
mod tutorial;
pub mod unembedding;
pub mod weighted_sum;

pub use add::Add;
pub use additive_attention::AdditiveAttention;
pub use affine::Affine;
pub use along_time::AlongTime;
pub use at_end::AtEnd;
pub use avg_pool_2d::AvgPool2d;
pub use batch_norm::BatchNorm;
pub use batch_norm_2d::BatchNorm2d;
pub use chunk::Chunk;
pub use concat::Concat;
pub use conv2d::Conv2d;
pub use coordinates::Coordinates;
pub use coverage_loss::CoverageLoss;
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use flatten::Flatten;
pub use gelu::Gelu;
pub use global_avg_pool::GlobalAvgPool;
pub use gru::Gru;
pub use gru_cell::GruCell;
pub use layer_norm::LayerNorm;
pub use learned_positions::LearnedPositions;
pub use local_response_norm::LocalResponseNorm;
pub use log_softmax::LogSoftmax;
pub use lstm::Lstm;
pub use lstm_cell::LstmCell;
pub use matmul::MatMul;
pub use max_pool_2d::MaxPool2d;
pub use mean::Mean;
pub use multi_head_attention::MultiHeadAttention;
pub use multiply::Multiply;
pub use pad::Pad;
pub use positional_encoding::PositionalEncoding;
pub use projection::Projection;
pub use relu::Relu;
pub use reshape::Reshape;
pub use rnn::Rnn;
pub use rnn_cell::RnnCell;
pub use scale::Scale;
pub use scale_rows::ScaleRows;
pub use sigmoid::Sigmoid;
pub use slice::Slice;
pub use softmax::Softmax;
pub use softmax_loss::SoftmaxLoss;
pub use subtract::Subtract;
pub use sum::Sum;
pub use tanh::Tanh;
pub use temporal_affine::TemporalAffine;
pub use transpose::Transpose;
pub use unembedding::Unembedding;
pub use weighted_sum::WeightedSum;
