//! The same array at every step.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Sequences, Shape, Signature, Symbol, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;

/// What an example has, at every step of its sequence: features beside each word.
///
/// ```text
/// y[n, t] = x[n]
/// ```
///
/// # Shapes
/// - `x`: `[Batch, ..]`, without `Time`
/// - `like`: `[Batch, Time, Any]`; only its steps matter, and it gets no gradient
/// - output: `[Batch, Time, ..]`
///
/// # Errors
/// An x that has `Time` is refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AlongTime {}

const X: usize = 0;
const LIKE: usize = 1;

#[typetag::serde]
impl Layer for AlongTime {
    fn ports(&self) -> Vec<Port> {
        vec![
            Port::real("x", [Axis::BATCH, Axis::Rest]),
            Port::real("like", [Axis::BATCH, Axis::TIME, Axis::Any("Any")]),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (x, like) = (inputs.shape(X), inputs.shape(LIKE));
        if x.has(Symbol::TIME) {
            return Err(PlanError::new(format!("expected an x without Time, found {x}")));
        }
        let rest = &x.dims()[1..];
        let output = Shape::new([x[0], like[1]].into_iter().chain(rest.iter().copied()));
        Ok(Signature::output(output, Dependence::Position))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone()).indexed(LIKE)
    }
}

impl<T: Scalar> Kernel<T> for AlongTime {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let width = x.flat().ncols();
        let (sequences, piece) = (Sequences::of(y, cx.sequences), rows_a_piece(width));
        team::for_each_chunk_mut(y.as_mut_slice(), piece * width, |at, y| {
            for (y, row) in y.chunks_exact_mut(width).zip(at * piece..) {
                let (sequence, _) = sequences.position(row);
                y.copy_from_slice(&x.as_slice()[sequence * width..][..width]);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (sequences, width) = (Sequences::of(dy, cx.sequences), dx.flat().ncols());
        let piece = rows_a_piece(dy.as_slice().len() / sequences.count());
        // One step after the other: the sum has the same order whoever takes it.
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * width, |at, dx| {
            for (dx, sequence) in dx.chunks_exact_mut(width).zip(at * piece..) {
                for row in sequences.rows_of(sequence) {
                    let dy = &dy.as_slice()[row * width..][..width];
                    dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy);
                }
            }
        });
    }
}

register!(AlongTime in LAYER, example: "AlongTime()", checks: ["AlongTime()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, graph, random};

    #[test]
    fn every_step_has_the_array_and_gradients_are_summed() {
        for [n, t, d, m] in SIZES {
            let (x, like) = (random::<f64>(&[n, d], 1), random::<f64>(&[n, t, m], 2));
            let dy = random::<f64>(&[n, t, d], 3);
            let mut bench = LayerBench::new("AlongTime()", vec![x.clone().into(), like.into()]);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, t, d], |[i, _, j]| x.rows()[[i, j]]));
            assert_eq!(bench.steps(), y);
            bench.backward(&dy);
            let sums = from_fn([n, d], |[i, j]| (0..t).map(|s| dy.view3()[[i, s, j]]).sum());
            assert_near(bench.input_gradient(0), &sums);
            assert!(bench.input_gradient(1).as_slice().iter().all(|g| *g == 0.0));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn arrays_of_any_rank_are_taken() {
        let (x, like) = (random::<f64>(&[2, 3, 4], 1), random::<f64>(&[2, 5, 1], 2));
        let mut bench = LayerBench::new("AlongTime()", vec![x.clone().into(), like.into()]);
        let y = bench.forward(Mode::Eval);
        assert_eq!(y, from_fn([2, 5, 3, 4], |[i, _, j, k]| x.view3()[[i, j, k]]));
        assert_eq!(bench.steps(), y);
    }

    #[test]
    fn what_has_time_already_is_refused() {
        let node = r#"(name: "out", layer: AlongTime(), from: ["x", "x"])"#;
        let error = graph(r#""x": [Batch, Time, 3]"#, node).unwrap_err();
        assert!(error.contains("expected an x without Time"), "{error}");
    }
}
