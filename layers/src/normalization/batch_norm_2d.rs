//! Channels of pictures with mean 0 and deviation 1 over a batch.

use std::sync::Arc;

use engine_core::field::{Factor, Positive};
use engine_core::registry::LAYER;
use engine_core::{
    Backward, ChannelMap, Forward, Kernel, Layer, Lowered, Meaning, Memory, Mode, PlanError, Port,
    PortShapes, Scalar, Signature, Tensor, register,
};
use engine_kernels::lanes::{self, Simd, WithSimd};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_norm::BatchNorm;
use super::batch_statistics::{self, BatchStatistics};
use crate::elementwise::rows_a_piece;
use crate::pooling::shared as pooling;
use crate::reduce;

/// Every channel of pictures brought to mean 0 and standard deviation 1 over a batch and all places, then scaled and
/// shifted.
///
/// ```text
/// y[n, c, i, j] = gain[c] (x[n, c, i, j] - m[c]) / sqrt(v[c] + epsilon) + bias[c]
/// m, v: mean and variance of channel c over all n, i, j    training
///       the running ones                                   validation and sampling
/// running = running + momentum (of this batch - running)   at each update
/// ```
///
/// The variance that normalises is the sum of squares divided by the number of terms, the running one by one less, unless
/// there is but one. Ioffe and Szegedy, "Batch Normalization", 2015; conventions of PyTorch.
///
/// # Shapes
/// - `x`: `[Batch, Channels, Height, Width]`
/// - output: that of `x`
/// - parameters: `gain` `[Channels]`, at first 1; `bias` `[Channels]`, at first 0; running averages `mean` `[Channels]`, at
///   first 0, and `variance` `[Channels]`, at first 1, which are kept with the others and which no update rule changes
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNorm2d {
    /// What is added to the variance, so that equal numbers do not divide by 0.
    pub epsilon: Positive,
    /// How far running averages move towards a batch at each update.
    pub momentum: Factor,
}

impl Default for BatchNorm2d {
    /// Those of columns.
    fn default() -> Self {
        let BatchNorm { epsilon, momentum } = BatchNorm::default();
        BatchNorm2d { epsilon, momentum }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for BatchNorm2d {
    fn ports(&self) -> Vec<Port> {
        vec![pooling::port()]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        pooling::sides(x)?;
        Ok(batch_statistics::signature(x, pooling::channels(x)?, self.momentum)
            .meaning(Meaning::ChannelMap(Arc::new(self.clone()))))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let channels = memory.input(X)[1];
        let epsilon = self.epsilon.get();
        Lowered::new(OverPlanes(BatchStatistics::lower(memory, channels, epsilon)))
    }
}

/// Normalisation of channels over all pictures and places.
#[derive(Debug)]
struct OverPlanes(BatchStatistics);

impl ChannelMap for BatchNorm2d {
    fn scale_and_shift(&self, parameters: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>) {
        let of = |at: usize| parameters[at].iter();
        let (gain, bias, mean, variance) = (of(0), of(1), of(2), of(3));
        let root = variance.map(|v| (v + self.epsilon.get()).sqrt());
        let scale: Vec<f64> = gain.zip(root).map(|(gain, root)| gain / root).collect();
        let shifted = bias.zip(mean.zip(&scale));
        let shift = shifted.map(|(bias, (mean, scale))| bias - mean * scale).collect();
        (scale, shift)
    }
}

impl<T: Scalar> Kernel<T> for OverPlanes {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let OverPlanes(statistics) = self;
        match cx.mode {
            Mode::Train { .. } => take_batch(statistics, cx),
            Mode::Eval => statistics.take_running(cx),
        }
        let x = &cx.inputs[X];
        let [gain, bias] = [statistics.gain, statistics.bias].map(|p| cx.parameters[p].as_slice());
        let [mean, scale] = [statistics.mean, statistics.scale].map(|s| cx.saved[s].as_slice());
        let (channels, length) = (gain.len(), pooling::length(x));
        let piece = rows_a_piece(length);
        team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), piece * length, |at, y| {
            let x = x.as_slice()[at * piece * length..].chunks_exact(length);
            for (i, (y, x)) in y.chunks_exact_mut(length).zip(x).enumerate() {
                let c = (at * piece + i) % channels;
                let (factor, mean, bias) = (gain[c] * scale[c], mean[c], bias[c]);
                y.iter_mut().zip(x).for_each(|(y, &x)| *y = factor * (x - mean) + bias);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let OverPlanes(statistics) = self;
        let training = matches!(cx.mode, Mode::Train { .. });
        gradient_sums(statistics, cx);
        statistics.add_parameter_gradients(cx, training);
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (mean, scale) =
            (cx.saved[statistics.mean].as_slice(), cx.saved[statistics.scale].as_slice());
        let gain = cx.parameters[statistics.gain].as_slice();
        let [of_dy, of_dyz] =
            [statistics.of_dy, statistics.of_dyz].map(|sums| cx.scratch[sums].as_slice());
        let (channels, length) = (gain.len(), pooling::length(x));
        let terms = (x.as_slice().len() / channels.max(1)) as f64;
        // In training every number moves mean and variance as well.
        let share = if training { T::one() / T::of(terms) } else { T::zero() };
        let piece = rows_a_piece(length);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * length, |at, dx| {
            let numbers = at * piece * length..at * piece * length + dx.len();
            let (x, dy) = (&x.as_slice()[numbers.clone()], &dy.as_slice()[numbers]);
            let both = x.chunks_exact(length).zip(dy.chunks_exact(length));
            for (i, (dx, (x, dy))) in dx.chunks_exact_mut(length).zip(both).enumerate() {
                let c = (at * piece + i) % channels;
                let (factor, mean, scale) = (gain[c] * scale[c], mean[c], scale[c]);
                let (of_dy, of_dyz) = (share * of_dy[c], share * of_dyz[c]);
                for (dx, (&x, &dy)) in dx.iter_mut().zip(x.iter().zip(dy)) {
                    *dx += factor * (dy - of_dy - (x - mean) * scale * of_dyz);
                }
            }
        });
    }
}

/// The numbers of channel `c`, picture by picture.
fn channel<T: Scalar>(
    pictures: &Tensor<T>,
    c: usize,
    channels: usize,
) -> impl Iterator<Item = &[T]> {
    let length = pooling::length(pictures);
    pictures.as_slice().chunks_exact(length).skip(c).step_by(channels)
}

/// Mean, one over deviation and unbiased variance of each channel, one picture after the other, so that the bits do not
/// depend on the number of threads.
fn take_batch<T: Scalar>(statistics: &BatchStatistics, cx: &mut Forward<'_, T>) {
    let x = &cx.inputs[X];
    let [mean, scale, variance] =
        cx.saved.each([statistics.mean, statistics.scale, statistics.variance]);
    let channels = mean.as_slice().len();
    let terms = (x.as_slice().len() / channels.max(1)) as f64;
    let [mean, scale, variance] = [mean, scale, variance].map(|array| (array.as_mut_slice(), 1));
    team::for_each_chunk_mut3(mean, scale, variance, |c, mean, scale, variance| {
        let sum = |off: f64, power| -> f64 {
            let spans = channel(x, c, channels);
            spans.map(|span| lanes::widest(PowerSum { span, off, power })).sum()
        };
        let of_batch = sum(0.0, Power::One) / terms;
        let squares = sum(of_batch, Power::Two);
        mean[0] = T::of(of_batch);
        scale[0] = statistics.scale_of(squares / terms);
        variance[0] = T::of(squares / (terms - 1.0).max(1.0));
    });
}

#[derive(Clone, Copy)]
enum Power {
    One,
    Two,
}

/// The sum of (x - off) to a power.
struct PowerSum<'a, T> {
    span: &'a [T],
    off: f64,
    power: Power,
}

impl<T: Scalar> WithSimd for PowerSum<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let PowerSum { span, off, power } = self;
        match power {
            Power::One => reduce::sum_pairs(span, span, |x, _| x.f64() - off),
            Power::Two => reduce::sum_pairs(span, span, |x, _| (x.f64() - off) * (x.f64() - off)),
        }
    }
}

/// The sums of dy and of dy z, for each channel, one picture after the other.
fn gradient_sums<T: Scalar>(statistics: &BatchStatistics, cx: &mut Backward<'_, T>) {
    let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
    let [of_dy, of_dyz] = cx.scratch.each([statistics.of_dy, statistics.of_dyz]);
    let (mean, scale) =
        (cx.saved[statistics.mean].as_slice(), cx.saved[statistics.scale].as_slice());
    let channels = mean.len();
    let sums = (of_dy.as_mut_slice(), 1);
    team::for_each_chunk_mut2(sums, (of_dyz.as_mut_slice(), 1), |c, of_dy, of_dyz| {
        let (mut sum, mut product, mean) = (0.0, 0.0, mean[c].f64());
        for (x, dy) in channel(x, c, channels).zip(channel(dy, c, channels)) {
            sum += lanes::widest(PowerSum { span: dy, off: 0.0, power: Power::One });
            product += lanes::widest(Product { x, dy, mean });
        }
        of_dy[0] = T::of(sum);
        of_dyz[0] = T::of(product * scale[c].f64());
    });
}

/// The sum of dy (x - mean).
struct Product<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    mean: f64,
}

impl<T: Scalar> WithSimd for Product<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let Product { x, dy, mean } = self;
        reduce::sum_pairs(x, dy, |x, dy| dy.f64() * (x.f64() - mean))
    }
}

register!(
    BatchNorm2d in LAYER,
    example: "BatchNorm2d()",
    checks: ["BatchNorm2d()", "BatchNorm2d(epsilon: 0.1, momentum: 0.5)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use super::*;
    use crate::samples::{SIZES, array, assert_near, graph, random};

    const TRAIN: Mode = Mode::Train { iteration: 0 };

    /// Pictures `[n, c, h, w]` as rows `[n * h * w, c]`.
    fn as_rows(x: &Tensor<f64>) -> Tensor<f64> {
        let [n, c, h, w] = x.shape() else { unreachable!() };
        crate::samples::from_fn([n * h * w, *c], |[row, column]| {
            x.as_slice()[(row / (h * w) * c + column) * h * w + row % (h * w)]
        })
    }

    #[test]
    fn is_that_of_columns_with_channels_as_columns() {
        for [n, c, h, w] in SIZES {
            let (x, dy) = (random::<f64>(&[n, c, h, w], 1), random::<f64>(&[n, c, h, w], 2));
            let mut channels =
                LayerBench::new("BatchNorm2d(epsilon: 0.01)", vec![x.clone().into()]);
            let mut columns = LayerBench::new("BatchNorm(epsilon: 0.01)", vec![as_rows(&x).into()]);
            for (seed, name) in ["gain", "bias", "mean"].into_iter().enumerate() {
                let drawn = random::<f64>(&[c], seed as u64);
                *channels.parameter_mut(name) = drawn.clone();
                *columns.parameter_mut(name) = drawn;
            }
            for mode in [TRAIN, Mode::Eval] {
                let y = channels.forward(mode);
                assert_near(&as_rows(&y), &columns.forward(mode));
                channels.backward(&dy);
                columns.backward(&as_rows(&dy));
                assert_near(&as_rows(channels.input_gradient(X)), columns.input_gradient(X));
                for name in ["gain", "bias", "mean", "variance"] {
                    assert_near(
                        channels.parameter_gradient(name),
                        columns.parameter_gradient(name),
                    );
                }
            }
        }
    }

    #[test]
    fn one_number_is_its_own_mean() {
        let x = array(&[1, 2, 1, 1], &[3.0f32, 4.0]);
        let mut bench = LayerBench::new("BatchNorm2d()", vec![x.into()]);
        assert_eq!(bench.forward(TRAIN).as_slice(), [0.0, 0.0]);
    }

    #[test]
    fn channels_that_change_from_batch_to_batch_are_refused() {
        let node = r#"(name: "out", layer: BatchNorm2d(), from: ["x"])"#;
        let error = graph(r#""x": [Batch, Time, 3, 4]"#, node).unwrap_err();
        assert!(error.contains("expected pictures with a fixed number of channels"), "{error}");
    }
}
