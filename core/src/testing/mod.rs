//! For the tests of whoever writes layers and graphs.
//!
//! ```text
//! let mut bench = LayerBench::<f64>::new("Lstm(units: 4)", vec![x.into(), h0.into()]);
//! let h = bench.forward(Mode::Eval);
//! assert!(bench.gradient_error() < 1e-6);
//! ```

mod bench;
mod engine;
mod laws;
mod random;
mod stepwise;

pub use bench::{LayerBench, Value};
pub use engine::engine;
pub use laws::{broken_law, in_form};
pub use random::random_inputs;
pub use stepwise::stepwise;
