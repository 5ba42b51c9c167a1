//! Every way of convolving against sums as they are written, over random shapes.

use engine_core::Pair;
use engine_core::testing::LayerBench;
use engine_kernels::team;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::geometry::Geometry;
use super::*;
use crate::samples::random;

/// A convolution of pictures, its gradients, and what they should be.
struct Sample {
    geometry: Geometry,
    pictures: usize,
    x: Vec<f64>,
    w: Vec<f64>,
    b: Vec<f64>,
    dy: Vec<f64>,
}

impl Sample {
    fn of(geometry: Geometry, pictures: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut draw = |count: usize| -> Vec<f64> {
            (0..count).map(|_| f64::from(rng.random_range(-1.0f32..1.0))).collect()
        };
        Sample {
            geometry,
            pictures,
            x: draw(pictures * geometry.channels * geometry.pixels()),
            w: draw(geometry.units * geometry.depth()),
            b: draw(geometry.units),
            dy: draw(pictures * geometry.units * geometry.positions()),
        }
    }

    /// Calls `f` with the places in x, w and y of every product that the convolution sums.
    fn terms(&self, mut f: impl FnMut(usize, usize, usize)) {
        let g = &self.geometry;
        let (channels, units) = (g.channels_a_group(), g.units_a_group());
        let see = |at: usize, tap: usize, stride: usize, dilation: usize, padding, side| {
            (at * stride + tap * dilation).checked_sub(padding).filter(|x| *x < side)
        };
        for (n, u, c) in (0..self.pictures)
            .flat_map(|n| (0..g.units).map(move |u| (n, u)))
            .flat_map(|(n, u)| (0..channels).map(move |c| (n, u, c)))
        {
            let map = (n * g.channels + u / units * channels + c) * g.pixels();
            for at in 0..g.positions() {
                let (i, j) = (at / g.output.width, at % g.output.width);
                for tap in 0..g.taps() {
                    let (k, l) = (tap / g.kernel.width, tap % g.kernel.width);
                    let (s, d, p) = (g.stride, g.dilation, g.padding);
                    let y = see(i, k, s.height, d.height, p.height, g.input.height);
                    let x = see(j, l, s.width, d.width, p.width, g.input.width);
                    if let (Some(y), Some(x)) = (y, x) {
                        let w = (u * channels + c) * g.taps() + tap;
                        let result = (n * g.units + u) * g.positions() + at;
                        f(map + y * g.input.width + x, w, result);
                    }
                }
            }
        }
    }

    fn y(&self, relu: bool) -> Vec<f64> {
        let positions = self.geometry.positions();
        let bias = |at: usize| self.b[at / positions % self.geometry.units];
        let mut y: Vec<f64> = (0..self.dy.len()).map(bias).collect();
        self.terms(|x, w, result| y[result] += self.x[x] * self.w[w]);
        y.iter_mut().filter(|_| relu).for_each(|y| *y = y.max(0.0));
        y
    }

    fn dw(&self) -> Vec<f64> {
        let mut dw = vec![0.0; self.w.len()];
        self.terms(|x, w, result| dw[w] += self.x[x] * self.dy[result]);
        dw
    }

    fn dx(&self) -> Vec<f64> {
        let mut dx = vec![0.0; self.x.len()];
        self.terms(|x, w, result| dx[x] += self.w[w] * self.dy[result]);
        dx
    }
}

fn in_precision<T: Scalar>(numbers: &[f64]) -> Vec<T> {
    numbers.iter().map(|x| T::of(*x)).collect()
}

/// The largest difference, as a share of the largest number.
fn difference<T: Scalar>(found: &[T], exact: &[f64]) -> f64 {
    assert_eq!(found.len(), exact.len());
    let largest = exact.iter().fold(1e-3f64, |most, x| most.max(x.abs()));
    let errors = found.iter().zip(exact).map(|(found, exact)| (found.f64() - exact).abs());
    errors.map(|e| if e.is_nan() { f64::INFINITY } else { e }).fold(0.0, f64::max) / largest
}

/// What memory holds before: nothing that may show.
fn rubbish<T: Scalar>(length: usize) -> Vec<T> {
    vec![T::of(f64::NAN); length]
}

fn draw(rng: &mut ChaCha8Rng) -> Geometry {
    loop {
        let mut pair = |low: usize, high: usize| Pair {
            height: rng.random_range(low..=high),
            width: rng.random_range(low..=high),
        };
        let (kernel, stride, padding, dilation) = (pair(1, 4), pair(1, 3), pair(0, 3), pair(1, 2));
        let input = pair(1, 24);
        let window = Window { kernel, stride, padding, dilation };
        let Ok(output) = window.output(input) else { continue };
        let groups = rng.random_range(1..=3);
        let channels = groups * rng.random_range(1..=7);
        let units = groups * rng.random_range(1..=20);
        return Geometry {
            channels,
            units,
            input,
            output,
            kernel,
            stride,
            padding,
            dilation,
            groups,
        };
    }
}

fn square(channels: usize, units: usize, side: usize, kernel: usize, padding: usize) -> Geometry {
    let [kernel, stride, padding, dilation] = [kernel, 1, padding, 1].map(Pair::both);
    let input = Pair::both(side);
    let window = Window { kernel, stride, padding, dilation };
    let output = window.output(input).unwrap();
    Geometry { channels, units, input, output, kernel, stride, padding, dilation, groups: 1 }
}

/// Random geometries, and some at which a way has an edge.
fn geometries() -> Vec<Geometry> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut all: Vec<Geometry> = (0..40).map(|_| draw(&mut rng)).collect();
    all.extend([
        square(1, 1, 1, 1, 0),
        // More channels than are gone through at a time, more units than a strip is wide.
        square(70, 50, 6, 3, 1),
        square(9, 530, 3, 2, 0),
        square(530, 9, 7, 1, 0),
        // A strip of pixels as they are, and one with an edge.
        square(5, 9, 12, 1, 0),
        square(5, 9, 7, 1, 0),
    ]);
    all
}

fn assert_directly<T: Scalar>(bound: f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(8);
    for geometry in geometries() {
        let sample = Sample::of(geometry, rng.random_range(1..=3), &mut rng);
        let [x, w, b, dy] = [&sample.x, &sample.w, &sample.b, &sample.dy].map(|a| in_precision(a));
        let length = scratch_length(&geometry);
        for relu in [false, true] {
            let mut y = rubbish::<T>(dy.len());
            let call = direct::Call { geometry, x: &x, w: &w, b: Some(&b), relu };
            direct::forward(&call, &mut y, &mut rubbish(length));
            let error = difference(&y, &sample.y(relu));
            assert!(error < bound, "{geometry:?}: {error:.1e}");
        }
        let call = backward::Call { geometry, x: &x, w: &w, dy: &dy };
        let mut dw = rubbish::<T>(w.len());
        let row = geometry.units + geometry.groups * backward::FILL;
        let mut turned = rubbish(backward::POSITIONS * row);
        backward::filters(&call, &mut dw, true, &mut turned, &mut rubbish(length));
        let error = difference(&dw, &sample.dw());
        assert!(error < bound, "dw of {geometry:?}: {error:.1e}");
        let mut dx = rubbish::<T>(x.len());
        backward::pixels(&call, &mut dx, true, &mut rubbish(length));
        let error = difference(&dx, &sample.dx());
        assert!(error < bound, "dx of {geometry:?}: {error:.1e}");
    }
}

#[test]
fn products_of_strips_equal_the_sums() {
    assert_directly::<f64>(1e-12);
    assert_directly::<f32>(1e-5);
}

#[test]
fn winograd_equals_the_sums() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut geometries = vec![
        square(12, 1, 4, 3, 1),
        square(13, 9, 11, 3, 1),
        square(12, 17, 30, 3, 0),
        square(40, 8, 67, 3, 2),
        square(16, 5, 6, 3, 4),
        // More strips than are transformed at once, and enough of them for the other way.
        square(300, 12, 61, 3, 1),
        square(20, 40, 121, 3, 1),
    ];
    for _ in 0..10 {
        let mut geometry = square(rng.random_range(12..40), rng.random_range(1..20), 9, 3, 1);
        geometry.input = Pair { height: rng.random_range(4..40), width: rng.random_range(4..40) };
        geometry.padding = Pair { height: rng.random_range(1..4), width: rng.random_range(1..4) };
        let Geometry { kernel, stride, padding, dilation, .. } = geometry;
        let window = Window { kernel, stride, padding, dilation };
        geometry.output = window.output(geometry.input).unwrap();
        geometries.push(geometry);
    }
    for geometry in geometries {
        assert!(winograd::applies(&geometry));
        let sample = Sample::of(geometry, rng.random_range(1..=3), &mut rng);
        let [x, w, b] = [&sample.x, &sample.w, &sample.b].map(|a| in_precision::<f32>(a));
        let length = scratch_length(&geometry);
        for relu in [false, true] {
            let mut y = rubbish::<f32>(sample.dy.len());
            let (b, turned, add) = (Some(&b[..]), false, false);
            let call = winograd::Call { geometry, x: &x, w: &w, b, relu, turned, add };
            winograd::forward(&call, &mut y, &mut rubbish(length));
            let error = difference(&y, &sample.y(relu));
            assert!(error < 2e-5, "{geometry:?}: {error:.1e}");
        }
        let Some(back) = geometry.back().filter(winograd::applies) else { continue };
        for add in [false, true] {
            let mut dx = if add { vec![0.5; x.len()] } else { rubbish::<f32>(x.len()) };
            let (dy, b) = (in_precision::<f32>(&sample.dy), None);
            let (geometry, relu, turned) = (back, false, true);
            let call = winograd::Call { geometry, x: &dy, w: &w, b, relu, turned, add };
            winograd::forward(&call, &mut dx, &mut rubbish(length));
            dx.iter_mut().filter(|_| add).for_each(|dx| *dx -= 0.5);
            let error = difference(&dx, &sample.dx());
            assert!(error < 2e-5, "dx of {geometry:?}: {error:.1e}");
        }
    }
}

/// Output and gradients of a layer on so many threads.
fn on_threads(threads: usize, layer: &str, shape: &[usize]) -> Vec<Tensor<f32>> {
    team::with_threads(threads, || {
        let mut bench = LayerBench::<f32>::new(layer, vec![random::<f32>(shape, 1).into()]);
        let y = bench.forward(engine_core::Mode::Eval);
        bench.backward(&random::<f32>(y.shape(), 2));
        let gradients = ["w", "b"].map(|name| bench.parameter_gradient(name).clone());
        [vec![y, bench.input_gradient(0).clone()], gradients.to_vec()].concat()
    })
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    for (layer, shape) in [
        ("Conv2d(units: 20, kernel: 3, padding: 1)", [2, 24, 21, 19]),
        ("Conv2d(units: 30, kernel: 1)", [3, 17, 9, 9]),
        ("Conv2d(units: 9, kernel: 5, stride: 2, padding: 2)", [2, 3, 40, 40]),
        ("Conv2d(units: 12, kernel: 3, groups: 4)", [1, 8, 6, 5]),
    ] {
        let one = on_threads(1, layer, &shape);
        for threads in [2, 3, 8] {
            assert!(one == on_threads(threads, layer, &shape), "{layer} on {threads} threads");
        }
    }
}

#[test]
fn what_cannot_be_convolved_is_refused_with_numbers() {
    let error = |options: &str| {
        let x = random::<f64>(&[2, 6, 5, 4], 1);
        let layer = format!("Conv2d(units: 4, {options})");
        LayerBench::try_new(&layer, vec![x.into()]).err().unwrap_or_else(|| panic!("{layer}"))
    };
    for (options, said) in [
        ("kernel: (6, 3)", "the padded height, 5 = 5 + 2 * 0, found 6 = 1 * (6 - 1) + 1"),
        (
            "kernel: 3, dilation: (1, 3), padding: (0, 1)",
            "6 = 4 + 2 * 1, found 7 = 3 * (3 - 1) + 1",
        ),
        ("kernel: (3, 0)", "expected numbers of at least 1, found (3, 0)"),
        ("kernel: 1, stride: 0", "expected numbers of at least 1, found (0, 0)"),
        ("kernel: 1, dilation: (0, 1)", "expected numbers of at least 1, found (0, 1)"),
        ("kernel: 1, groups: 4", "expected groups that divide the 6 channels"),
        ("kernel: 1, groups: 3", "expected groups that divide the 4 units, found 3"),
        ("kernel: 1, groups: 0", "found 0"),
        ("kernel: 1, padding: 18446744073709551615", "expected a padded height of at most"),
        ("kernel: (1, 2, 3)", "as in `(3, 3)`, found `(1, 2, 3)`"),
    ] {
        let found = error(options);
        assert!(found.contains(said), "{options}: {found}");
    }
}
