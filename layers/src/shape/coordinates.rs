//! Where in a picture a place is, as two more channels.

use engine_core::registry::LAYER;
use engine_core::{
    Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pooling::shared as pooling;

/// Pictures with two channels more, which say where in the picture a place is.
///
/// ```text
/// y[n, c, i, j] = x[n, c, i, j]                    c < Channels
///                 2 i / (Height - 1) - 1           c = Channels: from -1 above to 1 below
///                 2 j / (Width - 1) - 1            c = Channels + 1: from -1 on the left to 1 on the right
/// ```
///
/// Along a side of a single place they are 0. A convolution sees the same wherever it is; with these channels it can tell
/// places apart. Liu et al., "An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution", 2018.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: `[Batch, Channels + 2, Height, Width]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Coordinates {}

const X: usize = 0;

/// Channels that are added.
const ADDED: usize = 2;

#[typetag::serde]
impl Layer for Coordinates {
    fn ports(&self) -> Vec<Port> {
        vec![pooling::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let [height, width] = pooling::sides(x)?;
        let channels = pooling::channels(x)?.plus(Dim::Fixed(ADDED));
        Ok(Signature::output([x[0], channels, height, width], Dependence::Item))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

/// Place `at` of `count`, from -1 to 1.
fn coordinate<T: Scalar>(at: usize, count: usize) -> T {
    let last = count.saturating_sub(1);
    T::of(if last == 0 { 0.0 } else { 2.0 * at as f64 / last as f64 - 1.0 })
}

impl<T: Scalar> Kernel<T> for Coordinates {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let ([height, width], length) = (pooling::size(x), pooling::length(x));
        let maps = x.dim(1) * length;
        team::for_each_chunk_mut(y.as_mut_slice(), maps + ADDED * length, |at, y| {
            let (same, added) = y.split_at_mut(maps);
            same.copy_from_slice(&x.as_slice()[at * maps..][..maps]);
            let (down, across) = added.split_at_mut(length);
            for (i, row) in down.chunks_exact_mut(width.max(1)).enumerate() {
                row.fill(coordinate(i, height));
            }
            for row in across.chunks_exact_mut(width.max(1)) {
                row.iter_mut().enumerate().for_each(|(j, y)| *y = coordinate(j, width));
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (length, channels) = (pooling::length(dx), dx.dim(1));
        let maps = (channels * length).max(1);
        team::for_each_chunk_mut(dx.as_mut_slice(), maps, |at, dx| {
            let dy = &dy[at * (maps + ADDED * length)..];
            dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
        });
    }
}

register!(Coordinates in LAYER, example: "Coordinates()", checks: ["Coordinates()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, graph, random};

    #[test]
    fn places_go_from_minus_one_to_one() {
        let x = array(&[1, 1, 2, 3], &[9.0; 6]);
        let y = LayerBench::<f64>::new("Coordinates()", vec![x.into()]).forward(Mode::Eval);
        let down = [-1.0, -1.0, -1.0, 1.0, 1.0, 1.0];
        let across = [-1.0, 0.0, 1.0, -1.0, 0.0, 1.0];
        assert_near(&y, &array(&[1, 3, 2, 3], &[[9.0; 6], down, across].concat()));
    }

    #[test]
    fn pictures_stay_as_they_are() {
        for [n, c, h, w] in SIZES {
            let x = random::<f64>(&[n, c, h, w], 1);
            let mut bench = LayerBench::new("Coordinates()", vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y.shape(), [n, c + 2, h, w]);
            let own = |i: usize| &y.as_slice()[i * (c + 2) * h * w..][..c * h * w];
            assert!((0..n).all(|i| own(i) == &x.as_slice()[i * c * h * w..][..c * h * w]));
            let dy = random::<f64>(y.shape(), 2);
            bench.backward(&dy);
            let of_own = |i: usize| &dy.as_slice()[i * (c + 2) * h * w..][..c * h * w];
            let dx = bench.input_gradient(0).as_slice();
            assert!((0..n).all(|i| of_own(i) == &dx[i * c * h * w..][..c * h * w]));
        }
    }

    #[test]
    fn channels_that_vary_are_refused() {
        let node = r#"(name: "out", layer: Coordinates(), from: ["x"])"#;
        let error = graph(r#""x": [Batch, Time, 3, 4]"#, node).unwrap_err();
        assert!(error.contains("expected pictures with a fixed number of channels"), "{error}");
    }
}
