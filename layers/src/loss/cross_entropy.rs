//! The objective of a classifier.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Form, Layer, Lowered, Memory, PlanError, Port, PortShapes, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::objective::Per;
use super::softmax_loss::SoftmaxLoss;

/// The objective of a classifier: how surprised the scores of each example are by its class.
///
/// ```text
/// p = exp(scores) / (sum over classes of exp(scores))
/// loss = (sum over counted examples of -log p[target]) / N
/// ```
///
/// Every class counts unless the file says otherwise, and N is the number of examples. For words, where the first of them
/// fills up short captions, there is `SoftmaxLoss`.
///
/// # Shapes
/// - `scores`: `[Batch, Classes]`
/// - `targets`: indices below `Classes`, `[Batch]`
/// - `mask`, optional: numbers, `[Batch]`; an example counts where it is not 0. When it is wired, it alone decides, and
///   `ignore` is not looked at. It gets no gradient
/// - output: a single number, `[]`
///
/// The loss is finite for any finite scores: it ends at the largest number that the precision has. Where no example
/// counts, it is 0, and so is its gradient.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CrossEntropy {
    /// The class whose examples do not count, such as one for what has no label; `None` counts all.
    pub ignore: Option<u32>,
    /// What the sum is divided by: the number of examples, or that of those that count.
    pub per: Per,
}

impl CrossEntropy {
    /// The same mathematics over positions.
    fn loss(&self) -> SoftmaxLoss {
        SoftmaxLoss { ignore: self.ignore, per: self.per }
    }
}

#[typetag::serde]
impl Layer for CrossEntropy {
    fn ports(&self) -> Vec<Port> {
        let classes = Axis::Any("Classes");
        vec![
            Port::real("scores", [Axis::BATCH, classes]),
            Port::tokens("targets", [Axis::BATCH], classes),
            Port::real("mask", [Axis::BATCH]).optional(),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        self.loss().signature(inputs)
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        self.loss().plain(memory)
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        self.loss().form(form, memory)
    }
}

register!(
    CrossEntropy in LAYER,
    example: "CrossEntropy()",
    checks: ["CrossEntropy()", "CrossEntropy(ignore: Some(1), per: Token)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{array, assert_near, graph, random, tokens};

    #[test]
    fn is_the_softmax_loss_that_counts_every_class() {
        for (n, classes) in [(1, 1), (5, 3), (4, 40)] {
            let (scores, targets) = (random::<f64>(&[n, classes], 1), tokens(&[n], classes, 2));
            let inputs = || vec![scores.clone().into(), targets.clone().into()];
            for (ours, theirs) in [
                ("CrossEntropy()", "SoftmaxLoss(ignore: None)"),
                ("CrossEntropy(per: Token)", "SoftmaxLoss(ignore: None, per: Token)"),
                ("CrossEntropy(ignore: 1, per: Token)", "SoftmaxLoss(ignore: 1, per: Token)"),
            ] {
                let [mut a, mut b] = [ours, theirs].map(|layer| LayerBench::new(layer, inputs()));
                assert_eq!(a.forward(Mode::Eval), b.forward(Mode::Eval));
                a.backward(&array(&[], &[1.5]));
                b.backward(&array(&[], &[1.5]));
                assert_near(a.input_gradient(0), b.input_gradient(0));
            }
        }
    }

    #[test]
    fn sequences_are_for_another_loss() {
        let node = r#"(name: "out", layer: CrossEntropy(), from: ["scores", "targets"])"#;
        let inputs = r#""scores": [Batch, Time, 4], "targets": [Batch, Time]"#;
        assert!(graph(inputs, node).is_err());
    }
}
