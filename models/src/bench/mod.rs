//! How fast a network trains and writes, and how fast this machine could: whole training steps, or captions, held against
//! the operations that they need.

mod error;
mod measure;
mod memory;
mod report;
mod sample;

use engine_core::Scalar;
use engine_core::engine::Engine;
use engine_datasets::Source;
use engine_kernels::team;

use crate::peak;
use crate::settings::TrainSettings;

pub use crate::peak::Peak;
pub use error::BenchError;
pub use measure::{Measured, Phase};
pub use report::{NodeLine, PhaseLine, Report};
pub use sample::{SampleReport, bench_sampling};

/// Steps before the measured ones: they make the engine's memory and fill caches.
pub const WARM_UP: u64 = 3;

/// Times `steps` training steps, at least one, of the network called `name`.
///
/// The machine's peak is measured before and after them, with as many threads as compute.
///
/// # Errors
/// When the data does not fit the network, or a number is no longer finite.
pub fn bench<T: Scalar>(
    name: &str,
    engine: &mut Engine<T>,
    source: &dyn Source,
    settings: &TrainSettings,
    steps: usize,
) -> Result<Report, BenchError> {
    let threads = team::threads();
    let before = peak::measure(T::PRECISION, threads);
    let measured = measure::measure(engine, source, settings, steps)?;
    let after = peak::measure(T::PRECISION, threads);
    Ok(Report::new(name, T::PRECISION, threads, settings.seed, [before, after], &measured))
}
