//! Channels divided by what those beside them hold.

use engine_core::field::{Count, NonNegative, Positive};
use engine_core::registry::LAYER;
use engine_core::{
    Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port, PortShapes,
    Saved, Scalar, Scratch, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;

use crate::pooling::shared as pooling;

/// Every number of a picture divided by a power of what neighbouring channels hold at its place.
///
/// ```text
/// d[n, c, i, j] = k + (alpha / size) sum of x[n, m, i, j]^2 over m = c - size / 2 .. c + (size - 1) / 2
/// y = x / d^beta
/// ```
///
/// Divisions of `size` are rounded down, and channels that do not exist count as 0. Krizhevsky, Sutskever and Hinton,
/// "ImageNet Classification with Deep Convolutional Neural Networks", 2012; conventions of PyTorch and Caffe.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: that of `x`
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocalResponseNorm {
    /// How many channels are looked at.
    pub size: Count,
    /// How much their mean square counts.
    #[serde(default = "alpha")]
    pub alpha: NonNegative,
    /// The power.
    #[serde(default = "beta")]
    pub beta: NonNegative,
    /// What is added to their mean square, so that nothing is divided by 0.
    #[serde(default = "k")]
    pub k: Positive,
}

// The defaults are PyTorch's.

fn alpha() -> NonNegative {
    NonNegative::constant(1e-4)
}

fn beta() -> NonNegative {
    NonNegative::constant(0.75)
}

fn k() -> Positive {
    Positive::constant(1.0)
}

const X: usize = 0;

#[typetag::serde]
impl Layer for LocalResponseNorm {
    fn ports(&self) -> Vec<Port> {
        vec![pooling::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        pooling::sides(x)?;
        pooling::channels(x)?;
        Ok(Signature::output(x.clone(), Dependence::Item))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let x = memory.input(X).clone();
        let (d, given) = (memory.saved(x.clone()), memory.scratch(x));
        Lowered::new(Normalization { norm: self.clone(), d, given })
    }
}

/// The normalisation; `d` holds what numbers are divided by, `given` what each number's divisor gives back to the numbers
/// that it was made of.
#[derive(Debug)]
struct Normalization {
    norm: LocalResponseNorm,
    d: Saved,
    given: Scratch,
}

/// A row of numbers, each to a power below 0. That of the paper, 3/4, takes two square roots.
fn divide_by_power<T: Scalar>(y: &mut [T], d: &[T], beta: f64) {
    match beta {
        0.75 => y.iter_mut().zip(d).for_each(|(y, d)| {
            let root = d.sqrt();
            *y /= root * root.sqrt();
        }),
        beta => {
            let power = T::of(-beta);
            y.iter_mut().zip(d).for_each(|(y, d)| *y *= d.powf(power));
        }
    }
}

impl LocalResponseNorm {
    /// The channels that are in the sum of `c`, or those that have `c` in their sums.
    fn around(&self, c: usize, channels: usize, before: bool) -> Range<usize> {
        let size = self.size.as_usize();
        let (below, above) = (size / 2, (size - 1) / 2);
        let (below, above) = if before { (below, above) } else { (above, below) };
        c.saturating_sub(below)..c.saturating_add(above).saturating_add(1).min(channels)
    }

    fn share(&self) -> f64 {
        self.alpha.get() / self.size.get() as f64
    }
}

impl<T: Scalar> Kernel<T> for Normalization {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = &cx.inputs[X];
        let (channels, length) = (x.dim(1), pooling::length(x));
        let (share, k) = (T::of(self.norm.share()), T::of(self.norm.k.get()));
        let arrays =
            ((cx.outputs[0].as_mut_slice(), length), (cx.saved[self.d].as_mut_slice(), length));
        team::for_each_chunk_mut2(arrays.0, arrays.1, |at, y, d| {
            let (c, x) = (at % channels, &x.as_slice()[(at - at % channels) * length..]);
            d.fill(T::zero());
            for m in self.norm.around(c, channels, true) {
                let squares = d.iter_mut().zip(&x[m * length..]);
                squares.for_each(|(d, &x)| *d += x * x);
            }
            d.iter_mut().for_each(|d| *d = k + share * *d);
            y.copy_from_slice(&x[c * length..][..length]);
            divide_by_power(y, d, self.norm.beta.get());
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, y, dy) = (&cx.inputs[X], &cx.outputs[0], cx.output_gradients[0].as_slice());
        let (d, given) = (cx.saved[self.d].as_slice(), cx.scratch[self.given].as_mut_slice());
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (channels, length) = (x.dim(1), pooling::length(x));
        let (x, y) = (x.as_slice(), y.as_slice());
        let factor = T::of(-2.0 * self.norm.beta.get() * self.norm.share());
        team::for_each_chunk_mut(given, length, |at, given| {
            let numbers = at * length..at * length + given.len();
            let (y, d) = (&y[numbers.clone()], &d[numbers.clone()]);
            let terms = given.iter_mut().zip(&dy[numbers]).zip(y.iter().zip(d));
            terms.for_each(|((given, &dy), (&y, &d))| *given = dy * y / d);
        });
        let given = &*given;
        let sums = cx.saved[self.d].as_mut_slice();
        team::for_each_chunk_mut2((dx.as_mut_slice(), length), (sums, length), |at, dx, d| {
            let (c, first) = (at % channels, (at - at % channels) * length);
            let numbers = at * length..at * length + dx.len();
            let (x, dy) = (&x[numbers.clone()], &dy[numbers]);
            add_quotient(dx, dy, d, self.norm.beta.get());
            // d is no longer needed: in its place, the sum of what was given.
            d.fill(T::zero());
            for m in self.norm.around(c, channels, false) {
                let given = d.iter_mut().zip(&given[first + m * length..]);
                given.for_each(|(sum, &given)| *sum += given);
            }
            let terms = dx.iter_mut().zip(x.iter().zip(&*d));
            terms.for_each(|(dx, (&x, &sum))| *dx += factor * x * sum);
        });
    }
}

/// dx = dx + dy / d^beta.
fn add_quotient<T: Scalar>(dx: &mut [T], dy: &[T], d: &[T], beta: f64) {
    let mut quotient = [T::zero(); 64];
    for ((dx, dy), d) in dx.chunks_mut(64).zip(dy.chunks(64)).zip(d.chunks(64)) {
        let quotient = &mut quotient[..dy.len()];
        quotient.copy_from_slice(dy);
        divide_by_power(quotient, d, beta);
        dx.iter_mut().zip(quotient).for_each(|(dx, quotient)| *dx += *quotient);
    }
}

register!(
    LocalResponseNorm in LAYER,
    example: "LocalResponseNorm(size: 5)",
    checks: [
        "LocalResponseNorm(size: 3, alpha: 0.5)",
        "LocalResponseNorm(size: 4, alpha: 2.0, beta: 1.5, k: 0.7)",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, assert_near, from_fn, random};

    #[test]
    fn equals_the_formula_and_its_gradients() {
        for [n, c, h, w] in SIZES {
            for (size, beta) in [(1, 0.75), (2, 0.75), (5, 0.5), (50, 1.0)] {
                let text =
                    format!("LocalResponseNorm(size: {size}, alpha: 0.3, beta: {beta}, k: 2)");
                let x = random::<f64>(&[n, c, h, w], 1);
                let mut bench = LayerBench::new(&text, vec![x.clone().into()]);
                let at = |[i, m, j, k]: [usize; 4]| x.as_slice()[((i * c + m) * h + j) * w + k];
                let expected = from_fn([n, c, h, w], |[i, m, j, k]| {
                    let near = (0..c).filter(|o| *o + size / 2 >= m && *o <= m + (size - 1) / 2);
                    let sum: f64 = near.map(|o| at([i, o, j, k]).powi(2)).sum();
                    at([i, m, j, k]) / (2.0 + 0.3 / size as f64 * sum).powf(beta)
                });
                assert_near(&bench.forward(Mode::Eval), &expected);
                assert!(bench.gradient_error() < 1e-6, "{text}");
            }
        }
    }
}
