//! The most floating-point operations a second that this machine can do: what a step's time is held against.
//!
//! Every thread runs fused multiply-adds on numbers that stay in registers, in chains that do not wait for one another.
//! Each multiply-add counts as two operations.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use engine_core::Precision;

/// A measurement of the peak.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peak {
    /// Operations a second, of all threads together.
    pub per_second: f64,
    /// The widest instructions that the machine has.
    pub instructions: &'static str,
}

/// Time is cut into slices, and the best one of each thread counts: whatever else runs can only slow it down. They are
/// short, so that some fall into the thread's turns on a busy machine. On an idle one all threads run in all slices, and
/// share what they have to share.
const SLICES: usize = 200;
const SLICE: Duration = Duration::from_millis(1);

/// Rounds between two looks at the clock: some microseconds, much longer than a look and much shorter than a slice.
const ROUNDS: u64 = 1000;

/// Measures the peak of so many threads at once, in a fifth of a second. Threads beyond the machine's processors add
/// nothing to it.
pub(crate) fn measure(precision: Precision, threads: usize) -> Peak {
    let processors = thread::available_parallelism().map_or(threads, NonZeroUsize::get);
    let threads = threads.min(processors);
    let kernel = Kernel::widest(precision);
    let begin = Barrier::new(threads);
    let run = || {
        begin.wait();
        kernel.most_in_a_slice()
    };
    let operations: u64 = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).sum()
    });
    let per_second = operations as f64 / SLICE.as_secs_f64();
    Peak { per_second, instructions: kernel.instructions }
}

/// The widest instructions that the machine has.
pub(crate) fn instructions(precision: Precision) -> &'static str {
    Kernel::widest(precision).instructions
}

/// Chains of multiply-adds in one set of instructions.
#[derive(Clone, Copy)]
struct Kernel {
    instructions: &'static str,
    /// Operations of one round: two for each number of each chain.
    operations: u64,
    run: fn(u64),
}

impl Kernel {
    /// The operations that the calling thread gets done in its best slice of time.
    fn most_in_a_slice(self) -> u64 {
        let (begun, mut done) = (Instant::now(), [0; SLICES]);
        loop {
            (self.run)(ROUNDS);
            let slice = begun.elapsed().as_nanos() / SLICE.as_nanos();
            match done.get_mut(slice as usize) {
                Some(done) => *done += ROUNDS * self.operations,
                None => return done.into_iter().max().unwrap_or(0),
            }
        }
    }

    fn widest(precision: Precision) -> Self {
        let wide = match precision {
            Precision::F32 => wide::f32(),
            Precision::F64 => wide::f64(),
        };
        wide.unwrap_or(match precision {
            Precision::F32 => portable::f32(),
            Precision::F64 => portable::f64(),
        })
    }
}

/// Halving a number and adding a half takes it to 1 from anywhere, so that no chain leaves the normal numbers.
const HALF: f32 = 0.5;

#[cfg(target_arch = "x86_64")]
mod wide {
    use std::arch::x86_64::*;

    use super::{HALF, Kernel, black_box};

    macro_rules! kernel {
        ($name:ident, $features:literal, $vector:ident, $number:ty, $chains:literal, $set:ident, $multiply_add:ident) => {
            fn $name(rounds: u64) {
                #[target_feature(enable = $features)]
                fn chains(rounds: u64) {
                    // The compiler knows none of these numbers, so that it can leave out no operation.
                    let factor = $set(black_box(HALF.into()));
                    let term = $set(black_box(HALF.into()));
                    let mut chains: [$vector; $chains] =
                        std::array::from_fn(|at| $set(black_box(at as $number)));
                    for _ in 0..rounds {
                        for chain in &mut chains {
                            *chain = $multiply_add(*chain, factor, term);
                        }
                    }
                    black_box(chains);
                }
                // SAFETY: `widest` hands this function out only where the machine has the features.
                unsafe { chains(rounds) }
            }
        };
    }

    // With AVX-512, 16 chains of the 32 registers hide the latency of any machine: 4 cycles times 2 units at the most.
    // AVX2 has 16 registers, and 12 chains leave room for the two operands; more would go through memory.
    kernel!(f32_avx512, "avx512f", __m512, f32, 16, _mm512_set1_ps, _mm512_fmadd_ps);
    kernel!(f64_avx512, "avx512f", __m512d, f64, 16, _mm512_set1_pd, _mm512_fmadd_pd);
    kernel!(f32_avx2, "avx2,fma", __m256, f32, 12, _mm256_set1_ps, _mm256_fmadd_ps);
    kernel!(f64_avx2, "avx2,fma", __m256d, f64, 12, _mm256_set1_pd, _mm256_fmadd_pd);

    pub(super) fn f32() -> Option<Kernel> {
        widest([(f32_avx512, 16), (f32_avx2, 8)])
    }

    pub(super) fn f64() -> Option<Kernel> {
        widest([(f64_avx512, 8), (f64_avx2, 4)])
    }

    /// Of kernels for AVX-512 and for AVX2, each with the numbers in a register, the first that can run.
    fn widest([avx512, avx2]: [(fn(u64), u64); 2]) -> Option<Kernel> {
        if is_x86_feature_detected!("avx512f") {
            let (run, lanes) = avx512;
            return Some(Kernel { instructions: "AVX-512", operations: 2 * 16 * lanes, run });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            let (run, lanes) = avx2;
            return Some(Kernel { instructions: "AVX2", operations: 2 * 12 * lanes, run });
        }
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod wide {
    use super::Kernel;

    pub(super) fn f32() -> Option<Kernel> {
        None
    }

    pub(super) fn f64() -> Option<Kernel> {
        None
    }
}

/// What the compiler makes of plain loops.
mod portable {
    use super::{HALF, Kernel, black_box};

    macro_rules! kernel {
        ($number:ident, $lanes:literal) => {
            pub(super) fn $number() -> Kernel {
                // As many as 16 registers hold beside the operands.
                const CHAINS: usize = 12;
                fn run(rounds: u64) {
                    let (factor, term) = black_box((HALF.into(), HALF.into()));
                    let mut chains: [[$number; $lanes]; CHAINS] =
                        std::array::from_fn(|at| [black_box(at as $number); $lanes]);
                    for _ in 0..rounds {
                        for number in chains.as_flattened_mut() {
                            *number = multiply_add(*number, factor, term);
                        }
                    }
                    black_box(chains);
                }
                /// A fused one where the base instruction set has it; elsewhere `mul_add` is a slow function call.
                fn multiply_add(x: $number, factor: $number, term: $number) -> $number {
                    match cfg!(target_arch = "aarch64") {
                        true => x.mul_add(factor, term),
                        false => x * factor + term,
                    }
                }
                let operations = 2 * $lanes * CHAINS as u64;
                Kernel { instructions: "portable", operations, run }
            }
        };
    }

    kernel!(f32, 4);
    kernel!(f64, 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_threads_are_measured_together() {
        for precision in [Precision::F32, Precision::F64] {
            let peak = measure(precision, 2);
            assert!(peak.per_second > 1e8, "{peak:?}");
        }
    }

    #[test]
    fn portable_loops_run_anywhere() {
        for kernel in [portable::f32(), portable::f64()] {
            assert!(kernel.most_in_a_slice() > 0);
        }
    }
}
