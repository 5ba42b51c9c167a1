//! Affine maps: of any rows, of whole examples, of every step.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dependence, Dim, Form, Layer, Lowered, Meaning, Memory, PlanError, Port, PortShapes,
    Shape, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kernel::lower;

/// The same affine map of every row: of each example's features, of each step, of each region at each step.
///
/// ```text
/// y[..] = x[..] w + b
/// ```
///
/// # Shapes
/// - `x`: `[.., Inputs]`, whatever its dimensions before the last
/// - output: `[.., units]`
/// - parameters: `w` `[Inputs, units]`, `b` `[units]` unless `bias: false`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// How many numbers come out for each row.
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

/// The default of the field `bias`.
pub(crate) fn with_bias() -> bool {
    true
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Affine {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Inputs")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let output = inputs.shape(X).with_last(self.units);
        Ok(self.signature_of(inputs.dim("Inputs"), output).meaning(Meaning::Affine))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        lower(Form::PLAIN, ["w", "b"], self.bias, memory)
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        form.is_of_whole_map().then(|| lower(form, ["w", "b"], self.bias, memory))
    }
}

impl Affine {
    /// The signature of a map of rows of so many numbers.
    pub(super) fn signature_of(&self, width: Dim, output: Shape) -> Signature {
        Signature::output(output, Dependence::Row)
            .weights("w", [width, self.units], Fill::Random(self.init))
            .bias_if(self.bias, "b", [self.units])
    }
}

register!(
    Affine in LAYER,
    example: "Affine(units: 512)",
    checks: [
        "Affine(units: Units)",
        "Affine(units: Units, bias: false)",
        "Affine(units: 3, init: Xavier)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, graph, random, run};

    #[test]
    fn equals_naive_sums_over_any_leading_dimensions() {
        for [n, t, d, m] in SIZES {
            for lead in [vec![n], vec![n, t], vec![n, t, 2]] {
                let rows: usize = lead.iter().product();
                let shape = |width: usize| [lead.clone(), vec![width]].concat();
                let (x, dy) = (random::<f64>(&shape(d), 1), random::<f64>(&shape(m), 2));
                let layer = format!("Affine(units: {m})");
                let mut bench = LayerBench::new(&layer, vec![x.clone().into()]);
                *bench.parameter_mut("b") = random(&[m], 3);
                let (w, b) = (bench.parameter("w").rows().to_owned(), bench.parameter("b").clone());
                let (xs, dys) = (x.rows(), dy.rows());
                let sum =
                    |count: usize, term: &dyn Fn(usize) -> f64| (0..count).map(term).sum::<f64>();

                let mut y = bench.forward(Mode::Eval);
                assert_eq!(y.shape(), shape(m));
                y.reshape(&[rows, m]);
                let affine =
                    |[i, j]: [usize; 2]| sum(d, &|k| xs[[i, k]] * w[[k, j]]) + b.as_slice()[j];
                assert_near(&y, &from_fn([rows, m], affine));

                bench.backward(&dy);
                let dw = from_fn([d, m], |[k, j]| sum(rows, &|i| xs[[i, k]] * dys[[i, j]]));
                assert_near(bench.parameter_gradient("w"), &dw);
                let db = from_fn([m], |[j]| sum(rows, &|i| dys[[i, j]]));
                assert_near(bench.parameter_gradient("b"), &db);
                let mut dx = bench.input_gradient(0).clone();
                dx.reshape(&[rows, d]);
                assert_near(
                    &dx,
                    &from_fn([rows, d], |[i, k]| sum(m, &|j| dys[[i, j]] * w[[k, j]])),
                );
                assert!(bench.gradient_error() < 1e-8);
            }
        }
    }

    #[test]
    fn steps_equal_the_forward_pass() {
        for [n, t, d, m] in SIZES {
            let x = random::<f64>(&[n, t, d, 3], 1);
            let mut bench = LayerBench::new(&format!("Affine(units: {m})"), vec![x.into()]);
            let y = bench.forward(Mode::Eval);
            assert_near(&bench.steps(), &y);
        }
    }

    #[test]
    fn without_bias_nothing_maps_to_nothing() {
        let node = r#"(name: "out", layer: Affine(units: 4, bias: false), from: ["x"])"#;
        let mut graph = graph(r#""x": [Batch, 3]"#, node).unwrap();
        let (y, _) = run(&mut graph, &engine_core::Tensor::zeros(&[2, 3]));
        assert_eq!(y.as_slice(), [0.0; 8]);
    }

    #[test]
    fn an_input_that_ends_in_time_is_refused() {
        let node = r#"(name: "out", layer: Affine(units: 4), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 3, Time]"#, node).unwrap_err();
        assert!(error.contains("the batch and time vary"), "{error}");
    }
}
