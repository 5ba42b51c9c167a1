//! The same affine map at every step.

use engine_core::init::Init;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dim, Form, Layer, Lowered, Memory, PlanError, Port, PortShapes, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::Affine;

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
    #[serde(default = "super::affine::with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

#[typetag::serde]
impl Layer for TemporalAffine {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::TIME, Axis::Any("Inputs")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        self.map().signature(inputs)
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        self.map().plain(memory)
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        self.map().form(form, memory)
    }
}

impl TemporalAffine {
    fn map(&self) -> Affine {
        let TemporalAffine { units, bias, init } = *self;
        Affine { units, bias, init }
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
