//! y = x w + b over the rows of x: a layer by itself, and what every layer with weights does to its input.

use engine_core::context::Forward;
use engine_core::gemm::{add_product, product};
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Asked, Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Scalar,
    Tensor, register, team,
};
use ndarray::{ArrayView2, ArrayViewMut2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::temporal_affine::map_plan;

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

const X: usize = 0;
const W: usize = 0;
const B: usize = 1;

#[typetag::serde]
impl Layer for Affine {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Inputs")])]
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

impl<T: Scalar> Kernel<T> for Affine {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let b = self.bias.then(|| &cx.parameters[B]);
        forward(cx.inputs[X].rows(), &cx.parameters[W], b, &mut cx.outputs[0]);
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        backward(cx, self.bias);
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

/// The default of the field `bias`.
pub(crate) fn with_bias() -> bool {
    true
}

/// y = x w + b.
pub(crate) fn forward<T: Scalar>(
    x: ArrayView2<'_, T>,
    w: &Tensor<T>,
    b: Option<&Tensor<T>>,
    y: &mut Tensor<T>,
) {
    forward_by(x, w.rows(), b, y);
}

/// As [`forward`], by a matrix that may be a transposed one.
pub(crate) fn forward_by<T: Scalar>(
    x: ArrayView2<'_, T>,
    w: ArrayView2<'_, T>,
    b: Option<&Tensor<T>>,
    y: &mut Tensor<T>,
) {
    match b {
        // A product of one row that adds to something takes its sums in another order than those of many rows, and a row
        // is to have the same bits whatever others are with it.
        Some(b) if y.rows().nrows() == 1 => {
            product(x, w, y.rows_mut());
            y.as_mut_slice().iter_mut().zip(b.as_slice()).for_each(|(y, b)| *y += *b);
        }
        Some(b) => {
            let b = b.as_slice();
            team::for_each_chunk_mut(
                y.as_mut_slice(),
                rows_a_piece(b.len()) * b.len(),
                |_, rows| {
                    rows.chunks_exact_mut(b.len()).for_each(|row| row.copy_from_slice(b));
                },
            );
            add_product(x, w, y.rows_mut());
        }
        None => product(x, w, y.rows_mut()),
    }
}

/// The whole backward pass of a layer that is nothing but this map: its only port is x, its parameters are w and, with
/// `bias`, b.
pub(crate) fn backward<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    let dy = &cx.output_gradients[0];
    if let Some(dx) = cx.input_gradients.get(0) {
        add_input_gradient(dy, &cx.parameters[0], dx.rows_mut());
    }
    add_parameter_gradients(cx, bias);
}

/// The gradients of w and b, where they are asked for.
pub(crate) fn add_parameter_gradients<T: Scalar>(cx: &mut Backward<'_, T>, bias: bool) {
    if cx.asked == Asked::Inputs {
        return;
    }
    let (dy, x) = (&cx.output_gradients[0], &cx.inputs[0]);
    add_weight_gradient(x.rows(), dy, &mut cx.parameter_gradients[0]);
    if bias {
        add_bias_gradient(dy, &mut cx.parameter_gradients[1]);
    }
}

/// dx = dx + dy w^T.
pub(crate) fn add_input_gradient<T: Scalar>(
    dy: &Tensor<T>,
    w: &Tensor<T>,
    dx: ArrayViewMut2<'_, T>,
) {
    add_product(dy.rows(), w.rows().reversed_axes(), dx);
}

/// dw = dw + x^T dy.
pub(crate) fn add_weight_gradient<T: Scalar>(
    x: ArrayView2<'_, T>,
    dy: &Tensor<T>,
    dw: &mut Tensor<T>,
) {
    add_product(x.reversed_axes(), dy.rows(), dw.rows_mut());
}

/// db = db + the sum of dy's rows, one row after the other, so that the bits do not depend on the number of threads.
pub(crate) fn add_bias_gradient<T: Scalar>(dy: &Tensor<T>, db: &mut Tensor<T>) {
    const COLUMNS: usize = 128;
    let width = db.as_slice().len();
    team::for_each_chunk_mut(db.as_mut_slice(), COLUMNS, |block, db| {
        for row in dy.as_slice().chunks_exact(width) {
            let row = &row[block * COLUMNS..][..db.len()];
            db.iter_mut().zip(row).for_each(|(db, &dy)| *db += dy);
        }
    });
}

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
