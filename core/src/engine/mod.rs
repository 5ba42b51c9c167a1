//! Runs any planned graph: forward, backward, step by step.
//!
//! [`Engine`] holds parameters, gradients and memory and runs whole sequences; [`Stepper`] runs one time step after
//! another with the same parameters; [`Evaluator`] runs some
//! values forward in little memory; [`Updater`] turns gradients into new parameters; [`checkpoint`] writes parameters to disk and reads them back; [`gradient_check`]
//! holds the backward pass against finite differences.

mod backward;
mod branches;
mod carried;
mod carry;
pub mod checkpoint;
mod evaluator;
mod extent;
mod feed;
mod gradient_check;
mod memory;
mod network;
mod packs;
mod profile;
mod rooms;
mod select;
mod stepper;
mod update;
mod word_tables;

pub use carried::Carried;
pub use evaluator::Evaluator;
pub use feed::FeedError;
pub use gradient_check::{Disagreement, gradient_check};
pub use network::{BuildError, Engine};
pub use profile::{NodeProfile, Profile, Work};
pub use stepper::{StepError, Stepper};
pub use update::{Limits, Updater};
