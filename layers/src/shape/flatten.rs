//! The numbers of an example as one vector.

use engine_core::context::Forward;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Reach, Scalar,
    Shape, Symbol, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// The numbers of each example as one vector, such as those of a picture for what reads vectors.
///
/// Numbers keep their order, the last dimension running fastest.
///
/// # Shapes
/// - `x`: `[Batch, ..]` or `[Batch, Time, ..]`
/// - output: `[Batch, Width]` or `[Batch, Time, Width]`, where `Width` is the product of all other dimensions
///
/// # Errors
/// An x that has `Batch` or `Time` elsewhere is refused.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Flatten {}

const X: usize = 0;

#[typetag::serde]
impl Layer for Flatten {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::Rest])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let x = inputs.shape(X);
        let (lead, rest) = x.dims().split_at(x.batch_lead());
        if rest.iter().any(|dim| dim.is(Symbol::BATCH) || dim.is(Symbol::TIME)) {
            let message = format!("expected Batch and Time in front and nowhere else, found {x}");
            return Err(PlanError::new(message));
        }
        let width = rest.iter().copied().reduce(Dim::by).unwrap_or(Dim::Fixed(1));
        let output = Shape::new(lead.iter().copied().chain([width]));
        Ok(LayerPlan::output(output).reach(Reach::Row).view())
    }
}

impl<T: Scalar> Kernel<T> for Flatten {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::copy(cx.outputs[0].as_mut_slice(), cx.inputs[X].as_slice());
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        if let Some(dx) = cx.input_gradients.get(X) {
            elementwise::add(dx.as_mut_slice(), cx.output_gradients[0].as_slice());
        }
    }
}

register!(Flatten in LAYER, example: "Flatten()", checks: ["Flatten()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{graph, random};

    #[test]
    fn numbers_keep_their_order() {
        for shape in [vec![2, 3, 4, 5], vec![3, 1], vec![2], vec![1, 1, 7]] {
            let x = random::<f64>(&shape, 1);
            let mut bench = LayerBench::new("Flatten()", vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            let width: usize = shape[1..].iter().product();
            assert_eq!((y.shape(), y.as_slice()), ([shape[0], width].as_slice(), x.as_slice()));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn steps_stay_apart() {
        let node = r#"(name: "out", layer: Flatten(), from: ["x"])"#;
        let engine = graph(r#""x": [Batch, Time, 3, 4]"#, node).unwrap();
        let out = engine.plan().output("out").unwrap();
        assert_eq!(engine.plan().values[out].shape.to_string(), "[Batch, Time, 12]");
        let error = graph(r#""x": [Batch, 3, Time]"#, node).unwrap_err();
        assert!(error.contains("in front and nowhere else"), "{error}");
    }
}
