//! Recurrences: cells over time, and one step of them.
//!
//! A cell is its mathematics ([`Cell`]): how a step's preactivations become gates and the new state, and the same for
//! gradients. Everything else is the same for all cells:
//!
//! | where | what |
//! |---|---|
//! | [`rnn`], [`lstm`], [`gru`] | the cells, their documentation and configuration |
//! | `cell`, `lane` | what a cell says, and the numbers that it is written with |
//! | `layer` | ports, parameters and forms of a layer that runs a cell |
//! | `rows` | the mathematics of a cell over arrays |
//! | `plain`, `input`, `weights` | arrays in the batch's order, stored weights or one step: the form to read first |
//! | `panels` | packed sequences, gates in panels: the form that training and writing run |
//! | `steps` | the rows of a step |

mod cell;
pub mod gru;
mod input;
mod lane;
mod layer;
pub mod lstm;
mod panels;
mod plain;
pub mod rnn;
mod rows;
mod steps;
mod weights;

pub use cell::{Before, Candidate, Cell, Gradients, State};
pub use gru::{Gru, GruCell};
pub use lane::Lane;
pub use layer::Recurrent;
pub use lstm::{Lstm, LstmCell};
pub use rnn::{Rnn, RnnCell};
