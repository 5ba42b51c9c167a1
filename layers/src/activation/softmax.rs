//! Rows as probabilities.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::reduce::{self, softmax};
use crate::width;

/// Every row as probabilities, such as scores of regions as the weights of an attention.
///
/// ```text
/// y[.., i] = exp(x[.., i]) / (sum over j of exp(x[.., j]))
/// ```
///
/// What is not there has no part in the sum, and its y is 0; where nothing is there, all of y is 0.
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - `mask`, optional: numbers of the shape of `x`; what is 0 in it is not there. It gets no gradient
/// - output: `[.., Width]`
///
/// # Errors
/// An x whose last dimension is `Batch` or `Time` is refused: a step would see only itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

const X: usize = 0;
const MASK: usize = 1;

#[typetag::serde]
impl Layer for Softmax {
    fn ports(&self) -> Vec<Port> {
        let shape = [Axis::Rest, Axis::Any("Width")];
        vec![Port::real("x", shape), Port::real("mask", shape).optional()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        width::of_rows(x)?;
        Ok(Signature::output(x.clone(), Dependence::Row))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl<T: Scalar> Kernel<T> for Softmax {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = &cx.inputs[X];
        let mask = cx.inputs.get(MASK).map(|mask| mask.as_slice());
        let width = x.rows().ncols();
        let length = rows_a_piece(width) * width;
        team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), length, |at, y| {
            let piece = at * length..at * length + y.len();
            y.copy_from_slice(&x.as_slice()[piece.clone()]);
            if let Some(mask) = mask {
                leave_out(y, &mask[piece]);
            }
            y.chunks_exact_mut(width).for_each(|row| {
                softmax(row);
            });
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (y, dy) = (&cx.outputs[0], cx.output_gradients[0].as_slice());
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let width = y.rows().ncols();
        let length = rows_a_piece(width) * width;
        team::for_each_chunk_mut(dx.as_mut_slice(), length, |at, dx| {
            let piece = at * length..at * length + dx.len();
            let rows = y.as_slice()[piece.clone()].chunks_exact(width);
            let rows = rows.zip(dy[piece].chunks_exact(width)).zip(dx.chunks_exact_mut(width));
            rows.for_each(|((y, dy), dx)| add_gradient(y, dy, dx));
        });
    }
}

/// What is not there becomes minus infinity, whose exponential is 0.
fn leave_out<T: Scalar>(x: &mut [T], mask: &[T]) {
    let absent = x.iter_mut().zip(mask).filter(|(_, mask)| **mask == T::zero());
    absent.for_each(|(x, _)| *x = T::neg_infinity());
}

/// dx = dx + y (dy - y . dy), of one row.
fn add_gradient<T: Scalar>(y: &[T], dy: &[T], dx: &mut [T]) {
    let mean = T::of(reduce::dot(y, dy));
    let terms = y.iter().zip(dy).map(|(&y, &dy)| y * (dy - mean));
    dx.iter_mut().zip(terms).for_each(|(dx, term)| *dx += term);
}

register!(Softmax in LAYER, example: "Softmax()", checks: ["Softmax()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random};

    #[test]
    fn equals_the_formula_with_a_mask_and_without() {
        for [n, t, d, _] in SIZES {
            let x = random::<f64>(&[n, t, d], 1);
            let mask = from_fn([n, t, d], |[i, s, j]| [1.0, -0.5, 0.0][(i + 2 * s + j) % 3]);
            for wired in [false, true] {
                let there = |i| !wired || mask.view3()[i] != 0.0;
                let e = |i| if there(i) { x.view3()[i].exp() } else { 0.0 };
                let expected = from_fn([n, t, d], |[i, s, j]| {
                    let sum: f64 = (0..d).map(|j| e([i, s, j])).sum();
                    if sum == 0.0 { 0.0 } else { e([i, s, j]) / sum }
                });
                let mut inputs = vec![x.clone().into()];
                if wired {
                    inputs.push(mask.clone().into());
                }
                let mut bench = LayerBench::new("Softmax()", inputs);
                assert_near(&bench.forward(Mode::Eval), &expected);
                assert_near(&bench.steps(), &expected);
                assert!(bench.gradient_error() < 1e-6);
            }
        }
    }

    #[test]
    fn extreme_scores_are_no_trouble() {
        for (x, y) in [
            ([1e4f32, -1e4, 0.0], [1.0, 0.0, 0.0]),
            ([f32::MAX, f32::MIN, f32::MAX], [0.5, 0.0, 0.5]),
            ([-1e30, -1e30, f32::NEG_INFINITY], [0.5, 0.5, 0.0]),
            ([f32::NEG_INFINITY; 3], [0.0; 3]),
        ] {
            let mut bench = LayerBench::new("Softmax()", vec![array(&[1, 3], &x).into()]);
            assert_eq!(bench.forward(Mode::Eval).as_slice(), y, "{x:?}");
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so_unless_it_is_not_there() {
        let x = array(&[1, 2], &[f64::NAN, 3.0]);
        let y = LayerBench::new("Softmax()", vec![x.clone().into()]).forward(Mode::Eval);
        assert!(y.as_slice().iter().all(|y| y.is_nan()));
        let inputs = vec![x.into(), array(&[1, 2], &[0.0, 1.0]).into()];
        assert_eq!(LayerBench::new("Softmax()", inputs).forward(Mode::Eval).as_slice(), [0.0, 1.0]);
    }

    #[test]
    fn probabilities_over_time_are_refused() {
        let node = r#"(name: "out", layer: Softmax(), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 3, Time]"#, node).unwrap_err();
        assert!(error.contains("last dimension has a fixed size"), "{error}");
    }
}
