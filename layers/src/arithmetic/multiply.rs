//! The product of arrays, element by element.

use engine_core::pointwise::{Function, LooksAt, Pointwise};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Layer, Lowered, Memory, PlanError, Port, PortShapes, Scalar, Signature, register,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::{self, Elementwise};

/// The product of two or more arrays of one shape, element by element.
///
/// ```text
/// y = x_1 * x_2 * ..
/// ```
///
/// # Shapes
/// - `x`, two or more: any, all the same
/// - output: that of each `x`
///
/// The same value may be wired more than once, and counts as often: twice is its square.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Multiply {}

const FIRST: usize = 0;

#[typetag::serde]
impl Layer for Multiply {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest]).at_least(2)]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        Ok(elementwise::signature(self, inputs))
    }

    fn plain(&self, _: &mut Memory<'_>) -> Lowered {
        Lowered::new(Elementwise(self.clone()))
    }
}

impl Function for Multiply {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Arguments
    }
}

impl<T: Scalar> Pointwise<T> for Multiply {
    fn value(&self, x: &[&[T]], y: &mut [T]) {
        y.copy_from_slice(x[FIRST]);
        for x in &x[FIRST + 1..] {
            y.iter_mut().zip(*x).for_each(|(y, &x)| *y *= x);
        }
    }

    fn add_slope(&self, x: &[&[T]], _: &[T], dy: &[T], port: usize, dx: &mut [T]) {
        match (x, port) {
            ([_, other], 0) | ([other, _], 1) => elementwise::add_slope(dx, dy, other, |x| x),
            _ => {
                for (at, (dx, &dy)) in dx.iter_mut().zip(dy).enumerate() {
                    let others = x.iter().enumerate().filter(|(other, _)| *other != port);
                    *dx += others.fold(dy, |product, (_, x)| product * x[at]);
                }
            }
        }
    }
}

register!(Multiply in LAYER, example: "Multiply()", checks: ["Multiply()"]);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random, run};

    #[test]
    fn three_inputs_have_the_right_values_and_gradients() {
        for [n, t, d, _] in SIZES {
            let shape = [n, t, d];
            let [a, b, c] = [1, 2, 3].map(|seed| random::<f64>(&shape, seed));
            let inputs = vec![a.clone().into(), b.clone().into(), c.clone().into()];
            let mut bench = LayerBench::new("Multiply()", inputs);
            let y = bench.forward(Mode::Eval);
            let of = |i: [usize; 3]| [a.view3()[i], b.view3()[i], c.view3()[i]];
            assert_near(&y, &from_fn(shape, |i| of(i).iter().product()));
            assert_eq!(bench.steps(), y);

            let dy = random::<f64>(&shape, 4);
            bench.backward(&dy);
            for port in 0..3 {
                let others = |i: [usize; 3]| of(i)[(port + 1) % 3] * of(i)[(port + 2) % 3];
                let expected = from_fn(shape, |i| dy.view3()[i] * others(i));
                assert_near(bench.input_gradient(port), &expected);
            }
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn a_value_that_is_wired_twice_counts_twice() {
        let node = r#"(name: "out", layer: Multiply(), from: ["x", "x"])"#;
        let mut graph = graph(r#""x": [Batch, 3]"#, node).unwrap();
        let (y, dx) = run(&mut graph, &array(&[1, 3], &[3.0, 0.0, -1.0]));
        assert_eq!(y.as_slice(), [9.0, 0.0, 1.0]);
        assert_eq!(dx.as_slice(), [6.0, 0.0, -2.0]);
    }

    #[test]
    fn one_input_or_two_shapes_are_refused() {
        let node = |from: &str| format!(r#"(name: "out", layer: Multiply(), from: [{from}])"#);
        let inputs = r#""x": [Batch, 3], "y": [Batch, 4]"#;
        assert!(graph(inputs, &node(r#""x""#)).is_err());
        assert!(graph(inputs, &node(r#""x", "y""#)).is_err());
    }
}
