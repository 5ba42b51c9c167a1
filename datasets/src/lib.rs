//! Data sets: loaders, generators, and the order in which their rows make up batches.
//!
//! A graph file names its data by a [`Dataset`], such as [`CocoHdf5`] or [`Text`]. Opening it reads and checks every file and gives
//! a [`Source`], which serves rows from memory. [`generate()`] makes the default data set: small pictures of
//! coloured shapes with captions whose truth a [`Judge`] can decide.
//!
//! A binary that only names this crate as a dependency loses its registrations at link time: write
//! `use engine_datasets as _;` where nothing else of it is used.

#![forbid(unsafe_code)]

pub mod captions;
pub mod coco;
pub mod dataset;
pub mod error;
mod folder;
mod generate;
pub mod info;
pub mod judge;
pub mod order;
pub mod picture;
mod random;
pub mod scenes;
pub mod split;
pub mod text;
pub mod vocabulary;

pub use coco::CocoHdf5;
pub use dataset::{Dataset, Offer, Source};
pub use error::DataError;
pub use folder::{check_free, hidden_beside, quote, take_name};
pub use generate::{CAPTIONS_PER_PICTURE, Options, Report, generate};
pub use info::{Info, describe};
pub use judge::{Judge, Verdict};
pub use order::{Epoch, Order};
pub use split::Split;
pub use text::{Labelled, Text};
pub use vocabulary::Vocabulary;
