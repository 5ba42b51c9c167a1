//! Arrays side by side.

use engine_core::context::Forward;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Reach, Scalar,
    Symbol, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Two or more arrays side by side, joined along their last dimension.
///
/// ```text
/// y[.., :] = [x_1[.., :], x_2[.., :], ..]
/// ```
///
/// # Shapes
/// - `x`, two or more: `[.., Width]`, all the same but for `Width`
/// - output: `[.., sum of the widths]`
///
/// # Errors
/// Arrays whose last dimension is `Batch` or `Time` are refused: these change from batch to batch, and must stay the
/// same throughout a network.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Concat {}

const FIRST: usize = 0;

#[typetag::serde]
impl Layer for Concat {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Each("Width")]).at_least(2)]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let widths = || (0..inputs.len()).map(|port| inputs.shape(port).last());
        if widths().any(|width| width.is(Symbol::BATCH) || width.is(Symbol::TIME)) {
            let first = inputs.shape(FIRST);
            return Err(PlanError::new(format!(
                "expected inputs whose last dimension has a fixed size, found {first}"
            )));
        }
        let width = widths().reduce(Dim::plus).expect("the port takes two inputs or more");
        Ok(LayerPlan::output(inputs.shape(FIRST).with_last(width)).reach(Reach::Row).any_lead())
    }
}

impl<T: Scalar> Kernel<T> for Concat {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let y = &mut cx.outputs[0];
        let whole = y.rows().ncols();
        let mut from = 0;
        for port in 0..cx.inputs.len() {
            let x = &cx.inputs[port];
            let width = x.rows().ncols();
            let rows = y.as_mut_slice().chunks_exact_mut(whole);
            for (y, x) in rows.zip(x.as_slice().chunks_exact(width)) {
                y[from..][..width].copy_from_slice(x);
            }
            from += width;
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        let whole = dy.rows().ncols();
        let mut from = 0;
        for port in 0..cx.inputs.len() {
            let width = cx.inputs[port].rows().ncols();
            if let Some(dx) = cx.input_gradients.get(port) {
                let rows = dx.as_mut_slice().chunks_exact_mut(width);
                for (dx, dy) in rows.zip(dy.as_slice().chunks_exact(whole)) {
                    dx.iter_mut().zip(&dy[from..][..width]).for_each(|(dx, &dy)| *dx += dy);
                }
            }
            from += width;
        }
    }
}

register!(Concat in LAYER, example: "Concat()", checks: ["Concat()"]);

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
