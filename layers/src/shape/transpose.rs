//! Dimensions in another order.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Shape, Signature, Symbol, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;

/// The dimensions of an array in another order.
///
/// ```text
/// y[n, j, i] = x[n, i, j]        axes: [0, 2, 1]
/// ```
///
/// # Shapes
/// - `x`: `[Batch, ..]`, as many dimensions as there are axes
/// - output: dimension k is dimension `axes[k]` of x
///
/// # Errors
/// Axes that are not each number from 0 once are refused; the first is 0, so that examples stay apart.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Transpose {
    /// For each dimension of the output that of x, from 0.
    pub axes: Vec<usize>,
}

const X: usize = 0;

/// The names of dimensions after the batch.
const DIMENSIONS: [&str; 7] = ["Axis1", "Axis2", "Axis3", "Axis4", "Axis5", "Axis6", "Axis7"];
/// The most dimensions that an array has here.
const MOST: usize = DIMENSIONS.len() + 1;

#[typetag::serde]
impl Layer for Transpose {
    fn ports(&self) -> Vec<Port> {
        let others = DIMENSIONS.iter().take(self.axes.len().saturating_sub(1));
        let others = others.map(|name| Axis::Each(name));
        vec![Port::real("x", [Axis::BATCH].into_iter().chain(others).collect::<Vec<_>>())]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let mut sorted = self.axes.clone();
        sorted.sort_unstable();
        let each_once = sorted.iter().copied().eq(0..sorted.len());
        if !each_once || self.axes.first() != Some(&0) || self.axes.len() > MOST {
            let message = format!(
                "expected 0 and then the numbers from 1 to {} in any order, found {:?}",
                self.axes.len().clamp(2, MOST) - 1,
                self.axes
            );
            return Err(PlanError::field("axes", message));
        }
        let x = inputs.shape(X);
        let output = Shape::new(self.axes.iter().map(|axis| x[*axis]));
        let moves_time = x.has(Symbol::TIME) && self.axes.get(1) != Some(&1);
        let dependence = if moves_time { Dependence::Position } else { Dependence::Item };
        Ok(Signature::output(output, dependence))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(self.clone())
    }
}

/// How the dimensions of one example, or of one position where `Batch` and `Time` are one dimension, change places.
struct Order {
    /// Dimensions of the output, and how far apart its neighbours along each of them lie in x.
    dims: [(usize, usize); MOST],
    rank: usize,
}

impl Order {
    /// Of an array of this shape, which lacks `Time` where positions are arranged.
    fn of(axes: &[usize], shape: &[usize]) -> Self {
        let merged = axes.len() - shape.len();
        let mut dims = [(1, 0); MOST];
        let inner = axes[1 + merged..].iter().map(|axis| axis - merged);
        for (dim, axis) in dims.iter_mut().zip(inner) {
            *dim = (shape[axis], shape[axis + 1..].iter().product());
        }
        Order { dims, rank: axes.len() - 1 - merged }
    }

    /// Calls `f` with each place in the output and the one in x that belongs to it.
    fn for_each(&self, mut f: impl FnMut(usize, usize)) {
        let dims = &self.dims[..self.rank];
        let count = dims.iter().map(|(length, _)| length).product();
        let mut index = [0; MOST];
        let mut from = 0;
        for to in 0..count {
            f(to, from);
            for (at, (length, apart)) in index.iter_mut().zip(dims).rev() {
                *at += 1;
                from += apart;
                if *at < *length {
                    break;
                }
                from -= *at * apart;
                *at = 0;
            }
        }
    }
}

impl<T: Scalar> Kernel<T> for Transpose {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (x, y) = (&cx.inputs[X], &mut cx.outputs[0]);
        let (order, length) = (Order::of(&self.axes, x.shape()), x.flat().ncols());
        let piece = rows_a_piece(length) * length;
        team::for_each_chunk_mut(y.as_mut_slice(), piece, |at, y| {
            let x = x.as_slice()[at * piece..].chunks_exact(length);
            for (y, x) in y.chunks_exact_mut(length).zip(x) {
                order.for_each(|to, from| y[to] = x[from]);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let dy = cx.output_gradients[0].as_slice();
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (order, length) = (Order::of(&self.axes, dx.shape()), dx.flat().ncols());
        let piece = rows_a_piece(length) * length;
        team::for_each_chunk_mut(dx.as_mut_slice(), piece, |at, dx| {
            let dy = dy[at * piece..].chunks_exact(length);
            for (dx, dy) in dx.chunks_exact_mut(length).zip(dy) {
                order.for_each(|to, from| dx[from] += dy[to]);
            }
        });
    }
}

register!(
    Transpose in LAYER,
    example: "Transpose(axes: [0, 2, 1])",
    checks: [
        "Transpose(axes: [0])",
        "Transpose(axes: [0, 2, 1])",
        "Transpose(axes: [0, 3, 1, 2])",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::{LayerBench, stepwise};

    use crate::samples::{from_fn, graph, random};

    #[test]
    fn dimensions_change_places() {
        for [n, a, b, c] in [[1, 1, 1, 1], [2, 3, 4, 5], [1, 5, 1, 3], [300, 2, 3, 4]] {
            let x = random::<f64>(&[n, a, b, c], 1);
            let at = |i: [usize; 4]| x.as_slice()[((i[0] * a + i[1]) * b + i[2]) * c + i[3]];
            let layer = "Transpose(axes: [0, 3, 1, 2])";
            let mut bench = LayerBench::new(layer, vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, c, a, b], |[i, l, j, k]| at([i, j, k, l])));
            if n < 10 {
                assert!(bench.gradient_error() < 1e-8);
            }
        }
    }

    #[test]
    fn steps_equal_the_forward_pass_wherever_time_goes() {
        for axes in ["[0, 1, 3, 2]", "[0, 2, 1, 3]"] {
            let node = format!(r#"(name: "out", layer: Transpose(axes: {axes}), from: ["x"])"#);
            let x = random::<f64>(&[2, 3, 4, 5], 1);
            let mut batch = engine_core::Batch::new();
            batch.f64_mut("x", x.shape()).copy_from_slice(x.as_slice());
            let mut engine = graph(r#""x": [Batch, Time, 4, 5]"#, &node).unwrap();
            engine.forward(&batch, Mode::Eval).unwrap();
            if axes == "[0, 1, 3, 2]" {
                let steps = stepwise(&engine, &batch, "out").unwrap();
                assert_eq!(&steps, engine.output("out").unwrap());
            }
        }
    }

    #[test]
    fn axes_that_are_no_permutation_are_refused() {
        for axes in ["[1, 0, 2]", "[0, 1, 1]", "[0, 1, 3]", "[]"] {
            let node = format!(r#"(name: "out", layer: Transpose(axes: {axes}), from: ["x"])"#);
            let shape = if axes == "[]" { "[Batch]" } else { "[Batch, 2, 3]" };
            let error = graph(&format!(r#""x": {shape}"#), &node).unwrap_err();
            assert!(error.contains("field `axes`: expected 0 and then"), "{error}");
        }
        let node = r#"(name: "out", layer: Transpose(axes: [0, 1]), from: ["x"])"#;
        assert!(graph(r#""x": [Batch, 2, 3]"#, node).is_err());
    }
}
