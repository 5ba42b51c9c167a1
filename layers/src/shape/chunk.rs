//! One of several equal parts of an array.

use engine_core::field::Count;
use engine_core::pointwise::Columns;
use engine_core::registry::LAYER;
use engine_core::{Axis, Layer, Lowered, Memory, PlanError, Port, PortShapes, Signature, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::columns::{self, TakeColumns};
use crate::width;

/// One of several equal parts of every row, such as one gate of the sums of all gates.
///
/// ```text
/// y[.., j] = x[.., index W + j]        W = Width / of, j = 0 .. W - 1
/// ```
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - output: `[.., Width / of]`
///
/// # Errors
/// A width that `of` does not divide is refused, a part that there is not, and an x whose last dimension is `Batch` or
/// `Time`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Chunk {
    /// Which part, from 0.
    pub index: usize,
    /// How many parts there are.
    pub of: Count,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Chunk {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (x, of) = (inputs.shape(X), self.of.as_usize());
        if self.index >= of {
            let message = format!("expected a part from 0 to {}, found {}", of - 1, self.index);
            return Err(PlanError::field("index", message));
        }
        let part = width::of_rows(x)?.part(of).ok_or_else(|| {
            let message = format!("expected a width that {of} divides, found {x}");
            PlanError::field("of", message)
        })?;
        Ok(columns::signature(x.with_last(part), self.columns()))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(TakeColumns(self.columns()))
    }
}

impl Chunk {
    fn columns(&self) -> Columns {
        Columns::Part { index: self.index, of: self.of.as_usize() }
    }
}

register!(
    Chunk in LAYER,
    example: "Chunk(index: 0, of: 4)",
    checks: ["Chunk(index: 0, of: 1)", "Chunk(index: 1, of: 3)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{assert_near, from_fn, graph, random};

    #[test]
    fn takes_a_part_and_gives_its_gradient_back() {
        for [n, t, width, of] in [[1, 1, 1, 1], [2, 3, 2, 4], [3, 1, 5, 2], [100, 30, 7, 3]] {
            for index in 0..of {
                let x = random::<f64>(&[n, t, of * width], 1);
                let dy = random::<f64>(&[n, t, width], 2);
                let layer = format!("Chunk(index: {index}, of: {of})");
                let mut bench = LayerBench::new(&layer, vec![x.clone().into()]);
                let y = bench.forward(Mode::Eval);
                let first = index * width;
                assert_eq!(y, from_fn([n, t, width], |[i, s, j]| x.view3()[[i, s, first + j]]));
                bench.backward(&dy);
                let dx = from_fn([n, t, of * width], |[i, s, j]| match j / width == index {
                    true => dy.view3()[[i, s, j - first]],
                    false => 0.0,
                });
                assert_eq!(*bench.input_gradient(0), dx);
                if n < 10 {
                    assert_near(&bench.steps(), &y);
                    assert!(bench.gradient_error() < 1e-8);
                }
            }
        }
    }

    #[test]
    fn widths_that_are_not_divided_are_refused() {
        let nodes = |of: usize| {
            format!(
                r#"(name: "wide", layer: Affine(units: 12), from: ["x"]),
                (name: "out", layer: Chunk(index: 1, of: {of}), from: ["wide"])"#
            )
        };
        assert!(graph(r#""x": [Batch, Time, 3]"#, &nodes(4)).is_ok());
        let error = graph(r#""x": [Batch, Time, 3]"#, &nodes(5)).unwrap_err();
        assert!(error.contains("field `of`: expected a width that 5 divides"), "{error}");
    }

    #[test]
    fn a_part_that_there_is_not_is_refused() {
        let node = r#"(name: "out", layer: Chunk(index: 2, of: 2), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 4]"#, node).unwrap_err();
        assert!(error.contains("field `index`: expected a part from 0 to 1, found 2"), "{error}");
    }
}
