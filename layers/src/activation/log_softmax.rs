//! Rows as logarithms of probabilities.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Scratch, Signature, register,
};
use engine_kernels::{math, team};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::reduce;
use crate::width;

/// Every row as logarithms of probabilities.
///
/// ```text
/// y[.., i] = x[.., i] - log(sum over j of exp(x[.., j]))
/// ```
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - output: `[.., Width]`
///
/// # Errors
/// An x whose last dimension is `Batch` or `Time` is refused: a step would see only itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogSoftmax {}

const X: usize = 0;

#[typetag::serde]
impl Layer for LogSoftmax {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        width::of_rows(x)?;
        Ok(Signature::output(x.clone(), Dependence::Row))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let exponentials = memory.scratch(memory.output().clone());
        Lowered::new(LogSoftmaxKernel { exponentials })
    }
}

/// The function, and memory for the exponentials of rows.
#[derive(Debug)]
struct LogSoftmaxKernel {
    exponentials: Scratch,
}

impl<T: Scalar> Kernel<T> for LogSoftmaxKernel {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = &cx.inputs[X];
        let width = x.rows().ncols();
        let length = rows_a_piece(width) * width;
        let y = (cx.outputs[0].as_mut_slice(), length);
        let exponentials = (cx.scratch[self.exponentials].as_mut_slice(), length);
        team::for_each_chunk_mut2(y, exponentials, |at, y, exponentials| {
            let x = x.as_slice()[at * length..].chunks_exact(width);
            let rows = y.chunks_exact_mut(width).zip(exponentials.chunks_exact_mut(width)).zip(x);
            rows.for_each(|((y, exponentials), x)| log_softmax(x, exponentials, y));
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (y, dy) = (cx.outputs[0].as_slice(), &cx.output_gradients[0]);
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (dy, width) = (dy.as_slice(), dy.rows().ncols());
        let length = rows_a_piece(width) * width;
        let dx = (dx.as_mut_slice(), length);
        let exponentials = (cx.scratch[self.exponentials].as_mut_slice(), length);
        team::for_each_chunk_mut2(dx, exponentials, |at, dx, p| {
            let piece = at * length..at * length + dx.len();
            p.copy_from_slice(&y[piece.clone()]);
            math::exp(p);
            let rows = p.chunks_exact(width).zip(dy[piece].chunks_exact(width));
            for ((p, dy), dx) in rows.zip(dx.chunks_exact_mut(width)) {
                let sum = T::of(reduce::sum(dy));
                let terms = p.iter().zip(dy).map(|(&p, &dy)| dy - p * sum);
                dx.iter_mut().zip(terms).for_each(|(dx, term)| *dx += term);
            }
        });
    }
}

/// y = x - log(sum of exp x), of one row.
fn log_softmax<T: Scalar>(x: &[T], exponentials: &mut [T], y: &mut [T]) {
    let largest = reduce::largest(x);
    exponentials.iter_mut().zip(x).for_each(|(e, &x)| *e = x - largest);
    math::exp(exponentials);
    let log = T::of(reduce::sum(exponentials).ln());
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - largest) - log);
}

register!(LogSoftmax in LAYER, example: "LogSoftmax()", checks: ["LogSoftmax()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random};

    #[test]
    fn equals_the_formula() {
        for [n, t, d, _] in SIZES {
            let x = random::<f64>(&[n, t, d], 1);
            let mut bench = LayerBench::new("LogSoftmax()", vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            let x = x.view3();
            let expected = from_fn([n, t, d], |[i, s, j]| {
                x[[i, s, j]] - (0..d).map(|j| x[[i, s, j]].exp()).sum::<f64>().ln()
            });
            assert_near(&y, &expected);
            assert_near(&bench.steps(), &y);
            assert!(bench.gradient_error() < 1e-6);
        }
    }

    #[test]
    fn extreme_scores_are_no_trouble() {
        let x = array(&[1, 3], &[1e30f32, -1e30, 1e30]);
        let y = LayerBench::new("LogSoftmax()", vec![x.into()]).forward(Mode::Eval);
        let half = -std::f32::consts::LN_2;
        assert_eq!(y.as_slice(), [half, -2e30, half]);
    }

    #[test]
    fn probabilities_over_time_are_refused() {
        let node = r#"(name: "out", layer: LogSoftmax(), from: ["x"])"#;
        assert!(graph(r#""x": [Batch, 3, Time]"#, node).is_err());
    }
}
