//! Arrays side by side.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Shape, Signature, Symbol, Tensor, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// Two or more arrays side by side, joined along one dimension: the last, unless `axis` says another.
///
/// ```text
/// y[.., :, ..] = [x_1[.., :, ..], x_2[.., :, ..], ..]
/// ```
///
/// # Shapes
/// - `x`, two or more: `[.., Width, ..]`, all the same but for `Width`, the dimension along which they are joined
/// - output: the same with the sum of the widths
///
/// # Errors
/// Arrays whose joined dimension is `Batch` or `Time` are refused: these change from batch to batch, and must stay the
/// same throughout a network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concat {
    /// The dimension along which arrays are joined, from 1, the first after the batch: 1 for the channels of pictures. The
    /// last one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<usize>,
}

const FIRST: usize = 0;

/// The names of dimensions between the batch and the joined one.
const DIMENSIONS: [&str; 6] = ["Axis1", "Axis2", "Axis3", "Axis4", "Axis5", "Axis6"];

/// Numbers of one array, side by side, that are worth sharing among threads.
const LONG: usize = 1 << 14;

#[typetag::serde]
impl Layer for Concat {
    fn ports(&self) -> Vec<Port> {
        let width = Axis::Each("Width");
        let pattern = match self.axis {
            None => vec![Axis::Rest, width],
            Some(axis) => {
                let between = DIMENSIONS.iter().take(axis.saturating_sub(1));
                let between = between.map(|name| Axis::Any(name));
                [Axis::BATCH].into_iter().chain(between).chain([width, Axis::Rest]).collect()
            }
        };
        vec![Port::real("x", pattern).at_least(2)]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let first = inputs.shape(FIRST);
        let at = match self.axis {
            None => first.rank() - 1,
            Some(axis) if (1..=DIMENSIONS.len() + 1).contains(&axis) => axis,
            Some(axis) => {
                let most = DIMENSIONS.len() + 1;
                let message =
                    format!("expected a dimension after the batch, 1 to {most}, found {axis}");
                return Err(PlanError::field("axis", message));
            }
        };
        let widths = || (0..inputs.len()).map(|port| inputs.shape(port)[at]);
        if widths().any(|width| width.is(Symbol::BATCH) || width.is(Symbol::TIME)) {
            let which = if self.axis.is_none() { "last" } else { "joined" };
            return Err(PlanError::new(format!(
                "expected inputs whose {which} dimension has a fixed size, found {first}"
            )));
        }
        let width = widths().reduce(Dim::plus).expect("the port takes two inputs or more");
        let mut dims = first.dims().to_vec();
        dims[at] = width;
        let dependence = if self.axis.is_none() { Dependence::Row } else { Dependence::Item };
        Ok(Signature::output(Shape::new(dims), dependence))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let rank = memory.output().rank();
        Lowered::new(Join { joined: self.axis.map_or(1, |axis| rank - axis) })
    }
}

/// Joins arrays whose last `joined` dimensions stay together in each. They are counted from the last, for packed arrays
/// have fewer before.
#[derive(Debug)]
struct Join {
    joined: usize,
}

impl Join {
    /// How many numbers of an array stay together.
    fn length<T: Scalar>(&self, x: &Tensor<T>) -> usize {
        let from = x.shape().len().saturating_sub(self.joined);
        x.shape()[from..].iter().product::<usize>().max(1)
    }
}

impl<T: Scalar> Kernel<T> for Join {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = &mut cx.outputs[0];
        let whole = self.length(y);
        let mut from = 0;
        for port in 0..cx.inputs.len() {
            let x = &cx.inputs[port];
            let length = self.length(x);
            let rows = y.as_mut_slice().chunks_exact_mut(whole);
            for (y, x) in rows.zip(x.as_slice().chunks_exact(length)) {
                let y = &mut y[from..][..length];
                if length < LONG { y.copy_from_slice(x) } else { elementwise::copy(y, x) }
            }
            from += length;
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let whole = self.length(dy);
        let mut from = 0;
        for port in 0..cx.inputs.len() {
            let length = self.length(&cx.inputs[port]);
            if let Some(dx) = cx.input_gradients.get(port) {
                let rows = dx.as_mut_slice().chunks_exact_mut(length);
                for (dx, dy) in rows.zip(dy.as_slice().chunks_exact(whole)) {
                    dx.iter_mut().zip(&dy[from..][..length]).for_each(|(dx, &dy)| *dx += dy);
                }
            }
            from += length;
        }
    }
}

register!(
    Concat in LAYER,
    example: "Concat(axis: 1)",
    checks: ["Concat()", "Concat(axis: 1)", "Concat(axis: 2)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, graph, random};

    #[test]
    fn arrays_stand_side_by_side() {
        let (a, b) = (array(&[2, 1], &[1.0, 2.0]), array(&[2, 2], &[3.0, 4.0, 5.0, 6.0]));
        let mut bench = LayerBench::<f64>::new("Concat()", vec![a.into(), b.into()]);
        let y = bench.forward(Mode::Eval);
        assert_eq!(y, array(&[2, 3], &[1.0, 3.0, 4.0, 2.0, 5.0, 6.0]));
        bench.backward(&y);
        assert_eq!(bench.input_gradient(0).as_slice(), [1.0, 2.0]);
        assert_eq!(bench.input_gradient(1).as_slice(), [3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn channels_of_pictures_stand_one_after_the_other() {
        for [n, a, b, pixels] in [[1, 1, 1, 1], [2, 3, 1, 4], [3, 2, 5, 1], [2, 1, 2, 90]] {
            let (x, z) = (random::<f64>(&[n, a, 2, pixels], 1), random(&[n, b, 2, pixels], 2));
            let inputs = vec![x.clone().into(), z.clone().into()];
            let mut bench = LayerBench::<f64>::new("Concat(axis: 1)", inputs);
            let y = bench.forward(Mode::Eval);
            let (x, z) = (x.as_slice(), z.as_slice());
            let rows = x.chunks(a * 2 * pixels).zip(z.chunks(b * 2 * pixels));
            let expected: Vec<f64> = rows.flat_map(|(x, z)| [x, z].concat()).collect();
            assert_eq!(y, array(&[n, a + b, 2, pixels], &expected));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn the_batch_is_no_dimension_to_join() {
        let refused = |inputs: &str, axis: &str, message: &str| {
            let node = format!(r#"(name: "out", layer: Concat(axis: {axis}), from: ["x", "x"])"#);
            let error = graph(inputs, &node).unwrap_err();
            assert!(error.contains(message), "{error}");
        };
        refused(r#""x": [Batch, 3]"#, "0", "field `axis`: expected a dimension after the batch");
        refused(r#""x": [Batch, 3]"#, "9", "");
        refused(r#""x": [Batch, 3]"#, "2", "");
        refused(r#""x": [Batch, Time, 3]"#, "1", "joined dimension has a fixed size");
    }

    #[test]
    fn gradients_and_steps_agree_with_the_forward_pass() {
        for [n, t, d, m] in SIZES {
            let inputs = [d, m, d].map(|width| random::<f64>(&[n, t, width], width as u64).into());
            let mut bench = LayerBench::new("Concat()", inputs.to_vec());
            assert!(bench.gradient_error() < 1e-8);
            assert_eq!(bench.forward(Mode::Eval), bench.steps());
        }
    }

    #[test]
    fn sizes_that_change_from_batch_to_batch_are_refused() {
        let node = r#"(name: "out", layer: Concat(), from: ["x", "x"])"#;
        let error = graph(r#""x": [Batch, Time]"#, node).unwrap_err();
        assert!(error.contains("expected inputs whose last dimension has a fixed size"), "{error}");
    }

    #[test]
    fn other_dimensions_must_agree() {
        let node = r#"(name: "out", layer: Concat(), from: ["x", "y"])"#;
        assert!(graph(r#""x": [Batch, 3, 4], "y": [Batch, 2, 4]"#, node).is_err());
        assert!(graph(r#""x": [Batch, 3, 4], "y": [Batch, 4]"#, node).is_err());
    }
}
