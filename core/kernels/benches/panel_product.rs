//! Products of the sizes that captioning networks ask for: the kernel over panels beside the GEMM backend.
//!
//! Items are floating-point operations, so that items a second are FLOP/s.

use std::fmt;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use engine_kernels::panel_product::{Left, Target, multiply};
use engine_kernels::panels::{Packing, PanelLayout, Panels};
use engine_kernels::shared::Shared;
use engine_kernels::{gemm, team};
use ndarray::Array2;

fn main() {
    divan::main();
}

const THREADS: [usize; 2] = [1, 2];

/// Rows, shared dimension and columns of a product.
struct Size(usize, usize, usize);

/// A step of a cell of 512 units over a hundred sequences, over the few that are longest, and its way back; scores of
/// all positions of a batch.
const SIZES: [Size; 4] =
    [Size(100, 512, 2048), Size(18, 512, 2048), Size(100, 2048, 512), Size(1146, 512, 1004)];

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}x{}", self.0, self.1, self.2)
    }
}

impl Size {
    fn operations(&self) -> ItemsCount {
        ItemsCount::new(2 * self.0 * self.1 * self.2)
    }

    /// The factors and room for the result.
    fn matrices(&self) -> [Array2<f32>; 3] {
        let Size(rows, depth, columns) = *self;
        let number = |(i, j): (usize, usize)| ((i * 31 + j * 17) % 101) as f32 / 101.0 - 0.5;
        [
            Array2::from_shape_fn((rows, depth), number),
            Array2::from_shape_fn((depth, columns), number),
            Array2::zeros((rows, columns)),
        ]
    }
}

const PLAIN: Packing = Packing { parameter: 0, transposed: false, gates: 1 };

/// C = A B with B in panels.
#[divan::bench(args = SIZES, consts = THREADS)]
fn panels<const N: usize>(bencher: Bencher<'_, '_>, size: &Size) {
    let [a, b, mut c] = size.matrices();
    let cut = PanelLayout { length: size.2, gates: 1 };
    let mut panels = Panels::default();
    panels.pack(b.view(), PLAIN);
    let a = a.as_slice().expect("an array of its own");
    team::with_threads(N, || {
        bencher.counter(size.operations()).bench_local(|| {
            let c = Shared::new(c.as_slice_mut().expect("an array of its own"));
            team::for_each(cut.panels::<f32>(), |at| {
                // SAFETY: each call has the columns of a panel of its own.
                let target = unsafe { Target::columns(&c, cut, at) };
                multiply(Left::rows(a, size.1), panels.panel(at), target, false);
            });
        });
    });
}

/// C = A B by the backend, which brings B into an order of its own each time.
#[divan::bench(args = SIZES, consts = THREADS)]
fn backend<const N: usize>(bencher: Bencher<'_, '_>, size: &Size) {
    let [a, b, mut c] = size.matrices();
    team::with_threads(N, || {
        bencher
            .counter(size.operations())
            .bench_local(|| gemm::product(a.view(), b.view(), c.view_mut()));
    });
}

/// Bringing B into panels, as is and transposed: once a training step for each weight.
#[divan::bench(args = [false, true], consts = THREADS)]
fn pack<const N: usize>(bencher: Bencher<'_, '_>, transposed: bool) {
    let [_, b, _] = Size(1, 512, 2048).matrices();
    let mut panels = Panels::default();
    team::with_threads(N, || {
        bencher
            .counter(BytesCount::of_slice(b.as_slice().expect("an array of its own")))
            .bench_local(|| panels.pack(b.view(), Packing { transposed, ..PLAIN }));
    });
}
