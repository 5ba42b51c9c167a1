//! The sum over one dimension.

use engine_core::registry::LAYER;
use engine_core::{Layer, Lowered, Memory, PlanError, Port, PortShapes, Signature, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::over_axis;

/// The sum over one dimension, such as that of a grid's regions.
///
/// ```text
/// y[n, ..] = sum over i of x[n, i, ..]        axis: 1
/// ```
///
/// Over `Time` it is taken of every position of a batch's arrays, those that fill up short sequences among them.
///
/// # Shapes
/// - `x`: `[Batch, ..]`
/// - output: the same without the dimension `axis`
///
/// # Errors
/// A dimension that x does not have is refused, and so is 0: examples stay apart.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// Which dimension, counted from 0, the batch.
    pub axis: usize,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Sum {
    fn ports(&self) -> Vec<Port> {
        vec![over_axis::port(self.axis)]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        over_axis::signature(inputs.shape(X), self.axis)
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        over_axis::lower(memory, self.axis, |_| 1.0)
    }
}

register!(Sum in LAYER, example: "Sum(axis: 1)", checks: ["Sum(axis: 1)", "Sum(axis: 2)"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, graph, random};

    #[test]
    fn values_and_gradients_are_right() {
        for [n, a, b, _] in SIZES {
            let x = random::<f64>(&[n, a, b], 1);
            let xs = x.view3();
            let by = [1.0 / 1.0, 1.0 / 1.0];
            let first =
                from_fn([n, b], |[i, k]| (0..a).map(|j| xs[[i, j, k]]).sum::<f64>() * by[0]);
            let second =
                from_fn([n, a], |[i, j]| (0..b).map(|k| xs[[i, j, k]]).sum::<f64>() * by[1]);
            for (axis, expected) in [(1, first), (2, second)] {
                let mut bench =
                    LayerBench::new(&format!("Sum(axis: {axis})"), vec![x.clone().into()]);
                assert_near(&bench.forward(Mode::Eval), &expected);
                let dy = random::<f64>(expected.shape(), 2);
                bench.backward(&dy);
                let dx = from_fn([n, a, b], |[i, j, k]| {
                    by[axis - 1] * dy.rows()[[i, if axis == 1 { k } else { j }]]
                });
                assert_near(bench.input_gradient(0), &dx);
                assert!(bench.gradient_error() < 1e-8);
            }
        }
    }

    #[test]
    fn steps_equal_the_forward_pass_where_time_stays() {
        let node = r#"(name: "out", layer: Sum(axis: 2), from: ["x"])"#;
        let x = random::<f64>(&[2, 3, 4, 5], 1);
        let mut batch = engine_core::Batch::new();
        batch.f64_mut("x", x.shape()).copy_from_slice(x.as_slice());
        let mut engine = graph(r#""x": [Batch, Time, 4, 5]"#, node).unwrap();
        engine.forward(&batch, Mode::Eval).unwrap();
        let steps = engine_core::testing::stepwise(&engine, &batch, "out").unwrap();
        assert_eq!(&steps, engine.output("out").unwrap());
        let mut folded = graph(r#""x": [Batch, Time, 4]"#, &node.replace('2', "1")).unwrap();
        let x = random::<f64>(&[2, 3, 4], 1);
        batch.f64_mut("x", x.shape()).copy_from_slice(x.as_slice());
        folded.forward(&batch, Mode::Eval).unwrap();
        assert!(engine_core::testing::stepwise(&folded, &batch, "out").is_err());
    }

    #[test]
    fn other_dimensions_are_refused() {
        for (axis, message) in [(0, "examples stay apart"), (9, "expected a dimension from 1")] {
            let node = format!(r#"(name: "out", layer: Sum(axis: {axis}), from: ["x"])"#);
            let error = graph(r#""x": [Batch, 3, 2, 2, 2, 2, 2, 2, 2, 2]"#, &node).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
        let node = r#"(name: "out", layer: Sum(axis: 2), from: ["x"])"#;
        assert!(graph(r#""x": [Batch, 3]"#, node).is_err());
    }
}
