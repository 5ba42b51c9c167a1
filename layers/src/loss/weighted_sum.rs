//! Several objectives as one.

use engine_core::field::Finite;
use engine_core::registry::LAYER;
use engine_core::{
    Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port, PortShapes,
    Scalar, Shape, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Several objectives as one: the sum of single numbers, each times a weight.
///
/// ```text
/// y = weights[0] x_0 + weights[1] x_1 + ..
/// ```
///
/// # Shapes
/// - `x`, as many as there are weights: a single number, `[]`
/// - output: a single number, `[]`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedSum {
    /// What each number is multiplied by, in the order of the inputs.
    pub weights: Vec<Finite>,
}

#[typetag::serde]
impl Layer for WeightedSum {
    fn ports(&self) -> Vec<Port> {
        self.weights.iter().map(|_| Port::real("x", [])).collect()
    }

    fn signature(&self, _: &PortShapes<'_>) -> Result<Signature, PlanError> {
        if self.weights.is_empty() {
            let message = "expected a weight for each input, found none";
            return Err(PlanError::field("weights", message));
        }
        Ok(Signature::output(Shape::scalar(), Dependence::Item))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

impl<T: Scalar> Kernel<T> for WeightedSum {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let terms = self.weights.iter().enumerate();
        let terms = terms.map(|(port, weight)| weight.get() * cx.inputs[port].as_slice()[0].f64());
        cx.outputs[0].fill(T::of(terms.sum()));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice()[0];
        for (port, weight) in self.weights.iter().enumerate() {
            if let Some(dx) = cx.input_gradients.get(port) {
                dx.as_mut_slice()[0] += T::of(weight.get()) * dy;
            }
        }
    }
}

register!(
    WeightedSum in LAYER,
    example: "WeightedSum(weights: [1.0, 0.5])",
    checks: ["WeightedSum(weights: [0.5])", "WeightedSum(weights: [1.0, -0.5, 2])"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{array, graph};

    #[test]
    fn values_and_gradients_are_right() {
        let inputs = [2.0, 3.0, -1.0].map(|x| array::<f64>(&[], &[x]).into());
        let mut bench = LayerBench::new("WeightedSum(weights: [1, 0.5, 2])", inputs.to_vec());
        assert_eq!(bench.forward(Mode::Eval).as_slice(), [1.5]);
        bench.backward(&array(&[], &[10.0]));
        let gradients = [0, 1, 2].map(|port| bench.input_gradient(port).as_slice()[0]);
        assert_eq!(gradients, [10.0, 5.0, 20.0]);
        assert!(bench.gradient_error() < 1e-8);
    }

    #[test]
    fn there_is_a_weight_for_each_input() {
        let node = |weights: &str| {
            format!(r#"(name: "out", layer: WeightedSum(weights: [{weights}]), from: ["x", "x"])"#)
        };
        assert!(graph(r#""x": []"#, &node("1, 1")).is_ok());
        let error = graph(r#""x": []"#, &node("1")).unwrap_err();
        assert!(error.contains("expected 1: x inputs, found 2"), "{error}");
        let node = r#"(name: "out", layer: WeightedSum(weights: []), from: [])"#;
        let error = graph("", node).unwrap_err();
        assert!(error.contains("field `weights`: expected a weight for each input"), "{error}");
    }

    #[test]
    fn arrays_are_refused() {
        let node = r#"(name: "out", layer: WeightedSum(weights: [1]), from: ["x"])"#;
        assert!(graph(r#""x": [Batch]"#, node).is_err());
    }
}
