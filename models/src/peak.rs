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
    use pulp::x86::{V3, V4};
    use pulp::{Simd, WithSimd};

    use super::{HALF, Kernel, black_box};

    macro_rules! chains {
        ($chains:ident, $splat:ident, $multiply_add:ident) => {
            /// So many rounds of a multiply-add in each of `N` chains.
            struct $chains<const N: usize>(u64);

            impl<const N: usize> WithSimd for $chains<N> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: Simd>(self, simd: S) {
                    // The compiler knows none of these numbers, so that it can leave out no operation.
                    let factor = simd.$splat(black_box(HALF.into()));
                    let term = simd.$splat(black_box(HALF.into()));
                    let mut chains = [factor; N];
                    for (at, chain) in (0..).zip(&mut chains) {
                        *chain = simd.$splat(black_box(f32::from(at as u8).into()));
                    }
                    for _ in 0..self.0 {
                        for chain in &mut chains {
                            *chain = simd.$multiply_add(*chain, factor, term);
                        }
                    }
                    black_box(chains);
                }
            }
        };
    }

    chains!(F32, splat_f32s, mul_add_f32s);
    chains!(F64, splat_f64s, mul_add_f64s);

    // With AVX-512, 16 chains of the 32 registers hide the latency of any machine: 4 cycles times 2 units at the most.
    // AVX2 has 16 registers, and 12 chains leave room for the two operands; more would go through memory.
    macro_rules! widest {
        ($number:ident, $chains:ident) => {
            pub(super) fn $number() -> Option<Kernel> {
                const BYTES: u64 = size_of::<$number>() as u64;
                fn avx512(rounds: u64) {
                    if let Some(simd) = V4::try_new() {
                        Simd::vectorize(simd, $chains::<16>(rounds));
                    }
                }
                fn avx2(rounds: u64) {
                    if let Some(simd) = V3::try_new() {
                        Simd::vectorize(simd, $chains::<12>(rounds));
                    }
                }
                if V4::try_new().is_some() {
                    let operations = 2 * 16 * (64 / BYTES);
                    return Some(Kernel { instructions: "AVX-512", operations, run: avx512 });
                }
                let operations = 2 * 12 * (32 / BYTES);
                V3::try_new().map(|_| Kernel { instructions: "AVX2", operations, run: avx2 })
            }
        };
    }

    widest!(f32, F32);
    widest!(f64, F64);
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
