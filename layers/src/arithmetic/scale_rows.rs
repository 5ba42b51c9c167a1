//! Every row times a number of its own.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::reduce;

/// Every row times a number of its own, such as a gate that opens for a whole vector.
///
/// ```text
/// y[.., j] = x[.., j] g[.., 0]
/// ```
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - `g`: `[.., 1]`
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleRows {}

const X: usize = 0;
const G: usize = 1;

#[typetag::serde]
impl Layer for ScaleRows {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::Rest, Axis::Any("Width")]),
            Port::real("g", [Axis::Rest, Axis::Is(Dim::Fixed(1))]),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        Ok(Signature::output(inputs.shape(X).clone(), Dependence::Row))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl<T: Scalar> Kernel<T> for ScaleRows {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, g) = (&cx.inputs[X], cx.inputs[G].as_slice());
        let (x, width) = (x.as_slice(), x.rows().ncols());
        let piece = rows_a_piece(width);
        team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), piece * width, |at, y| {
            for (y, at) in y.chunks_exact_mut(width).zip(at * piece..) {
                let x = &x[at * width..][..width];
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * g[at]);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, g, dy) = (&cx.inputs[X], cx.inputs[G].as_slice(), &cx.output_gradients[0]);
        let (x, dy, width) = (x.as_slice(), dy.as_slice(), x.rows().ncols());
        let piece = rows_a_piece(width);
        if let Some(dx) = cx.input_gradients.get(X) {
            team::for_each_chunk_mut(dx.as_mut_slice(), piece * width, |at, dx| {
                for (dx, at) in dx.chunks_exact_mut(width).zip(at * piece..) {
                    let dy = &dy[at * width..][..width];
                    dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy * g[at]);
                }
            });
        }
        if let Some(dg) = cx.input_gradients.get(G) {
            team::for_each_chunk_mut(dg.as_mut_slice(), piece, |at, dg| {
                for (dg, at) in dg.iter_mut().zip(at * piece..) {
                    let row = at * width..(at + 1) * width;
                    *dg += T::of(reduce::dot(&x[row.clone()], &dy[row]));
                }
            });
        }
    }
}

register!(ScaleRows in LAYER, example: "ScaleRows()", checks: ["ScaleRows()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, graph, random};

    #[test]
    fn values_and_gradients_are_right() {
        for [n, t, d, _] in SIZES {
            let (x, g) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, 1], 2));
            let dy = random::<f64>(&[n, t, d], 3);
            let mut bench =
                LayerBench::new("ScaleRows()", vec![x.clone().into(), g.clone().into()]);
            let (x, g, dys) = (x.view3(), g.view3(), dy.view3());
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, t, d], |i| x[i] * g[[i[0], i[1], 0]]));
            assert_eq!(bench.steps(), y);
            bench.backward(&dy);
            let dx = from_fn([n, t, d], |i| dys[i] * g[[i[0], i[1], 0]]);
            assert_near(bench.input_gradient(0), &dx);
            let dg =
                from_fn([n, t, 1], |[i, s, _]| (0..d).map(|j| x[[i, s, j]] * dys[[i, s, j]]).sum());
            assert_near(bench.input_gradient(1), &dg);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn more_than_a_number_a_row_is_refused() {
        let node = r#"(name: "out", layer: ScaleRows(), from: ["x", "g"])"#;
        assert!(graph(r#""x": [Batch, 3], "g": [Batch, 2]"#, node).is_err());
        assert!(graph(r#""x": [Batch, Time, 3], "g": [Batch, 1]"#, node).is_err());
    }
}
