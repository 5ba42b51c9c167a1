//! The same affine map at every step.

use engine_core::context::Forward;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dim, Kernel, Layer, LayerPlan, Part, PlanError, Port, PortShapes, Reach,
    Scalar, Shape, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{affine, fused};

/// The same affine map at every step: hidden states to scores of words.
///
/// ```text
/// y[n, t] = x[n, t] w + b
/// ```
///
/// # Shapes
/// - `x`: `[Batch, Time, Inputs]`
/// - output: `[Batch, Time, units]`
/// - parameters: `w` `[Inputs, units]`, `b` `[units]` unless `bias: false`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TemporalAffine {
    /// How many numbers come out at each step.
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "affine::with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

const X: usize = 0;
const W: usize = 0;
const B: usize = 1;

#[typetag::serde]
impl Layer for TemporalAffine {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let plan = map_plan(inputs.shape(X).with_last(self.units), self.bias).weights(
            "w",
            [inputs.dim("Inputs"), self.units],
            Fill::Random(self.init),
        );
        Ok(if self.bias { plan.bias("b", [self.units], Fill::zero()) } else { plan })
    }
}

/// What every affine map of this output says to passes.
pub(crate) fn map_plan(output: Shape, bias: bool) -> LayerPlan {
    let (packed, looped) = (packed_map(output.clone(), bias), looped_map(output.clone(), bias));
    let rectified = rectified_map(output.clone(), bias);
    LayerPlan::output(output)
        .affine()
        .separable()
        .any_lead()
        .reach(Reach::Row)
        .with_packed_weights(packed)
        .looped(looped)
        .rectified(rectified)
}

/// The same over weights in the order of kernels.
pub(crate) fn packed_map(output: Shape, bias: bool) -> Part {
    Part::new(fused::Affine { bias, back: false }, fused::Affine::plan(output), own(bias))
}

/// The same, and its way back as well.
fn looped_map(output: Shape, bias: bool) -> Part {
    Part::new(fused::Affine { bias, back: true }, fused::Affine::looped_plan(output), own(bias))
}

/// The same, and the positive part of that.
fn rectified_map(output: Shape, bias: bool) -> Part {
    let packed = fused::Rectified(fused::Affine { bias, back: false });
    let packed = Part::new(packed, fused::Affine::plan(output.clone()), own(bias));
    let plain = TemporalAffine { units: output.last(), bias, init: Init::default() };
    let plan = LayerPlan::output(output).reach(Reach::Row).any_lead().with_packed_weights(packed);
    Part::new(fused::Rectified(plain), plan, own(bias))
}

fn own(bias: bool) -> Vec<usize> {
    if bias { vec![W, B] } else { vec![W] }
}

impl<T: Scalar> Kernel<T> for TemporalAffine {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let b = self.bias.then(|| &cx.parameters[B]);
        affine::forward(cx.inputs[X].rows(), &cx.parameters[W], b, &mut cx.outputs[0]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        affine::backward(cx, self.bias);
    }
}

register!(
    TemporalAffine in LAYER,
    example: "TemporalAffine(units: Vocabulary)",
    checks: [
        "TemporalAffine(units: Units)",
        "TemporalAffine(units: Units, bias: false)",
        "TemporalAffine(units: 3, init: Uniform(0.5))",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, random};

    #[test]
    fn equals_naive_sums_at_every_step() {
        for [n, t, d, m] in SIZES {
            let (x, dy) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, m], 2));
            let layer = format!("TemporalAffine(units: {m})");
            let mut bench = LayerBench::new(&layer, vec![x.clone().into()]);
            *bench.parameter_mut("b") = random(&[m], 3);
            let (w, b) = (bench.parameter("w").rows().to_owned(), bench.parameter("b").clone());
            let (xs, dys) = (x.view3(), dy.view3());

            let y = bench.forward(Mode::Eval);
            let expected = from_fn([n, t, m], |[i, s, j]| {
                (0..d).map(|k| xs[[i, s, k]] * w[[k, j]]).sum::<f64>() + b.as_slice()[j]
            });
            assert_near(&y, &expected);
            assert_near(&bench.steps(), &y);

            bench.backward(&dy);
            let over_steps = |term: &dyn Fn(usize, usize) -> f64| -> f64 {
                (0..n).map(|i| (0..t).map(|s| term(i, s)).sum::<f64>()).sum()
            };
            let dw = from_fn([d, m], |[k, j]| over_steps(&|i, s| xs[[i, s, k]] * dys[[i, s, j]]));
            assert_near(bench.parameter_gradient("w"), &dw);
            let db = from_fn([m], |[j]| over_steps(&|i, s| dys[[i, s, j]]));
            assert_near(bench.parameter_gradient("b"), &db);
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn an_input_without_time_is_refused() {
        let x = random::<f64>(&[2, 3], 1);
        assert!(LayerBench::try_new("TemporalAffine(units: 3)", vec![x.into()]).is_err());
    }
}
