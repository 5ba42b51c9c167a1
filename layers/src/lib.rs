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
//! A layer's file says what the layer is; its folder, of what kind. Layers of a folder share a file or two beside them;
//! all layers share `elementwise` (one number after the other), `reduce` (sums, maxima and softmaxes of rows), `counted`
//! (which positions count) and `width` (of rows).
//!
//! A program that only depends on this crate must also mention it, `use engine_layers as _;`, or the linker leaves the
//! layers out.

#![forbid(unsafe_code)]

pub mod activation;
pub mod arithmetic;
pub mod attention;
pub mod convolution;
mod counted;
mod elementwise;
pub mod linear;
pub mod loss;
pub mod normalization;
pub mod pooling;
pub mod position;
pub mod recurrent;
mod reduce;
#[cfg(test)]
mod samples;
pub mod shape;
#[cfg(doctest)]
mod tutorial;
mod width;

pub use activation::{Dropout, Gelu, LogSoftmax, Relu, Scale, Sigmoid, Softmax, Tanh};
pub use arithmetic::{Add, Mean, Multiply, ScaleRows, Subtract, Sum};
pub use attention::{AdditiveAttention, MultiHeadAttention};
pub use convolution::Conv2d;
pub use linear::{Affine, Embedding, MatMul, Projection, TemporalAffine, Unembedding};
pub use loss::{CoverageLoss, CrossEntropy, SoftmaxLoss, WeightedSum};
pub use normalization::{BatchNorm, BatchNorm2d, LayerNorm, LocalResponseNorm};
pub use pooling::{AvgPool2d, GlobalAvgPool, MaxPool2d};
pub use position::{LearnedPositions, PositionalEncoding};
pub use recurrent::{Gru, GruCell, Lstm, LstmCell, Rnn, RnnCell};
pub use shape::{
    AlongTime, AtEnd, Chunk, Concat, Coordinates, Flatten, Pad, Reshape, Slice, Transpose,
};
