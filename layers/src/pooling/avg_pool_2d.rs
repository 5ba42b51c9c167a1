//! The mean of each window of a picture.

use engine_core::registry::LAYER;
use engine_core::{
    Backward, Forward, Kernel, Layer, Lowered, Memory, Pair, PlanError, Port, PortShapes, Scalar,
    Signature, Windows, register,
};
use engine_kernels::lanes::{self, Simd, WithSimd};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{self, Planes, Pool, Run, fold_strided};
use crate::elementwise::rows_a_piece;

/// The mean of each window of a picture, channel by channel.
///
/// ```text
/// y[n, c, i, j] = (1 / K) sum over k, l of x[n, c, s i + k - p, s j + l - p]
/// K: how many places the window has within the padded picture; within the picture    count_padding: false
/// H' = (Height + 2 p - k) / s + 1, rounded down, with the height's stride s, padding p and kernel k
/// W' in the same way from the width's
/// ```
///
/// Beyond a picture's edge x is 0. With `ceil` the sizes are rounded up, but a window that would begin behind the picture
/// and the padding in front of it is left out. Conventions of PyTorch.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: `[Batch, Channels, H', W']`
///
/// # Errors
/// A kernel and a stride of 0 are refused, padding that is more than half a window, and windows that are larger than the
/// padded picture.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AvgPool2d {
    /// How many rows and columns a window has.
    pub kernel: Pair,
    /// How far a window is from the one before it; as far as it is large if left out.
    #[serde(default)]
    pub stride: Option<Pair>,
    /// How many rows and columns of zeros are added on each side.
    #[serde(default = "shared::no_padding")]
    pub padding: Pair,
    /// Whether sizes are rounded up.
    #[serde(default)]
    pub ceil: bool,
    /// Whether the zeros that were added count as numbers of a window.
    #[serde(default = "counted")]
    pub count_padding: bool,
}

fn counted() -> bool {
    true
}

const X: usize = 0;

#[typetag::serde]
impl Layer for AvgPool2d {
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

impl AvgPool2d {
    fn pool(&self) -> Pool {
        Pool::new(self.kernel, self.stride, self.padding, Pair::default(), self.ceil)
    }
}

impl<T: Scalar> Kernel<T> for AvgPool2d {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let planes = Planes::of(self.pool(), x, y);
        let (from, to) = planes.lengths();
        let piece = rows_a_piece(from);
        team::for_each_chunk_mut(y.as_mut_slice(), piece * to, |at, y| {
            let x = &x.as_slice()[at * piece * from..];
            lanes::widest(Mean { planes, padded: self.count_padding, x, y });
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let planes = Planes::of(self.pool(), dx, dy);
        let (from, to) = planes.lengths();
        let piece = rows_a_piece(from);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * from, |at, dx| {
            let dy = &dy.as_slice()[at * piece * to..];
            lanes::widest(Spread { planes, padded: self.count_padding, dy, dx });
        });
    }
}

/// How many places window `o` has among `size` numbers, and among those added if they count.
#[inline(always)]
fn places(windows: Windows, o: usize, size: usize, padded: bool) -> usize {
    let start = o * windows.stride;
    match padded {
        true => windows.kernel.min((size + 2 * windows.padding).saturating_sub(start)),
        false => windows.within(o, size).len(),
    }
}

/// numbers = numbers / K, for those of the windows from `first` on in a row whose windows hold `rows` rows.
#[inline(always)]
fn divide<T: Scalar>(
    numbers: &mut [T],
    first: usize,
    rows: usize,
    windows: Windows,
    size: usize,
    padded: bool,
) {
    // Few windows reach beyond the edge, and K is the same for all others.
    let whole = T::one() / T::of((rows * windows.kernel) as f64);
    let count = numbers.len();
    let cut = |o: usize| places(windows, first + o, size, padded) < windows.kernel;
    let (mut start, mut end) = (0, count);
    while start < count && cut(start) {
        start += 1;
    }
    while end > start && cut(end - 1) {
        end -= 1;
    }
    for number in &mut numbers[start..end] {
        *number *= whole;
    }
    for o in (0..start).chain(end..count) {
        numbers[o] /= T::of((rows * places(windows, first + o, size, padded)) as f64);
    }
}

/// y = the mean of each window.
struct Mean<'a, T> {
    planes: Planes,
    padded: bool,
    x: &'a [T],
    y: &'a mut [T],
}

impl<T: Scalar> WithSimd for Mean<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Planes { pool: Pool { down, across }, from: [height, width], to: [_, count] } =
            self.planes;
        let (from, to) = self.planes.lengths();
        for (x, y) in self.x.chunks_exact(from).zip(self.y.chunks_exact_mut(to)) {
            for (row, y) in y.chunks_exact_mut(count).enumerate() {
                y.fill(T::zero());
                for at in self.planes.rows(row) {
                    let x = &x[at * width..][..width];
                    for i in 0..across.kernel {
                        let run = Run::of(across, i, width, 0, count);
                        let y = &mut y[run.first..][..run.count];
                        fold_strided(y, &x[run.from..], across.stride, |y, x| y + x);
                    }
                }
                let rows = places(down, row, height, self.padded);
                divide(y, 0, rows, across, width, self.padded);
            }
        }
    }
}

/// dx = dx + dy / K, for all windows that hold x.
struct Spread<'a, T> {
    planes: Planes,
    padded: bool,
    dy: &'a [T],
    dx: &'a mut [T],
}

/// The most windows that are looked at together.
const WINDOWS: usize = 256;

impl<T: Scalar> WithSimd for Spread<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Planes { pool: Pool { down, across }, from: [height, width], to: [_, count] } =
            self.planes;
        let (from, to) = self.planes.lengths();
        let mut share = [T::zero(); WINDOWS];
        for (dx, dy) in self.dx.chunks_exact_mut(from).zip(self.dy.chunks_exact(to)) {
            for (row, dy) in dy.chunks_exact(count).enumerate() {
                let rows = places(down, row, height, self.padded);
                for (block, dy) in dy.chunks(WINDOWS).enumerate() {
                    let (first, share) = (block * WINDOWS, &mut share[..dy.len()]);
                    share.copy_from_slice(dy);
                    divide(share, first, rows, across, width, self.padded);
                    for at in self.planes.rows(row) {
                        let dx = &mut dx[at * width..][..width];
                        for i in 0..across.kernel {
                            let run = Run::of(across, i, width, first, dy.len());
                            let share = &share[run.first..][..run.count];
                            add_apart(&mut dx[run.from..], share, across.stride);
                        }
                    }
                }
            }
        }
    }
}

/// Every stride-th dx = dx + share.
#[inline(always)]
fn add_apart<T: Scalar>(dx: &mut [T], share: &[T], stride: usize) {
    match stride {
        1 => {
            for (dx, &share) in dx.iter_mut().zip(share) {
                *dx += share;
            }
        }
        stride => {
            for (dx, &share) in dx.iter_mut().step_by(stride).zip(share) {
                *dx += share;
            }
        }
    }
}

register!(
    AvgPool2d in LAYER,
    example: "AvgPool2d(kernel: 2)",
    checks: [
        "AvgPool2d(kernel: 2)",
        "AvgPool2d(kernel: 3, stride: 2, padding: 1, ceil: true)",
        "AvgPool2d(kernel: (2, 3), stride: (3, 1), padding: 1, ceil: true, count_padding: false)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::{assert_near, from_fn, graph, random};

    #[test]
    fn equals_the_definition_and_its_gradients() {
        let options = [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1), (1, 1, 0)];
        let mut tried = 0;
        for (kernel, stride, padding) in options {
            for (ceil, count_padding) in
                [(false, true), (true, true), (false, false), (true, false)]
            {
                let text = format!(
                    "AvgPool2d(kernel: {kernel}, stride: {stride}, padding: {padding}, ceil: {ceil}, count_padding: {count_padding})"
                );
                for [n, c, h, w] in [[1, 1, 1, 1], [2, 3, 4, 5], [3, 1, 5, 600], [2, 2, 3, 1]] {
                    let x = random::<f64>(&[n, c, h, w], 1);
                    let inputs = vec![x.clone().into()];
                    let Ok(mut bench) = LayerBench::try_new(&text, inputs) else { continue };
                    let y = bench.forward(Mode::Eval);
                    let [rows, columns] = shared::size(&y);
                    let at = |o: usize, size: usize| {
                        let start = o * stride;
                        let end = (start + kernel).min(size + 2 * padding);
                        let inside =
                            (start..end).filter(move |p| (padding..size + padding).contains(p));
                        (end - start, inside.map(move |p| p - padding).collect::<Vec<_>>())
                    };
                    let expected = from_fn([n, c, rows, columns], |[n, m, i, j]| {
                        let ((all_i, is), (all_j, js)) = (at(i, h), at(j, w));
                        let sum: f64 = is
                            .iter()
                            .flat_map(|i| js.iter().map(move |j| (i, j)))
                            .map(|(i, j)| x.as_slice()[((n * c + m) * h + i) * w + j])
                            .sum();
                        let inside = is.len() * js.len();
                        sum / if count_padding { all_i * all_j } else { inside } as f64
                    });
                    assert_near(&y, &expected);
                    if w < 100 {
                        assert!(bench.gradient_error() < 1e-7, "{text}");
                    }
                    tried += 1;
                }
            }
        }
        assert!(tried > 40, "{tried}");
    }

    #[test]
    fn wide_rows_have_the_gradients_of_narrow_ones() {
        let text = "AvgPool2d(kernel: 3, stride: 2, padding: 1)";
        let mut bench = LayerBench::new(text, vec![random::<f64>(&[1, 1, 1, 1101], 1).into()]);
        let y = bench.forward(Mode::Eval);
        let dy = random::<f64>(y.shape(), 2);
        bench.backward(&dy);
        let dx = from_fn([1, 1, 1, 1101], |[.., at]| {
            let windows = (0..551).filter(|o| (2 * o..2 * o + 3).contains(&(at + 1)));
            windows.map(|o| dy.as_slice()[o] / 9.0).sum()
        });
        assert_near(bench.input_gradient(X), &dx);
    }

    #[test]
    fn padding_of_more_than_half_a_window_is_refused() {
        let node = r#"(name: "out", layer: AvgPool2d(kernel: 3, padding: 2), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 3, 5, 4]"#, node).unwrap_err();
        assert!(
            error.contains("field `padding`: expected at most half of the 3 places"),
            "{error}"
        );
    }
}
