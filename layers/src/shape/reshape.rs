//! The same numbers in another shape.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dependence, Dim, Layer, Lowered, Meaning, Memory, PlanError, Port, PortShapes, Shape,
    Signature, Symbol, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::view::View;

/// The same numbers in another shape: a vector as the vectors of several heads.
///
/// Numbers keep their order, the last dimension running fastest.
///
/// # Shapes
/// - `x`: `[Batch, ..]` or `[Batch, Time, ..]`
/// - output: `to`
///
/// # Errors
/// `to` begins with what x begins with, `Batch` or `Batch, Time`, and has these nowhere else. Its dimensions after them
/// must multiply to those of x.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reshape {
    /// The new dimensions, numbers or names of sizes: `[Batch, 8, 64]`.
    pub to: Vec<Dim>,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Reshape {
    fn ports(&self) -> Vec<Port> {
        let lead = Shape::new(self.to.iter().copied()).batch_lead();
        let lead = self.to[..lead].iter().map(|dim| Axis::Is(*dim));
        vec![Port::real("x", lead.chain([Axis::Rest]).collect::<Vec<_>>())]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let to = Shape::new(self.to.iter().map(|dim| inputs.bind(*dim)));
        let refused = |what: &str| {
            let message = format!("expected {what}, found {to} for {x}");
            Err(PlanError::field("to", message))
        };
        let lead = to.batch_lead();
        let within = |shape: &Shape| Shape::new(shape.dims()[lead..].iter().copied());
        if lead == 0 || x.batch_lead() != lead {
            return refused("the same of Batch and Time in front");
        }
        if [&to, x].map(|shape| Product::of(&within(shape)).varies).contains(&true) {
            return refused("Batch and Time in front and nowhere else");
        }
        if Product::of(&within(&to)).differs(&Product::of(&within(x))) {
            return refused("as many numbers");
        }
        Ok(Signature::output(to, Dependence::Item).meaning(Meaning::View))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(View)
    }
}

/// A product of sizes: of those that are known, and the names of those that are not.
struct Product {
    known: usize,
    unknown: Vec<String>,
    varies: bool,
}

impl Product {
    fn of(shape: &Shape) -> Self {
        let known = shape.dims().iter().filter_map(|dim| dim.size());
        let unknown = shape.dims().iter().filter(|dim| dim.size().is_none());
        let mut unknown: Vec<String> = unknown.map(|dim| dim.to_string()).collect();
        unknown.sort();
        Product {
            known: known.fold(1, usize::saturating_mul),
            unknown,
            varies: shape.has(Symbol::BATCH) || shape.has(Symbol::TIME),
        }
    }

    /// Whether two products are known to differ. Where other sizes are unknown, that shows once they are bound.
    fn differs(&self, other: &Self) -> bool {
        self.unknown == other.unknown && self.known != other.known
    }
}

register!(
    Reshape in LAYER,
    example: "Reshape(to: [Batch, 8, 64])",
    checks: [
        "Reshape(to: [Batch, 2, 3])",
        "Reshape(to: [Batch, Time, 2, 1, 2])",
        "Reshape(to: [Batch, Time, 4])",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{graph, random};

    #[test]
    fn numbers_keep_their_order() {
        let (x, dy) = (random::<f64>(&[2, 6], 1), random::<f64>(&[2, 3, 2], 2));
        let mut bench = LayerBench::new("Reshape(to: [Batch, 3, 2])", vec![x.clone().into()]);
        let y = bench.forward(Mode::Eval);
        assert_eq!((y.shape(), y.as_slice()), ([2, 3, 2].as_slice(), x.as_slice()));
        bench.backward(&dy);
        assert_eq!(bench.input_gradient(0).as_slice(), dy.as_slice());
        assert!(bench.gradient_error() < 1e-8);
    }

    #[test]
    fn steps_equal_the_forward_pass() {
        let x = random::<f64>(&[2, 3, 4, 3], 1);
        let mut bench = LayerBench::new("Reshape(to: [Batch, Time, 12])", vec![x.into()]);
        let y = bench.forward(Mode::Eval);
        assert_eq!(bench.steps(), y);
    }

    #[test]
    fn sizes_with_names_are_held_to_their_numbers() {
        let graph = |heads| {
            let text = r#"Graph(
                inputs: {"x": [Batch, 12]},
                nodes: [(name: "out", layer: Reshape(to: [Batch, Heads, 3]), from: ["x"])],
                outputs: {"out": "out"},
            )"#;
            let sizes = [("Heads", heads)].into_iter().collect();
            engine_core::testing::engine::<f64>(text, sizes)
        };
        assert!(graph(4).is_ok());
        let error = graph(5).unwrap_err();
        assert!(error.contains("found [Batch, Heads=5, 3] for [Batch, 12]"), "{error}");
    }

    #[test]
    fn other_numbers_of_elements_and_other_leads_are_refused() {
        let refused = |shape: &str, to: &str, message: &str| {
            let node = format!(r#"(name: "out", layer: Reshape(to: [{to}]), from: ["x"])"#);
            let error = graph(&format!(r#""x": [{shape}]"#), &node).unwrap_err();
            assert!(error.contains(message), "{error}");
        };
        refused("Batch, 6", "Batch, 2, 4", "field `to`: expected as many numbers");
        refused("Batch, Time, 6", "Batch, 6", "the same of Batch and Time in front");
        refused("Batch, 6, Time", "Batch, Time, 6", "expects");
        refused("Batch, 6, Time", "Batch, 6, Time", "nowhere else");
        refused("Batch, 6", "2, 3", "the same of Batch and Time in front");
    }
}
