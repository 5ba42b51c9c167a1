//! Every number times one number, plus another.

use engine_core::field::Finite;
use engine_core::pointwise::{Function, LooksAt, Pointwise};
use engine_core::registry::LAYER;
use engine_core::{Scalar, register};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::elementwise;

/// Every number times one number, plus another: `Scale(by: -1, plus: 1)` is 1 - x.
///
/// ```text
/// y = by x + plus
/// ```
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// What every number is multiplied by.
    #[serde(default = "one")]
    pub by: Finite,
    /// What is added to it then.
    #[serde(default = "zero")]
    pub plus: Finite,
}

fn one() -> Finite {
    Finite::constant(1.0)
}

fn zero() -> Finite {
    Finite::constant(0.0)
}

const X: usize = 0;

elementwise!(Scale: "x");

impl Function for Scale {
    fn looks_at(&self) -> LooksAt {
        LooksAt::Nothing
    }
}

impl<T: Scalar> Pointwise<T> for Scale {
    fn value(&self, x: &[&[T]], y: &mut [T]) {
        let (by, plus) = (T::of(self.by.get()), T::of(self.plus.get()));
        y.iter_mut().zip(x[X]).for_each(|(y, &x)| *y = by * x + plus);
    }

    fn add_slope(&self, _: &[&[T]], _: &[T], dy: &[T], _: usize, dx: &mut [T]) {
        let by = T::of(self.by.get());
        dx.iter_mut().zip(dy).for_each(|(dx, &dy)| *dx += by * dy);
    }
}

register!(
    Scale in LAYER,
    example: "Scale(by: 0.125)",
    checks: ["Scale(by: -0.5)", "Scale(plus: 3)", "Scale(by: 2, plus: -0.25)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, random};

    #[test]
    fn values_and_gradients_are_right() {
        for [n, t, d, _] in SIZES {
            let (x, dy) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, d], 2));
            let mut bench = LayerBench::new("Scale(by: -2, plus: 1)", vec![x.clone().into()]);
            let y = bench.forward(Mode::Eval);
            assert_near(&y, &from_fn([n, t, d], |i| 1.0 - 2.0 * x.view3()[i]));
            assert_eq!(bench.steps(), y);
            bench.backward(&dy);
            assert_near(bench.input_gradient(0), &from_fn([n, t, d], |i| -2.0 * dy.view3()[i]));
            assert!(bench.gradient_error() < 1e-8);
        }
    }

    #[test]
    fn without_fields_it_copies() {
        let x = random::<f64>(&[3, 4], 1);
        assert_eq!(LayerBench::new("Scale()", vec![x.clone().into()]).forward(Mode::Eval), x);
    }

    #[test]
    fn factors_are_finite() {
        let x = random::<f64>(&[1, 1], 1);
        let error = LayerBench::try_new("Scale(by: inf)", vec![x.into()]).unwrap_err();
        assert!(error.contains("that is finite"), "{error}");
    }
}
