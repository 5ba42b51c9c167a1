//! Neighbouring columns of an array.

use engine_core::pointwise::Columns;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Dim, Layer, Lowered, Memory, PlanError, Port, PortShapes, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::columns::{self, TakeColumns};
use crate::width;

/// Neighbouring numbers of every row.
///
/// ```text
/// y[.., j] = x[.., start + j]        j = 0 .. width - 1
/// ```
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - output: `[.., width]`
///
/// # Errors
/// Columns that x does not have are refused, and so is an x whose last dimension is `Batch` or `Time`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The first column that is taken, from 0.
    #[serde(default)]
    pub start: usize,
    /// How many columns are taken.
    pub width: Dim,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Slice {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let whole = width::of_rows(x)?;
        let width = inputs.bind(self.width);
        let end = width.size().map(|width| self.start.saturating_add(width));
        if let (Some(end), Some(whole)) = (end, whole.size())
            && end > whole
        {
            let message = format!(
                "expected columns below {whole}, found {} to {}, with x of the shape {x}",
                self.start,
                end - 1
            );
            return Err(PlanError::field("width", message));
        }
        Ok(columns::signature(x.with_last(width), self.columns()))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(TakeColumns(self.columns()))
    }
}

impl Slice {
    fn columns(&self) -> Columns {
        Columns::From(self.start)
    }
}

register!(
    Slice in LAYER,
    example: "Slice(start: 0, width: 512)",
    checks: ["Slice(width: 1)", "Slice(start: 2, width: 3)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{array, from_fn, graph, random};

    #[test]
    fn takes_columns_and_gives_their_gradients_back() {
        for [n, t, d, start, width] in
            [[1, 1, 1, 0, 1], [3, 2, 5, 0, 5], [2, 4, 7, 3, 2], [300, 40, 9, 8, 1]]
        {
            let (x, dy) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, width], 2));
            let layer = format!("Slice(start: {start}, width: {width})");
            let mut bench = LayerBench::new(&layer, vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, t, width], |[i, s, j]| x.view3()[[i, s, start + j]]));
            bench.backward(&dy);
            let dx = from_fn([n, t, d], |[i, s, j]| match j {
                j if (start..start + width).contains(&j) => dy.view3()[[i, s, j - start]],
                _ => 0.0,
            });
            assert_eq!(*bench.input_gradient(0), dx);
            if n < 10 {
                assert_eq!(bench.steps(), y);
                assert!(bench.gradient_error() < 1e-8);
            }
        }
    }

    #[test]
    fn a_row_by_itself_has_columns_too() {
        let x = array(&[1, 3], &[1.0, 2.0, 3.0]);
        let y = LayerBench::new("Slice(start: 1, width: 2)", vec![x.into()]).forward(Mode::Eval);
        assert_eq!(y.as_slice(), [2.0, 3.0]);
    }

    #[test]
    fn widths_with_names_are_held_to_their_numbers() {
        let graph = |width| {
            let text = r#"Graph(
                inputs: {"x": [Batch, 4]},
                nodes: [(name: "out", layer: Slice(start: 2, width: Part), from: ["x"])],
                outputs: {"out": "out"},
            )"#;
            let sizes = [("Part", width)].into_iter().collect();
            engine_core::testing::engine::<f64>(text, sizes)
        };
        assert!(graph(2).is_ok());
        assert!(graph(3).unwrap_err().contains("expected columns below 4, found 2 to 4"));
    }

    #[test]
    fn columns_that_are_not_there_are_refused() {
        let node = r#"(name: "out", layer: Slice(start: 2, width: 3), from: ["x"])"#;
        let error = graph(r#""x": [Batch, 4]"#, node).unwrap_err();
        assert!(error.contains("expected columns below 4, found 2 to 4"), "{error}");
        let error = graph(r#""x": [Batch, Time]"#, node).unwrap_err();
        assert!(error.contains("expected an input whose last dimension"), "{error}");
    }
}
