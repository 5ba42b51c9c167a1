//! Time of the element-wise functions on a slice that fits the second-level cache.

use divan::Bencher;
use divan::counter::ItemsCount;
use engine_kernels::math::{self, Math};

/// Numbers in the slice.
const COUNT: usize = 16_384;

fn main() {
    divan::main();
}

/// Numbers between -8 and 8, where gates work.
fn numbers<T: Math + From<f32>>() -> Vec<T> {
    (0..COUNT).map(|i| T::from((i % 1021) as f32 / 64.0 - 8.0)).collect()
}

fn bench<T: Math + From<f32>>(bencher: Bencher, function: fn(&mut [T])) {
    let xs = numbers::<T>();
    bencher
        .counter(ItemsCount::new(COUNT))
        .with_inputs(|| xs.clone())
        .bench_local_refs(|xs| function(xs));
}

#[divan::bench(types = [f32, f64])]
fn exp<T: Math + From<f32>>(bencher: Bencher) {
    bench::<T>(bencher, math::exp);
}

#[divan::bench(types = [f32, f64])]
fn tanh<T: Math + From<f32>>(bencher: Bencher) {
    bench::<T>(bencher, math::tanh);
}

#[divan::bench(types = [f32, f64])]
fn sigmoid<T: Math + From<f32>>(bencher: Bencher) {
    bench::<T>(bencher, math::sigmoid);
}
