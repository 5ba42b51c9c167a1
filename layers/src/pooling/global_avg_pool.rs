//! The mean of each channel of a picture.

use engine_core::registry::LAYER;
use engine_core::{
    Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port, PortShapes,
    Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared;
use crate::elementwise::rows_a_piece;
use crate::reduce;

/// The mean of each channel of a picture: a vector of what is in it, wherever that is.
///
/// ```text
/// y[n, c] = (1 / (Height Width)) sum over i, j of x[n, c, i, j]
/// ```
///
/// Lin, Chen and Yan, "Network In Network", 2014.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: `[Batch, Channels]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GlobalAvgPool {}

const X: usize = 0;

#[typetag::serde]
impl Layer for GlobalAvgPool {
    fn ports(&self) -> Vec<Port> {
        vec![shared::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        shared::sides(x)?;
        Ok(Signature::output([x[0], x[1]], Dependence::Item))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl<T: Scalar> Kernel<T> for GlobalAvgPool {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let length = shared::length(x);
        let piece = rows_a_piece(length);
        team::for_each_chunk_mut(y.as_mut_slice(), piece, |at, y| {
            let x = x.as_slice()[at * piece * length..].chunks_exact(length);
            for (y, x) in y.iter_mut().zip(x) {
                *y = T::of(reduce::sum_pairs(x, x, |x, _| x.f64()) / length as f64);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let length = shared::length(dx);
        let (piece, share) = (rows_a_piece(length), T::one() / T::of(length as f64));
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * length, |at, dx| {
            for (dx, &dy) in dx.chunks_exact_mut(length).zip(&dy[at * piece..]) {
                let dy = share * dy;
                dx.iter_mut().for_each(|dx| *dx += dy);
            }
        });
    }
}

register!(GlobalAvgPool in LAYER, example: "GlobalAvgPool()", checks: ["GlobalAvgPool()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, graph, random};

    #[test]
    fn values_and_gradients_are_right() {
        for [n, c, h, w] in SIZES {
            let x = random::<f64>(&[n, c, h, w], 1);
            let mut bench = LayerBench::new("GlobalAvgPool()", vec![x.clone().into()]);
            let expected = from_fn([n, c], |[i, j]| {
                x.as_slice()[(i * c + j) * h * w..][..h * w].iter().sum::<f64>() / (h * w) as f64
            });
            assert_near(&bench.forward(Mode::Eval), &expected);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn sides_that_change_from_batch_to_batch_are_refused() {
        let node = r#"(name: "out", layer: GlobalAvgPool(), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 3, Time, 4]"#, node).unwrap_err();
        assert!(
            error.contains("height and width have fixed sizes, found [Batch, 3, Time, 4]"),
            "{error}"
        );
    }
}
