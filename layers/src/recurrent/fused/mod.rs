//! Faster forms of layers, which passes put in the place of the plain ones: one a file.
//!
//! They compute the same numbers from the same parameters. The plain form is the one to read first, and a test holds
//! the two together for every graph.

mod cell;
mod gru;
mod gru_gates;
mod lstm;
mod one_step;
mod over_time;
mod recurrence;
mod rnn;
pub(crate) mod sums;

pub(crate) use gru::GatedRecurrence;
pub(crate) use lstm::LstmCell;
pub(crate) use recurrence::Recurrence;
pub(crate) use rnn::RnnCell;
