//! The difference of two arrays.

use engine_core::pointwise::{Function, LooksAt, Pointwise};
use engine_core::registry::LAYER;
use engine_core::{Scalar, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::elementwise;

/// The difference of two arrays of one shape.
///
/// ```text
/// y = a - b
/// ```
///
/// # Shapes
/// - `a`: any
/// - `b`: that of `a`
/// - output: that of `a`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Subtract {}

const A: usize = 0;
const B: usize = 1;

elementwise!(Subtract: "a", "b");

impl Function for Subtract {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Nothing
    }
}

impl<T: Scalar> Pointwise<T> for Subtract {
    fn value(&self, x: &[&[T]], y: &mut [T]) {
        y.iter_mut().zip(x[A]).zip(x[B]).for_each(|((y, &a), &b)| *y = a - b);
    }

    fn add_slope(&self, _: &[&[T]], _: &[T], dy: &[T], port: usize, dx: &mut [T]) {
        match port {
            A => dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += dy),
            _ => dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx -= dy),
        }
    }
}

register!(Subtract in LAYER, example: "Subtract()", checks: ["Subtract()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, from_fn, graph, random, run};

    #[test]
    fn values_and_gradients_are_right() {
        for [n, t, d, _] in SIZES {
            let [a, b, dy] = [1, 2, 3].map(|seed| random::<f64>(&[n, t, d], seed));
            let mut bench = LayerBench::new("Subtract()", vec![a.clone().into(), b.clone().into()]);
            let y = bench.forward(Mode::Eval);
            assert_eq!(y, from_fn([n, t, d], |i| a.view3()[i] - b.view3()[i]));
            assert_eq!(bench.steps(), y);
            bench.backward(&dy);
            assert_eq!(*bench.input_gradient(0), dy);
            assert_eq!(*bench.input_gradient(1), from_fn([n, t, d], |i| -dy.view3()[i]));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn an_array_less_itself_is_nothing() {
        let node = r#"(name: "out", layer: Subtract(), from: ["x", "x"])"#;
        let mut graph = graph(r#""x": [Batch, 3]"#, node).unwrap();
        let (y, dx) = run(&mut graph, &array(&[1, 3], &[3.0, 0.0, -1.0]));
        assert_eq!((y.as_slice(), dx.as_slice()), ([0.0; 3].as_slice(), [0.0; 3].as_slice()));
    }

    #[test]
    fn two_shapes_are_refused() {
        let node = r#"(name: "out", layer: Subtract(), from: ["x", "y"])"#;
        assert!(graph(r#""x": [Batch, 3], "y": [Batch, 4]"#, node).is_err());
    }
}
