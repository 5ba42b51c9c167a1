//! Recurrences over time, and one step of them.

mod fused;
pub mod gru;
pub mod gru_cell;
pub mod lstm;
pub mod lstm_cell;
pub mod rnn;
pub mod rnn_cell;
mod shared;
mod sums;

pub use gru::Gru;
pub use gru_cell::GruCell;
pub use lstm::Lstm;
pub use lstm_cell::LstmCell;
pub use rnn::Rnn;
pub use rnn_cell::RnnCell;
