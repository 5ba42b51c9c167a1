//! One affine map of a whole row of the batch.

use engine_core::init::Init;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dependence, Dim, Form, Layer, Lowered, Meaning, Memory, PlanError, Port, PortShapes,
    Shape, Signature, Symbol, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::affine::Affine;

/// An affine map of everything an example has: features to a state, a state to scores.
///
/// ```text
/// y = x w + b        x: each example's numbers, laid out in one row
/// ```
///
/// # Shapes
/// - `x`: `[Batch, ..]`, of any rank, without `Time`; its dimensions after `Batch` are taken as one, `inputs`
/// - output: `[Batch, units]`
/// - parameters: `w` `[inputs, units]`, `b` `[units]` unless `bias: false`
///
/// # Errors
/// An input with `Time` is refused, for the parameters would depend on how long a sequence is: `TemporalAffine` maps
/// every step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// How many numbers come out for each example.
    pub units: Dim,
    /// Whether `b` is added.
    #[serde(default = "super::affine::with_bias")]
    pub bias: bool,
    /// How the first `w` is drawn; `b` starts at 0.
    #[serde(default)]
    pub init: Init,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Projection {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::BATCH, Axis::Rest])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        if x.has(Symbol::TIME) {
            return Err(PlanError::new(format!(
                "expected an input without Time, found {x}; TemporalAffine maps every step"
            )));
        }
        let width = x.dims()[1..].iter().copied().reduce(Dim::by).unwrap_or(Dim::Fixed(1));
        let signature = self.map().signature_of(width, Shape::new([x[0], self.units]));
        Ok(match x.rank() {
            2 => signature.meaning(Meaning::Affine),
            _ => signature.port(X, Dependence::Item),
        })
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        self.map().plain(memory)
    }

    fn form(&self, form: Form, memory: &mut Memory<'_>) -> Option<Lowered> {
        // Other forms read rows of the last dimension.
        (memory.input(X).rank() == 2).then(|| self.map().form(form, memory))?
    }
}

impl Projection {
    fn map(&self) -> Affine {
        let Projection { units, bias, init } = *self;
        Affine { units, bias, init }
    }
}

register!(
    Projection in LAYER,
    example: "Projection(units: 512)",
    checks: [
        "Projection(units: Units)",
        "Projection(units: Units, bias: false)",
        "Projection(units: 3, init: Xavier)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::testing::LayerBench;
    use engine_core::{Mode, Tensor};

    use super::*;
    use crate::samples::{SIZES, assert_near, from_fn, graph, random, run};

    #[test]
    fn equals_naive_sums() {
        for [n, _, d, m] in SIZES {
            let (x, dy) = (random::<f64>(&[n, d], 1), random::<f64>(&[n, m], 2));
            let mut bench =
                LayerBench::new(&format!("Projection(units: {m})"), vec![x.clone().into()]);
            *bench.parameter_mut("b") = random(&[m], 3);
            let (w, b) = (bench.parameter("w").rows().to_owned(), bench.parameter("b").clone());
            let (xs, dys) = (x.rows(), dy.rows());
            let sum = |count: usize, term: &dyn Fn(usize) -> f64| (0..count).map(term).sum::<f64>();

            let y = bench.forward(Mode::Eval);
            let affine = |i: usize, j: usize| sum(d, &|k| xs[[i, k]] * w[[k, j]]) + b.as_slice()[j];
            assert_near(&y, &from_fn([n, m], |[i, j]| affine(i, j)));

            bench.backward(&dy);
            let dx = from_fn([n, d], |[i, k]| sum(m, &|j| dys[[i, j]] * w[[k, j]]));
            let dw = from_fn([d, m], |[k, j]| sum(n, &|i| xs[[i, k]] * dys[[i, j]]));
            assert_near(bench.input_gradient(X), &dx);
            assert_near(bench.parameter_gradient("w"), &dw);
            assert_near(
                bench.parameter_gradient("b"),
                &from_fn([m], |[j]| sum(n, &|i| dys[[i, j]])),
            );
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn without_bias_nothing_maps_to_nothing() {
        let x = Tensor::<f64>::zeros(&[2, 3]);
        let mut bench = LayerBench::new("Projection(units: 4, bias: false)", vec![x.into()]);
        assert!(bench.forward(Mode::Eval).as_slice().iter().all(|y| *y == 0.0));
    }

    #[test]
    fn images_are_laid_out_in_rows() {
        let layer = r#"(name: "out", layer: Projection(units: 3), from: ["x"])"#;
        let (image, row) = (random::<f64>(&[5, 2, 3, 4], 1), random::<f64>(&[5, 24], 1));
        let mut of_images = graph(r#""x": [Batch, 2, 3, 4]"#, layer).unwrap();
        let mut of_rows = graph(r#""x": [Batch, 24]"#, layer).unwrap();
        let ((y, dx), (y_row, dx_row)) = (run(&mut of_images, &image), run(&mut of_rows, &row));
        assert_eq!(y, y_row);
        assert_eq!(dx.shape(), [5, 2, 3, 4]);
        assert_eq!(dx.as_slice(), dx_row.as_slice());
    }

    #[test]
    fn sequences_are_refused() {
        let node = "(name: \"out\", layer: Projection(units: 3), from: [\"x\"])";
        let error = graph("\"x\": [Batch, Time, 4]", node).unwrap_err();
        assert!(error.contains("TemporalAffine"), "{error}");
    }
}
