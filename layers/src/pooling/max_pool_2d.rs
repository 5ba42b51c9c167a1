//! The largest number of each window of a picture.

use engine_core::registry::LAYER;
use engine_core::{
    Backward, Forward, Kernel, Layer, Lowered, Memory, Pair, PlanError, Port, PortShapes, Scalar,
    Signature, register,
};
use engine_kernels::lanes::{self, Simd, WithSimd};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{self, Planes, Pool, Run, fold_strided};
use crate::elementwise::rows_a_piece;

/// The largest number of each window of a picture, channel by channel.
///
/// ```text
/// y[n, c, i, j] = max over k, l of x[n, c, s i + d k - p, s j + d l - p]
/// H' = (Height + 2 p - d (k - 1) - 1) / s + 1, rounded down, with the height's stride s, padding p, dilation d, kernel k
/// W' in the same way from the width's
/// ```
///
/// What lies beyond a picture's edge is not looked at. The gradient goes to the largest number, of equal ones to the first
/// from the top and then from the left. With `ceil` the sizes are rounded up, but a window that would begin behind the
/// picture and the padding in front of it is left out. Conventions of PyTorch.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: `[Batch, Channels, H', W']`
///
/// # Errors
/// A kernel, a stride and a dilation of 0 are refused, padding that is more than half of what a window goes over, windows
/// that are larger than the padded picture, and those that would hold no number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MaxPool2d {
    /// How many rows and columns a window has.
    pub kernel: Pair,
    /// How far a window is from the one before it; as far as it is large if left out.
    #[serde(default)]
    pub stride: Option<Pair>,
    /// How far windows begin before the picture and end behind it.
    #[serde(default = "shared::no_padding")]
    pub padding: Pair,
    /// How far the rows and columns of a window are from each other.
    #[serde(default)]
    pub dilation: Pair,
    /// Whether sizes are rounded up.
    #[serde(default)]
    pub ceil: bool,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for MaxPool2d {
    fn ports(&self) -> Vec<Port> {
        vec![shared::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        self.pool().signature(inputs.shape(X))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl MaxPool2d {
    fn pool(&self) -> Pool {
        Pool::new(self.kernel, self.stride, self.padding, self.dilation, self.ceil)
    }
}

impl<T: Scalar> Kernel<T> for MaxPool2d {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let planes = Planes::of(self.pool(), x, y);
        let (from, to) = planes.lengths();
        let piece = rows_a_piece(from);
        team::for_each_chunk_mut(y.as_mut_slice(), piece * to, |at, y| {
            let x = &x.as_slice()[at * piece * from..];
            lanes::widest(Largest { planes, x, y });
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, y, dy) = (&cx.inputs[X], &cx.outputs[0], &cx.output_gradients[0]);
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let planes = Planes::of(self.pool(), x, y);
        let (from, to) = planes.lengths();
        let piece = rows_a_piece(from);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * from, |at, dx| {
            let x = &x.as_slice()[at * piece * from..];
            let [y, dy] = [y, dy].map(|array| &array.as_slice()[at * piece * to..]);
            lanes::widest(GiveBack { planes, x, y, dy, dx });
        });
    }
}

/// y = the largest of each window.
struct Largest<'a, T> {
    planes: Planes,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Scalar> WithSimd for Largest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Planes { pool, from: [_, width], to: [_, count] } = self.planes;
        let (from, to) = self.planes.lengths();
        for (x, y) in self.x.chunks_exact(from).zip(self.y.chunks_exact_mut(to)) {
            for (row, y) in y.chunks_exact_mut(count).enumerate() {
                y.fill(T::neg_infinity());
                for at in self.planes.rows(row) {
                    let x = &x[at * width..][..width];
                    for i in 0..pool.across.kernel {
                        let run = Run::of(pool.across, i, width, 0, count);
                        let y = &mut y[run.first..][..run.count];
                        fold_strided(y, &x[run.from..], pool.across.stride, larger);
                    }
                }
            }
        }
    }
}

/// The larger number. What is not a number is larger than any.
#[inline(always)]
#[allow(clippy::eq_op, reason = "what is not a number is not itself; a method would be a call")]
fn larger<T: Scalar>(y: T, x: T) -> T {
    if x > y || x != x { x } else { y }
}

/// dx = dx + dy, where x is the first of its window that is y.
struct GiveBack<'a, T> {
    planes: Planes,
    x: &'a [T],
    y: &'a [T],
    dy: &'a [T],
    dx: &'a mut [T],
}

/// The most windows that are looked at together.
const WINDOWS: usize = 256;

impl<T: Scalar> WithSimd for GiveBack<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let (from, to) = self.planes.lengths();
        let ys = self.y.chunks_exact(to).zip(self.dy.chunks_exact(to));
        let xs = self.x.chunks_exact(from).zip(self.dx.chunks_exact_mut(from));
        for ((x, dx), (y, dy)) in xs.zip(ys) {
            give_back(self.planes, x, y, dy, dx);
        }
    }
}

/// As [`GiveBack`], of one channel of one picture.
#[inline(always)]
fn give_back<T: Scalar>(planes: Planes, x: &[T], y: &[T], dy: &[T], dx: &mut [T]) {
    let Planes { pool: Pool { across, .. }, from: [_, width], to: [height, count] } = planes;
    // What has not found its number yet.
    let mut left = [T::zero(); WINDOWS];
    for row in 0..height {
        for first in (0..count).step_by(WINDOWS) {
            let length = WINDOWS.min(count - first);
            let (y, dy) = (&y[row * count + first..][..length], &dy[row * count + first..]);
            left[..length].copy_from_slice(&dy[..length]);
            for at in planes.rows(row) {
                let (x, dx) = (&x[at * width..][..width], &mut dx[at * width..][..width]);
                for i in 0..across.kernel {
                    let run = Run::of(across, i, width, first, length);
                    let windows = run.first..run.first + run.count;
                    let (left, y) = (&mut left[windows.clone()], &y[windows]);
                    move_to(left, y, &x[run.from..], &mut dx[run.from..], across.stride);
                }
            }
        }
    }
}

/// Where every stride-th x is y, dx gets what is left, and nothing is left.
#[inline(always)]
fn move_to<T: Scalar>(left: &mut [T], y: &[T], x: &[T], dx: &mut [T], stride: usize) {
    let windows = left.iter_mut().zip(y);
    match stride {
        1 => {
            for ((left, &y), (&x, dx)) in windows.zip(x.iter().zip(dx)) {
                move_one(left, y, x, dx);
            }
        }
        2 => {
            let (pairs, last) = x.as_chunks::<2>();
            let (of_pairs, of_last) = dx.as_chunks_mut::<2>();
            for ((left, &y), ([x, _], [dx, _])) in windows.zip(pairs.iter().zip(of_pairs)) {
                move_one(left, y, *x, dx);
            }
            let window = (left.get_mut(pairs.len()), y.get(pairs.len()));
            if let ((Some(left), Some(y)), [x], [dx]) = (window, last, of_last) {
                move_one(left, *y, *x, dx);
            }
        }
        stride => {
            let xs = x.iter().zip(dx).step_by(stride);
            for ((left, &y), (&x, dx)) in windows.zip(xs) {
                move_one(left, y, x, dx);
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::eq_op, reason = "what is not a number is not itself; a method would be a call")]
fn move_one<T: Scalar>(left: &mut T, y: T, x: T, dx: &mut T) {
    let found = x == y || x != x;
    *dx += if found { *left } else { T::zero() };
    *left = if found { T::zero() } else { *left };
}

register!(
    MaxPool2d in LAYER,
    example: "MaxPool2d(kernel: 2)",
    checks: [
        "MaxPool2d(kernel: 2)",
        "MaxPool2d(kernel: 3, stride: 2, ceil: true)",
        "MaxPool2d(kernel: (2, 3), stride: (3, 1), padding: (1, 1))",
        "MaxPool2d(kernel: (3, 2), stride: 1, padding: (1, 0), dilation: (1, 2))",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::{array, assert_near, from_fn, graph, random};

    /// The layer by its definition, with the place of each largest number.
    fn plain(layer: &MaxPool2d, x: &[f64], size: [usize; 2], i: usize, j: usize) -> (f64, usize) {
        let Pool { down, across } = layer.pool();
        let mut best = (f64::NEG_INFINITY, 0);
        for k in down.within(i, size[0]) {
            for l in across.within(j, size[1]) {
                let at = down.place(i, k) * size[1] + across.place(j, l);
                if x[at] > best.0 {
                    best = (x[at], at);
                }
            }
        }
        best
    }

    fn pairs(a: [usize; 2], b: [usize; 2], c: [usize; 2], d: [usize; 2], ceil: bool) -> MaxPool2d {
        let pair = |[height, width]: [usize; 2]| Pair { height, width };
        let [kernel, stride, padding, dilation] = [a, b, c, d].map(pair);
        MaxPool2d { kernel, stride: Some(stride), padding, dilation, ceil }
    }

    #[test]
    fn equals_the_definition_forward_and_backward() {
        let layers = [
            pairs([2, 2], [2, 2], [0, 0], [1, 1], false),
            pairs([1, 1], [1, 1], [0, 0], [1, 1], false),
            pairs([3, 3], [2, 2], [0, 0], [1, 1], false),
            pairs([3, 3], [2, 2], [1, 1], [1, 1], true),
            pairs([3, 2], [1, 3], [1, 1], [1, 1], true),
            pairs([2, 2], [1, 2], [0, 1], [2, 3], false),
        ];
        let sizes = [[1, 1, 1, 1], [2, 3, 4, 5], [1, 2, 7, 8], [3, 1, 13, 600], [2, 2, 3, 1]];
        let mut tried = 0;
        for (layer, [n, c, h, w]) in layers.iter().flat_map(|l| sizes.map(|size| (l, size))) {
            let MaxPool2d { kernel, stride, padding, dilation, ceil } = layer;
            let stride = stride.unwrap();
            let text = format!(
                "MaxPool2d(kernel: {kernel}, stride: {stride}, padding: {padding}, dilation: {dilation}, ceil: {ceil})"
            );
            let x = random::<f64>(&[n, c, h, w], 1);
            let Ok(mut bench) = LayerBench::try_new(&text, vec![x.clone().into()]) else {
                continue;
            };
            let y = bench.forward(Mode::Eval);
            let [rows, columns] = shared::size(&y);
            let plane = |of: usize| &x.as_slice()[of * h * w..][..h * w];
            let expected = from_fn([n, c, rows, columns], |[n, m, i, j]| {
                plain(layer, plane(n * c + m), [h, w], i, j).0
            });
            assert_near(&y, &expected);
            let dy = random::<f64>(y.shape(), 2);
            bench.backward(&dy);
            let mut dx = vec![0.0; x.as_slice().len()];
            for (at, dy) in dy.as_slice().iter().enumerate() {
                let (i, j, of) = (at / columns % rows, at % columns, at / columns / rows);
                dx[of * h * w + plain(layer, plane(of), [h, w], i, j).1] += dy;
            }
            assert_near(bench.input_gradient(X), &array(&[n, c, h, w], &dx));
            tried += 1;
        }
        assert!(tried > 20, "{tried}");
    }

    #[test]
    fn of_equal_numbers_the_first_gets_the_gradient() {
        let x = array(&[1, 1, 2, 2], &[1.0, 1.0, 1.0, 1.0]);
        let mut bench = LayerBench::<f64>::new("MaxPool2d(kernel: 2)", vec![x.into()]);
        bench.forward(Mode::Eval);
        bench.backward(&array(&[1, 1, 1, 1], &[3.0]));
        assert_eq!(bench.input_gradient(X).as_slice(), [3.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        for at in 0..4 {
            let mut x = [1.0, 2.0, 3.0, 4.0f32];
            x[at] = f32::NAN;
            let x = array(&[1, 1, 2, 2], &x);
            let y = LayerBench::new("MaxPool2d(kernel: 2)", vec![x.into()]).forward(Mode::Eval);
            assert!(y.as_slice()[0].is_nan());
        }
    }

    #[test]
    fn sizes_may_be_bound_later() {
        let text = r#"Graph(
            inputs: {"x": [Batch, 3, Height, Width]},
            nodes: [(name: "out", layer: MaxPool2d(kernel: 3, stride: 2), from: ["x"])],
            outputs: {"out": "out"},
        )"#;
        let sizes = |width| [("Height", 7), ("Width", width)].into_iter().collect();
        let engine = engine_core::testing::engine::<f64>(text, sizes(9)).unwrap();
        let out = engine.plan().output("out").unwrap();
        assert_eq!(engine.plan().values[out].shape.dims()[2].size(), Some(3));
        let error = engine_core::testing::engine::<f64>(text, sizes(2)).unwrap_err();
        assert!(error.contains("field `kernel`: expected windows within the width"), "{error}");
    }

    #[test]
    fn windows_that_cannot_be_are_refused_with_numbers() {
        let refused = |layer: &str, message: &str| {
            let node = format!(r#"(name: "out", layer: MaxPool2d({layer}), from: ["x"])"#);
            let error = graph(r#""x": [Batch, 3, 5, 4]"#, &node).unwrap_err();
            assert!(error.contains(message), "{error}");
        };
        refused("kernel: 0", "field `kernel`: expected a number of at least 1 for the height");
        refused("kernel: 2, stride: (1, 0)", "field `stride`: expected a number of at least 1");
        refused("kernel: 2, dilation: 0", "field `dilation`: expected a number of at least 1");
        refused("kernel: (2, 3), padding: (1, 2)", "along the width, 1, found 2");
        refused("kernel: (6, 1)", "field `kernel`: expected windows within the height");
        refused("kernel: 2, dilation: 9, padding: 5", "found none in window");
    }
}
