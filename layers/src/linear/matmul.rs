//! Products of matrices that are both computed.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Shape, Signature, Symbol, Tensor, register,
};
use engine_kernels::gemm::{add_product, product};
use engine_kernels::team;
use ndarray::{ArrayView2, ArrayViewMut2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;

/// Products of matrices that are both computed, one for each place of the leading dimensions.
///
/// ```text
/// y[.., i, j] = sum over k of a[.., i, k] b[.., k, j]
/// ```
///
/// # Shapes
/// - `a`: `[.., M, K]`; `[.., K, M]` with `transpose_a`
/// - `b`: `[.., K, N]`; `[.., N, K]` with `transpose_b`
/// - output: `[.., M, N]`
///
/// # Errors
/// Matrices of examples are refused, and those of steps against steps, for a network that writes word by word does not
/// have the steps to come:
/// `MultiHeadAttention` attends to those before.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MatMul {
    /// Whether the transpose of each matrix of `a` is multiplied.
    pub transpose_a: bool,
    /// Whether the transpose of each matrix of `b` is multiplied.
    pub transpose_b: bool,
}

const A: usize = 0;
const B: usize = 1;

#[typetag::serde]
impl Layer for MatMul {
    fn ports(&self) -> Vec<Port> {
        let matrix = |rows, columns, transposed| match transposed {
            false => [Axis::Rest, Axis::Any(rows), Axis::Any(columns)],
            true => [Axis::Rest, Axis::Any(columns), Axis::Any(rows)],
        };
        vec![
            Port::real("a", matrix("M", "K", self.transpose_a)),
            Port::real("b", matrix("K", "N", self.transpose_b)),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let a = inputs.shape(A).dims();
        let lead = &a[..a.len() - 2];
        let [m, k, n] = ["M", "K", "N"].map(|name| inputs.dim(name));
        let over = |symbol| [m, k, n].into_iter().filter(move |dim| dim.is(symbol)).count();
        if over(Symbol::BATCH) > 0 || over(Symbol::TIME) > 1 {
            let message = format!(
                "expected matrices without Batch of which one dimension at most is Time, found {} and {}; MultiHeadAttention attends to steps",
                inputs.shape(A),
                inputs.shape(B)
            );
            return Err(PlanError::new(message));
        }
        let dependence = match over(Symbol::TIME) {
            0 => Dependence::Item,
            _ if k.is(Symbol::TIME) => Dependence::Whole,
            // Steps stay apart, and matrices are not over positions.
            _ => Dependence::Position,
        };
        let output = Shape::new(lead.iter().copied().chain([m, n]));
        Ok(Signature::output(output, dependence))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

/// One matrix of an array.
#[derive(Clone, Copy)]
struct Matrices<'a, T> {
    numbers: &'a [T],
    shape: (usize, usize),
    transposed: bool,
}

impl<'a, T: Scalar> Matrices<'a, T> {
    fn of(array: &'a Tensor<T>, transposed: bool) -> Self {
        Matrices { numbers: array.as_slice(), shape: matrix_shape(array), transposed }
    }

    /// The matrix at this place, as it is multiplied.
    fn at(self, place: usize) -> ArrayView2<'a, T> {
        let length = self.shape.0 * self.shape.1;
        let numbers = &self.numbers[place * length..][..length];
        let matrix = ArrayView2::from_shape(self.shape, numbers).expect("cut to its length");
        if self.transposed { matrix.reversed_axes() } else { matrix }
    }

    /// The transpose of that.
    fn transpose(self) -> Self {
        Matrices { transposed: !self.transposed, ..self }
    }
}

/// The last two dimensions.
fn matrix_shape<T: Scalar>(array: &Tensor<T>) -> (usize, usize) {
    let rank = array.shape().len();
    (array.dim(rank - 2), array.dim(rank - 1))
}

/// Calls `f` with each matrix of an array, and its place.
fn for_each_matrix<T: Scalar>(
    array: &mut Tensor<T>,
    f: impl Fn(usize, ArrayViewMut2<'_, T>) + Sync,
) {
    let shape = matrix_shape(array);
    let length = shape.0 * shape.1;
    let piece = rows_a_piece(length);
    team::for_each_chunk_mut(array.as_mut_slice(), piece * length, |at, matrices| {
        for (matrix, place) in matrices.chunks_exact_mut(length).zip(at * piece..) {
            f(place, ArrayViewMut2::from_shape(shape, matrix).expect("cut to its length"));
        }
    });
}

/// dx = dx + left right, or the transpose of that.
fn add<T: Scalar>(
    dx: &mut Tensor<T>,
    transposed: bool,
    left: Matrices<'_, T>,
    right: Matrices<'_, T>,
) {
    for_each_matrix(dx, |place, dx| {
        let dx = if transposed { dx.reversed_axes() } else { dx };
        add_product(left.at(place), right.at(place), dx);
    });
}

impl<T: Scalar> Kernel<T> for MatMul {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let a = Matrices::of(&cx.inputs[A], self.transpose_a);
        let b = Matrices::of(&cx.inputs[B], self.transpose_b);
        for_each_matrix(&mut cx.outputs[0], |place, y| product(a.at(place), b.at(place), y));
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let a = Matrices::of(&cx.inputs[A], self.transpose_a).transpose();
        let b = Matrices::of(&cx.inputs[B], self.transpose_b).transpose();
        let dy = Matrices::of(&cx.output_gradients[0], false);
        if let Some(da) = cx.input_gradients.get(A) {
            add(da, self.transpose_a, dy, b);
        }
        if let Some(db) = cx.input_gradients.get(B) {
            add(db, self.transpose_b, a, dy);
        }
    }
}

register!(
    MatMul in LAYER,
    example: "MatMul(transpose_b: true)",
    checks: [
        "MatMul()",
        "MatMul(transpose_a: true)",
        "MatMul(transpose_b: true)",
        "MatMul(transpose_a: true, transpose_b: true)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{assert_near, from_fn, graph, random};

    #[test]
    fn equals_naive_sums_whatever_is_transposed() {
        for [n, m, k, w] in [[1, 1, 1, 1], [3, 1, 4, 2], [2, 3, 1, 5], [40, 7, 9, 8], [1, 70, 3, 2]]
        {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                let a = random::<f64>(&if ta { [n, k, m] } else { [n, m, k] }, 1);
                let b = random::<f64>(&if tb { [n, w, k] } else { [n, k, w] }, 2);
                let (a3, b3) = (a.view3(), b.view3());
                let of_a = |i, r, c| if ta { a3[[i, c, r]] } else { a3[[i, r, c]] };
                let of_b = |i, r, c| if tb { b3[[i, c, r]] } else { b3[[i, r, c]] };
                let layer = format!("MatMul(transpose_a: {ta}, transpose_b: {tb})");
                let text = format!(r#"(name: "out", layer: {layer}, from: ["a", "b"])"#);
                let declared =
                    |x: &engine_core::Tensor<f64>| format!("[Batch, {}, {}]", x.dim(1), x.dim(2));
                let inputs = format!(r#""a": {}, "b": {}"#, declared(&a), declared(&b));
                let mut engine = graph(&inputs, &text).unwrap();
                let mut batch = engine_core::Batch::new();
                batch.f64_mut("a", a.shape()).copy_from_slice(a.as_slice());
                batch.f64_mut("b", b.shape()).copy_from_slice(b.as_slice());
                engine.forward(&batch, Mode::Eval).unwrap();
                let y = from_fn([n, m, w], |[i, r, c]| {
                    (0..k).map(|j| of_a(i, r, j) * of_b(i, j, c)).sum()
                });
                assert_near(engine.output("out").unwrap(), &y);
                if n < 10 {
                    let worst =
                        engine_core::engine::gradient_check(&mut engine, &batch, Mode::Eval, 40, 1);
                    assert!(worst.unwrap().unwrap().relative_error < 1e-7);
                }
            }
        }
    }

    #[test]
    fn steps_equal_the_forward_pass() {
        let (a, b) = (random::<f64>(&[2, 3, 4, 5], 1), random::<f64>(&[2, 3, 5, 2], 2));
        let mut bench = LayerBench::new("MatMul()", vec![a.into(), b.into()]);
        let y = bench.forward(Mode::Eval);
        assert_near(&bench.steps(), &y);
    }

    #[test]
    fn steps_against_steps_are_refused() {
        let node = |b: bool| {
            format!(r#"(name: "out", layer: MatMul(transpose_b: {b}), from: ["a", "b"])"#)
        };
        let inputs = r#""a": [Batch, Time, 4], "b": [Batch, Time, 4]"#;
        let error = graph(inputs, &node(true)).unwrap_err();
        assert!(error.contains("MultiHeadAttention attends to steps"), "{error}");
        assert!(graph(r#""a": [Batch, Time, 4], "b": [Batch, 4, 3]"#, &node(false)).is_ok());
        assert!(graph(r#""a": [Batch, 2, 4], "b": [Batch, 3, 5]"#, &node(false)).is_err());
        let error = graph(r#""a": [Batch, 4], "b": [3, 4]"#, &node(true)).unwrap_err();
        assert!(error.contains("expected matrices without Batch"), "{error}");
    }

    #[test]
    fn steps_meet_what_has_none() {
        let node = r#"(name: "out", layer: MatMul(), from: ["a", "b"])"#;
        let mut engine = graph(r#""a": [Batch, Time, 4], "b": [Batch, 4, 5]"#, node).unwrap();
        let (a, b) = (random::<f64>(&[2, 3, 4], 1), random::<f64>(&[2, 4, 5], 2));
        let mut batch = engine_core::Batch::new();
        batch.f64_mut("a", a.shape()).copy_from_slice(a.as_slice());
        batch.f64_mut("b", b.shape()).copy_from_slice(b.as_slice());
        engine.forward(&batch, Mode::Eval).unwrap();
        let steps = engine_core::testing::stepwise(&engine, &batch, "out").unwrap();
        assert_near(&steps, engine.output("out").unwrap());
    }
}
