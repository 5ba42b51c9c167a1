//! The numbers of an example as one vector.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dependence, Dim, Layer, Lowered, Meaning, Memory, PlanError, Port, PortShapes, Shape,
    Signature, Symbol, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::View;

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

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let (lead, rest) = x.dims().split_at(x.batch_lead());
        if rest.iter().any(|dim| dim.is(Symbol::BATCH) || dim.is(Symbol::TIME)) {
            let message = format!("expected Batch and Time in front and nowhere else, found {x}");
            return Err(PlanError::new(message));
        }
        let width = rest.iter().copied().reduce(Dim::by).unwrap_or(Dim::Fixed(1));
        let output = Shape::new(lead.iter().copied().chain([width]));
        Ok(Signature::output(output, Dependence::Item).meaning(Meaning::View))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(View)
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
