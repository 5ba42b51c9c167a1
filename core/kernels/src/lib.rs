//! The kernels of **engine**: what all mathematics goes through, and the only crate with `unsafe` code.
//!
//! | where | what |
//! |---|---|
//! | [`lanes`], [`math`] | vectors of any instruction set; exp, tanh and sigmoid over them |
//! | [`gemm`] | matrix products by a GEMM backend |
//! | [`panels`], [`panel_product`] | weights in the order in which kernels read them, and products with them |
//! | [`strip_product`], [`tiled_maps`] | products with a strip of a matrix, maps of pictures in tiles: convolutions |
//! | [`interleave`], [`prefetch`] | rows of several matrices side by side; what will be read soon |
//! | [`team`], [`matrix`] | the threads that share work; matrices that they share, without two of them having one element |
//! | [`flops`] | a count of the operations of products |

pub mod flops;
pub mod gemm;
pub mod interleave;
pub mod lanes;
pub mod math;
pub mod matrix;
pub mod panel_product;
pub mod panels;
pub mod prefetch;
pub mod shared;
pub mod strip_product;
pub mod team;
pub mod tiled_maps;
