//! Rows with mean 0 and deviation 1.

use engine_core::field::Positive;
use engine_core::init::Fill;
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Saved, Scalar, Signature, Tensor, Weight, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::elementwise::rows_a_piece;
use crate::linear::map;
use crate::reduce;
use crate::width;

/// Every row brought to mean 0 and standard deviation 1, then scaled and shifted by column.
///
/// ```text
/// y[.., j] = gain[j] (x[.., j] - m[..]) / sqrt(v[..] + epsilon) + bias[j]
/// m, v: mean and variance of the row, the sum of squares divided by Width
/// ```
///
/// Ba et al., "Layer Normalization", 2016.
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - output: `[.., Width]`
/// - parameters: `gain` `[Width]`, at first 1; `bias` `[Width]`, at first 0
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LayerNorm {
    /// What is added to the variance, so that equal numbers do not divide by 0.
    pub epsilon: Positive,
}

impl Default for LayerNorm {
    /// Far below the variance of numbers of the order of 1, far above their rounding.
    fn default() -> Self {
        LayerNorm { epsilon: Positive::constant(1e-5) }
    }
}

const X: usize = 0;

#[typetag::serde]
impl Layer for LayerNorm {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        let width = width::of_rows(x)?;
        Ok(Signature::output(x.clone(), Dependence::Row)
            .bias("gain", [width], Fill::Blocks(vec![1.0]))
            .bias("bias", [width], Fill::zero()))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(Normalization {
            epsilon: self.epsilon.get(),
            gain: memory.weight("gain"),
            bias: memory.weight("bias"),
            statistics: memory.saved(memory.input(X).with_last(Dim::Fixed(2))),
        })
    }
}

/// The normalisation; `statistics` holds each row's mean, and one over its deviation.
#[derive(Debug)]
struct Normalization {
    epsilon: f64,
    gain: Weight,
    bias: Weight,
    statistics: Saved,
}

impl<T: Scalar> Kernel<T> for Normalization {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (gain, bias) =
            (cx.parameters[self.gain].as_slice(), cx.parameters[self.bias].as_slice());
        let (x, width, epsilon) = (cx.inputs[X].as_slice(), gain.len(), self.epsilon);
        let piece = rows_a_piece(width);
        let y = (cx.outputs[0].as_mut_slice(), piece * width);
        let statistics = (cx.saved[self.statistics].as_mut_slice(), piece * 2);
        team::for_each_chunk_mut2(y, statistics, |at, y, statistics| {
            let x = x[at * piece * width..].chunks_exact(width);
            let rows = y.chunks_exact_mut(width).zip(statistics.as_chunks_mut().0).zip(x);
            for ((y, statistics), x) in rows {
                *statistics = mean_and_scale(x, epsilon);
                normalise(x, *statistics, y);
                let columns = y.iter_mut().zip(gain).zip(bias);
                columns.for_each(|((y, &gain), &bias)| *y = gain * *y + bias);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (x, dy) = (cx.inputs[X].as_slice(), &cx.output_gradients[0]);
        let statistics = cx.saved[self.statistics].as_slice().as_chunks().0;
        add_gain_gradient(x, statistics, dy, &mut cx.parameter_gradients[self.gain]);
        map::add_bias_gradient(dy, &mut cx.parameter_gradients[self.bias]);
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let gain = cx.parameters[self.gain].as_slice();
        let width = gain.len();
        let piece = rows_a_piece(width);
        team::for_each_chunk_mut(dx.as_mut_slice(), piece * width, |at, dx| {
            let of_row = |array, row: usize| &<[T]>::as_ref(array)[row * width..][..width];
            for (dx, row) in dx.chunks_exact_mut(width).zip(at * piece..) {
                add_gradient(of_row(x, row), statistics[row], gain, of_row(dy.as_slice(), row), dx);
            }
        });
    }
}

/// A row's mean, and one over its deviation.
fn mean_and_scale<T: Scalar>(x: &[T], epsilon: f64) -> [T; 2] {
    let count = x.len() as f64;
    let mean = reduce::sum(x) / count;
    let variance = reduce::sum_of(x, |x| (x - mean) * (x - mean)) / count;
    [T::of(mean), T::of(1.0 / (variance + epsilon).sqrt())]
}

/// y = (x - mean) scale.
fn normalise<T: Scalar>(x: &[T], [mean, scale]: [T; 2], y: &mut [T]) {
    y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * scale);
}

/// dx = dx + scale (g - mean of g - z mean of g z), of one row, z the row as normalised and g its gradient, dy gain.
fn add_gradient<T: Scalar>(x: &[T], [mean, scale]: [T; 2], gain: &[T], dy: &[T], dx: &mut [T]) {
    let count = x.len() as f64;
    let of_g = T::of(reduce::dot(dy, gain) / count);
    let of_gz = T::of(reduce::dot_off(dy, gain, x, mean.f64()) * scale.f64() / count);
    let terms = x.iter().zip(dy.iter().zip(gain));
    dx.iter_mut().zip(terms).for_each(|(dx, (&x, (&dy, &gain)))| {
        *dx += scale * (dy * gain - of_g - (x - mean) * scale * of_gz);
    });
}

/// dgain = dgain + the sum over rows of dy z, one row after the other, so that the bits do not depend on the number of
/// threads.
fn add_gain_gradient<T: Scalar>(
    x: &[T],
    statistics: &[[T; 2]],
    dy: &Tensor<T>,
    dgain: &mut Tensor<T>,
) {
    const COLUMNS: usize = 128;
    let width = dgain.as_slice().len();
    let dy = dy.as_slice();
    team::for_each_chunk_mut(dgain.as_mut_slice(), COLUMNS, |block, dgain| {
        for (row, [mean, scale]) in statistics.iter().enumerate() {
            let columns = row * width + block * COLUMNS..;
            let terms = x[columns.clone()].iter().zip(&dy[columns]);
            let terms = terms.map(|(&x, &dy)| dy * (x - *mean) * *scale);
            dgain.iter_mut().zip(terms).for_each(|(dgain, term)| *dgain += term);
        }
    });
}

register!(
    LayerNorm in LAYER,
    example: "LayerNorm()",
    checks: ["LayerNorm()", "LayerNorm(epsilon: 0.1)"],
);

#[cfg(test)]
mod tests {
    use engine_core::Mode;
    use engine_core::testing::LayerBench;

    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random};

    #[test]
    fn equals_the_formula() {
        for [n, t, d, _] in SIZES {
            let (x, dy) = (random::<f64>(&[n, t, d], 1), random::<f64>(&[n, t, d], 2));
            let mut bench = LayerBench::new("LayerNorm(epsilon: 0.01)", vec![x.clone().into()]);
            assert_eq!(bench.parameter("gain").as_slice(), vec![1.0; d]);
            *bench.parameter_mut("gain") = random(&[d], 3);
            *bench.parameter_mut("bias") = random(&[d], 4);
            let gain = bench.parameter("gain").as_slice().to_vec();
            let bias = bench.parameter("bias").as_slice().to_vec();
            let (x, dys) = (x.view3(), dy.view3());
            let mean = |f: &dyn Fn(usize) -> f64| (0..d).map(f).sum::<f64>() / d as f64;
            let z = |[i, s, j]: [usize; 3]| {
                let m = mean(&|j| x[[i, s, j]]);
                let v = mean(&|j| (x[[i, s, j]] - m).powi(2));
                (x[[i, s, j]] - m) / (v + 0.01).sqrt()
            };
            let y = bench.forward(Mode::Eval);
            assert_near(&y, &from_fn([n, t, d], |i| gain[i[2]] * z(i) + bias[i[2]]));
            assert_near(&bench.steps(), &y);
            bench.backward(&dy);
            let rows = || (0..n).flat_map(|i| (0..t).map(move |s| (i, s)));
            let of_gain =
                from_fn([d], |[j]| rows().map(|(i, s)| dys[[i, s, j]] * z([i, s, j])).sum());
            assert_near(bench.parameter_gradient("gain"), &of_gain);
            let of_bias = from_fn([d], |[j]| rows().map(|(i, s)| dys[[i, s, j]]).sum());
            assert_near(bench.parameter_gradient("bias"), &of_bias);
            assert!(bench.gradient_error() < 1e-6);
        }
    }

    #[test]
    fn long_rows_of_large_numbers_keep_their_digits() {
        let x =
            from_fn([3, 1, 400], |[i, _, j]| 1e4 + random::<f64>(&[400], i as u64).as_slice()[j]);
        let mut bench = LayerBench::<f64>::new("LayerNorm()", vec![x.into()]);
        let y = bench.forward(Mode::Eval);
        for row in y.as_slice().chunks(400) {
            let mean = row.iter().sum::<f64>() / 400.0;
            let variance = row.iter().map(|y| y * y).sum::<f64>() / 400.0;
            assert!(mean.abs() < 1e-9 && (variance - 1.0).abs() < 1e-4, "{mean}, {variance}");
        }
    }

    #[test]
    fn equal_numbers_become_the_bias() {
        let x = array(&[1, 3], &[0.7f32; 3]);
        let y = LayerBench::new("LayerNorm()", vec![x.into()]).forward(Mode::Eval);
        assert!(y.as_slice().iter().all(|y| y.abs() < 1e-3), "{y:?}");
    }

    #[test]
    fn what_ends_in_time_is_refused() {
        let node = r#"(name: "out", layer: LayerNorm(), from: ["x"])"#;
        assert!(graph(r#""x": [Batch, 3, Time]"#, node).is_err());
    }
}
