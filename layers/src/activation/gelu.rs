//! The Gaussian error linear unit.

use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Scratch, Signature, register,
};
use engine_kernels::math;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise;

/// Every number times the share of a normal distribution that is below it: a ReLU with a smooth bend.
///
/// ```text
/// y = x P(x)        P(x) = (1 + erf(x / sqrt 2)) / 2
/// y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2        approximate
/// ```
///
/// Hendrycks and Gimpel, "Gaussian Error Linear Units", 2016.
///
/// # Shapes
/// - `x`: any
/// - output: that of `x`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Gelu {
    /// Whether tanh stands in for the error function, as in the first transformers that had this.
    pub approximate: bool,
}

const X: usize = 0;

#[typetag::serde]
impl Layer for Gelu {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        Ok(Signature::output(inputs.shape(X).clone(), Dependence::Elementwise))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let slopes = memory.scratch(memory.output().clone());
        Lowered::new(GeluKernel { gelu: self.clone(), slopes })
    }
}

/// The function and its slope; `slopes` holds P, then the slope, of each number.
#[derive(Debug)]
struct GeluKernel {
    gelu: Gelu,
    slopes: Scratch,
}

impl Gelu {
    /// p = P(x).
    fn shares<T: Scalar>(&self, x: &[T], p: &mut [T]) {
        match self.approximate {
            true => approximate_shares(x, p),
            false => shares(x, p),
        }
    }
}

impl<T: Scalar> Kernel<T> for GeluKernel {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        elementwise::map(cx.inputs[X].as_slice(), cx.outputs[0].as_mut_slice(), |x, y| {
            self.gelu.shares(x, y);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = times(x, *y));
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, dy) = (cx.inputs[X].as_slice(), cx.output_gradients[0].as_slice());
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let slopes = cx.scratch[self.slopes].as_mut_slice();
        elementwise::map(x, slopes, |x, slopes| {
            self.gelu.shares(x, slopes);
            let slope = if self.gelu.approximate { approximate_slope } else { slope };
            slopes.iter_mut().zip(x).for_each(|(p, &x)| *p = slope(x, *p));
        });
        elementwise::add_scaled(dx.as_mut_slice(), dy, slopes, |slope| slope);
    }
}

/// x p, 0 where p is, even if x is minus infinity.
fn times<T: Scalar>(x: T, p: T) -> T {
    if p == T::zero() { T::zero() } else { x * p }
}

/// p = (1 + erf(x / sqrt 2)) / 2, which is erfc(-x / sqrt 2) / 2 with all of its digits where it is small.
fn shares<T: Scalar>(x: &[T], p: &mut [T]) {
    let share = |x: f64| 0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2);
    p.iter_mut().zip(x).for_each(|(p, x)| *p = T::of(share(x.f64())));
}

/// The slope of x P(x) where P(x) is `p`: p plus x times the density of the normal distribution.
fn slope<T: Scalar>(x: T, p: T) -> T {
    let of_density = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 / 2.0;
    let x = x.f64();
    p + T::of(x * of_density * libm::exp(-0.5 * x * x))
}

/// sqrt(2 / pi).
const INNER: f64 = std::f64::consts::FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2;
/// What x^3 is multiplied by.
const CUBIC: f64 = 0.044715;

/// p = (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
fn approximate_shares<T: Scalar>(x: &[T], p: &mut [T]) {
    let (inner, cubic, half) = (T::of(INNER), T::of(CUBIC), T::of(0.5));
    p.iter_mut().zip(x).for_each(|(p, &x)| *p = inner * (x + cubic * x * x * x));
    math::tanh(p);
    p.iter_mut().for_each(|p| *p = half + half * *p);
}

/// The slope of x P(x) where P(x), approximated, is `p`; that of p is 2 p (1 - p) times that of what tanh is taken of.
fn approximate_slope<T: Scalar>(x: T, p: T) -> T {
    let inner = T::of(INNER) * (T::one() + T::of(3.0 * CUBIC) * x * x);
    p + times(x * T::of(2.0) * inner, p * (T::one() - p))
}

register!(
    Gelu in LAYER,
    example: "Gelu()",
    checks: ["Gelu()", "Gelu(approximate: true)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, random};

    const X: [f64; 5] = [-3.0, -0.5, 0.0, 1.0, 4.0];
    /// With Python: `[x * math.erfc(-x / math.sqrt(2)) / 2 for x in (-3, -0.5, 0, 1, 4)]`.
    const EXACT: [f64; 5] =
        [-0.004049694094890287, -0.15426876936299344, 0.0, 0.8413447460685429, 3.9998733150326675];

    #[test]
    fn values_are_right() {
        let mut bench = LayerBench::<f64>::new("Gelu()", vec![array(&[1, 5], &X).into()]);
        for (found, exact) in bench.forward(Mode::Eval).as_slice().iter().zip(EXACT) {
            assert!((found - exact).abs() < 1e-14, "{found} for {exact}");
        }
        let layer = "Gelu(approximate: true)";
        let mut bench = LayerBench::<f64>::new(layer, vec![array(&[1, 5], &X).into()]);
        for ((found, x), exact) in bench.forward(Mode::Eval).as_slice().iter().zip(X).zip(EXACT) {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            assert!((found - 0.5 * x * (1.0 + inner.tanh())).abs() < 1e-14, "{found} at {x}");
            assert!((found - exact).abs() < 1e-3, "{found} is near {exact}");
        }
    }

    #[test]
    fn gradients_and_steps_agree_with_the_forward_pass() {
        for layer in ["Gelu()", "Gelu(approximate: true)"] {
            for [n, t, d, _] in SIZES {
                let mut bench = LayerBench::new(layer, vec![random::<f64>(&[n, t, d], 1).into()]);
                assert!(bench.gradient_error() < 1e-7);
                assert_eq!(bench.forward(Mode::Eval), bench.steps());
            }
        }
    }

    #[test]
    fn the_ends_are_those_of_a_relu() {
        for layer in ["Gelu()", "Gelu(approximate: true)"] {
            let x = [f32::NEG_INFINITY, -1e4, 1e4, f32::INFINITY];
            let mut bench = LayerBench::new(layer, vec![array(&[1, 4], &x).into()]);
            assert_eq!(bench.forward(Mode::Eval).as_slice(), [0.0, 0.0, 1e4, f32::INFINITY]);
            bench.backward(&array(&[1, 4], &[1.0; 4]));
            assert_eq!(bench.input_gradient(0).as_slice()[1..3], [0.0, 1.0]);
            let nan = array(&[1, 1], &[f32::NAN]);
            assert!(
                LayerBench::new(layer, vec![nan.into()]).forward(Mode::Eval).as_slice()[0].is_nan()
            );
        }
    }
}
