//! What sharing work out costs. With more threads than processors, it costs a turn of each.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divan::Bencher;
use engine_kernels::team;

fn main() {
    divan::main();
}

const THREADS: [usize; 2] = [1, 2];

/// Work that takes no time: all that is left is to hand it out.
#[divan::bench(args = THREADS)]
fn nothing(bencher: Bencher<'_, '_>, threads: usize) {
    team::with_threads(threads, || {
        bencher.bench_local(|| {
            team::for_each(threads, |at| {
                black_box(at);
            })
        });
    });
}

/// Until the last member has begun, which none may do for another.
#[divan::bench(args = THREADS, sample_size = 200)]
fn beginnings(bencher: Bencher<'_, '_>, threads: usize) {
    team::with_threads(threads, || {
        bencher.bench_local(|| {
            let begun = AtomicUsize::new(0);
            team::for_each(threads, |_| {
                begun.fetch_add(1, Ordering::Relaxed);
                while begun.load(Ordering::Relaxed) < threads {
                    std::hint::spin_loop();
                }
            });
        });
    });
}

/// A piece of 20 microseconds for each member.
#[divan::bench(args = THREADS)]
fn pieces_of_20_us(bencher: Bencher<'_, '_>, threads: usize) {
    team::with_threads(threads, || {
        bencher.bench_local(|| team::for_each(threads, |_| work(Duration::from_micros(20))));
    });
}

fn work(time: Duration) {
    let begun = Instant::now();
    while begun.elapsed() < time {}
}
