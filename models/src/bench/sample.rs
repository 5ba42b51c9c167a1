//! How fast a network writes captions.

use std::fmt;
use std::time::{Duration, Instant};

use engine_core::Precision;
use engine_core::engine::Engine;
use engine_datasets::{Source, Split};
use engine_kernels::{flops, team};
use serde::Serialize;

use super::error::BenchError;
use super::memory;
use crate::caption::{Captioner, NoImages, ROWS};
use crate::decode::{DecodeScalar, Decoder};
use crate::peak::{self, Peak};

/// What writing captions came to. Its fields are the keys of `--json FILE`; what is not known is `null`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SampleReport {
    /// The name of the graph file or of the run folder.
    pub graph: String,
    /// The number type.
    pub precision: Precision,
    /// Threads that computed.
    pub threads: usize,
    /// Captions that were written, one an image; where these are fewer, they come round again.
    pub sampled: usize,
    /// Captions that went before, not counted.
    pub warm_up: usize,
    /// The time that they took.
    pub seconds: f64,
    /// The speed.
    pub sampled_per_second: f64,
    /// Words of a caption, on average.
    pub words_per_caption: f64,
    /// Billions of floating-point operations of a caption, on average.
    pub gflop_per_caption: f64,
    /// Billions of operations a second.
    pub gflop_per_second: f64,
    /// The machine's peak, the larger of before and after.
    pub peak_gflop_per_second: f64,
    /// The instructions that the peak was measured with.
    pub peak_instructions: &'static str,
    /// The share of the peak that was reached, from 0 to 1.
    pub share_of_peak: f64,
    /// The most memory that the process had, the data included.
    pub peak_memory_mib: Option<f64>,
}

/// Times `count` captions of validation images, at least one, from features to sentences.
///
/// The machine's peak is measured before and after them, with as many threads as compute.
///
/// # Errors
/// When the network cannot write step by step, or the data does not fit it.
pub fn bench_sampling<T: DecodeScalar>(
    name: &str,
    engine: &Engine<T>,
    source: &dyn Source,
    decoder: &dyn Decoder,
    count: usize,
) -> Result<SampleReport, BenchError> {
    let before = peak::measure(T::PRECISION, team::threads());
    let mut captioner = Captioner::new(engine, source, decoder)?;
    let all = source.images(Split::Val);
    if all == 0 {
        return Err(NoImages { what: "--sample" }.into());
    }
    let images: Vec<usize> = (0..count.max(ROWS)).map(|at| at % all).collect();
    captioner.caption(source, Split::Val, &images[..ROWS])?;
    let (begin, operations) = (Instant::now(), flops::counted());
    let captions = captioner.caption(source, Split::Val, &images[..count])?;
    let (time, operations) = (begin.elapsed(), flops::counted() - operations);
    let after = peak::measure(T::PRECISION, team::threads());
    let words = captions.iter().map(|caption| caption.split_whitespace().count()).sum();
    let measured = Sampled { count, words, operations, time };
    Ok(SampleReport::new(name, T::PRECISION, team::threads(), [before, after], &measured))
}

/// What all captions came to.
struct Sampled {
    count: usize,
    words: usize,
    operations: u64,
    time: Duration,
}

impl SampleReport {
    fn new(
        name: &str,
        precision: Precision,
        threads: usize,
        [before, after]: [Peak; 2],
        measured: &Sampled,
    ) -> Self {
        let (count, seconds) = (measured.count as f64, measured.time.as_secs_f64());
        let gflop = measured.operations as f64 / 1e9;
        let peak = before.per_second.max(after.per_second) / 1e9;
        SampleReport {
            graph: name.to_owned(),
            precision,
            threads,
            sampled: measured.count,
            warm_up: ROWS,
            seconds,
            sampled_per_second: count / seconds,
            words_per_caption: measured.words as f64 / count,
            gflop_per_caption: gflop / count,
            gflop_per_second: gflop / seconds,
            peak_gflop_per_second: peak,
            peak_instructions: before.instructions,
            share_of_peak: gflop / seconds / peak,
            peak_memory_mib: memory::peak_mib(),
        }
    }
}

impl fmt::Display for SampleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}: {} captions in {:?}, after {} to warm up; {} threads\n",
            self.graph, self.sampled, self.precision, self.warm_up, self.threads
        )?;
        writeln!(
            f,
            "speed        {:.0} captions/s: {:.2} s for all",
            self.sampled_per_second, self.seconds
        )?;
        writeln!(f, "length       {:.2} words a caption", self.words_per_caption)?;
        writeln!(f, "operations   {:.5} GFLOP a caption", self.gflop_per_caption)?;
        write!(
            f,
            "achieved     {:.1} GFLOP/s of {:.1}, the peak of {}: {:.1} %",
            self.gflop_per_second,
            self.peak_gflop_per_second,
            self.peak_instructions,
            100.0 * self.share_of_peak
        )?;
        match self.peak_memory_mib {
            Some(mib) => write!(f, "\nmemory       {mib:.0} MiB at most"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_from_what_was_measured() {
        let time = Duration::from_millis(500);
        let measured = Sampled { count: 200, words: 1900, operations: 40_000_000_000, time };
        let peak = |per_second| Peak { per_second, instructions: "AVX-512" };
        let report =
            SampleReport::new("g", Precision::F32, 2, [peak(90e9), peak(100e9)], &measured);
        let figures = [
            (report.sampled_per_second, 400.0),
            (report.words_per_caption, 9.5),
            (report.gflop_per_caption, 0.2),
            (report.gflop_per_second, 80.0),
            (report.share_of_peak, 0.8),
        ];
        for (found, right) in figures {
            assert!((found - right).abs() < 1e-9, "{found} for {right}");
        }
    }
}
