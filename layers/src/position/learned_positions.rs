//! Where in a sequence a step is, as learnt vectors.

use engine_core::field::{Count, Positive};
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Sequences, Signature, Step, Weight, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::for_each_row;
use crate::elementwise;

/// Adds to each step a learnt vector for where in its sequence it is.
///
/// ```text
/// y[n, t] = x[n, t] + w[t]
/// ```
///
/// Gehring et al., 2017.
///
/// # Shapes
/// - `x`: `[Batch, Time, Width]`, of at most `most` steps
/// - output: that of `x`
/// - parameters: `w` `[most, Width]`
///
/// # Errors
/// When a batch, or a sentence that is being written, has more than `most` steps.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LearnedPositions {
    /// The most steps that a sequence can have.
    pub most: Count,
    /// How the first vectors are drawn.
    #[serde(default = "small")]
    pub init: Init,
}

/// As for the vectors of words, the number of rows says nothing about how long one should be.
fn small() -> Init {
    Init::Normal(Positive::constant(0.01))
}

const X: usize = 0;

#[typetag::serde]
impl Layer for LearnedPositions {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let most = usize::try_from(self.most.get()).unwrap_or(usize::MAX);
        let shape = [Dim::Fixed(most), inputs.dim("Width")];
        Ok(Signature::output(inputs.shape(X).clone(), Dependence::Position)
            .weights("w", shape, Fill::Random(self.init))
            .longest("most", most))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(AddVectors { w: memory.weight("w") })
    }
}

/// x + w, a row of w for each step.
#[derive(Debug)]
struct AddVectors {
    w: Weight,
}

impl<T: Scalar> Kernel<T> for AddVectors {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        self.add_vectors(cx, 0);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        self.add_vectors(&mut cx.forward, cx.at);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = &cx.output_gradients[0];
        if let Some(dx) = cx.input_gradients.get(X) {
            elementwise::add(dx.as_mut_slice(), dy.as_slice());
        }
        // One row after the other: what comes together at a step is summed in one order on any machine.
        let (dw, width) = (&mut cx.parameter_gradients[self.w], dy.rows().ncols());
        let mut add = |t: usize, dy: &[T]| {
            let dw = &mut dw.as_mut_slice()[t * width..][..width];
            dw.iter_mut().zip(dy).for_each(|(dw, &dy)| *dw += dy);
        };
        let sequences = Sequences::of(dy, cx.sequences);
        let rows = dy.as_slice().chunks_exact(width).enumerate();
        rows.for_each(|(row, dy)| add(sequences.position(row).1, dy));
    }
}

impl AddVectors {
    /// y = x + w\[t\], where the first step of x is step `first` of its sequence.
    fn add_vectors<T: Scalar>(&self, cx: &mut Forward<'_, T>, first: usize) {
        let (x, w) = (cx.inputs[X].as_slice(), &cx.parameters[self.w]);
        let (w, width) = (w.as_slice(), w.dim(1));
        for_each_row(&mut cx.outputs[0], cx.sequences, |row, t, y| {
            let read = x[row * width..].iter().zip(&w[(first + t) * width..]);
            y.iter_mut().zip(read).for_each(|(y, (&x, &w))| *y = x + w);
        });
    }
}

register!(
    LearnedPositions in LAYER,
    example: "LearnedPositions(most: 64)",
    checks: ["LearnedPositions(most: 8)", "LearnedPositions(most: 9, init: Normal(1))"],
);

#[cfg(test)]
mod tests {
    use engine_core::engine::{FeedError, StepError, Stepper};
    use engine_core::testing::LayerBench;
    use engine_core::{Batch, Mode};

    use crate::samples::{SIZES, assert_near, from_fn, graph, random};

    #[test]
    fn adds_a_vector_a_step() {
        for [n, t, width, _] in SIZES {
            let (x, dy) = (random::<f64>(&[n, t, width], 1), random::<f64>(&[n, t, width], 2));
            let mut bench = LayerBench::new("LearnedPositions(most: 6)", vec![x.clone().into()]);
            let w = bench.parameter("w").clone();
            let y = bench.forward(Mode::Eval);
            let sum = |[i, s, j]: [usize; 3]| x.view3()[[i, s, j]] + w.rows()[[s, j]];
            assert_near(&y, &from_fn([n, t, width], sum));
            assert_near(&bench.steps(), &y);
            bench.backward(&dy);
            let dw = from_fn([6, width], |[s, j]| {
                (0..n).filter(|_| s < t).map(|i| dy.view3()[[i, s, j]]).sum()
            });
            assert_near(bench.parameter_gradient("w"), &dw);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn more_steps_are_refused() {
        let node = r#"(name: "out", layer: LearnedPositions(most: 2), from: ["x"])"#;
        let mut engine = graph(r#""x": [Batch, Time, 1]"#, node).unwrap();
        let mut batch = Batch::new();
        batch.f64_mut("x", &[1, 3, 1]).fill(1.0);
        let too_long = FeedError::TooLong { node: "out".into(), field: "most", most: 2, found: 3 };
        assert_eq!(engine.forward(&batch, Mode::Eval), Err(too_long.clone()));
        batch.f64_mut("x", &[1, 1, 1]).fill(1.0);
        let mut stepper = Stepper::new(&engine, "out").unwrap();
        for _ in 0..2 {
            // The steps of another sequence do not count.
            stepper.start(&engine, &Batch::new(), 1).unwrap();
            stepper.step(&engine, &batch).unwrap();
            stepper.step(&engine, &batch).unwrap();
            let error = stepper.step(&engine, &batch).unwrap_err();
            assert_eq!(error, StepError::Feed(too_long.clone()));
        }
    }
}
