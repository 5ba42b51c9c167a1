//! Columns with mean 0 and deviation 1 over a batch.

use engine_core::field::{Factor, Positive};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Forward, Kernel, Layer, Lowered, Memory, Mode, PlanError, Port, PortShapes,
    Scalar, Signature, register,
};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch_statistics::{self, BatchStatistics};
use crate::elementwise::rows_a_piece;
use crate::width;

/// Every column brought to mean 0 and standard deviation 1 over the rows of a batch, then scaled and shifted.
///
/// ```text
/// y[r, j] = gain[j] (x[r, j] - m[j]) / sqrt(v[j] + epsilon) + bias[j]
/// m, v: mean and variance of column j over all rows r        training
///       the running ones                                     validation and sampling
/// running = running + momentum (of this batch - running)     at each update
/// ```
///
/// Rows are all dimensions but the last together; over `Time` those that fill up short sequences are among them. The
/// variance that normalises is the sum of squares divided by the number of rows, the running one by one less, unless there
/// is but one. Ioffe and Szegedy, "Batch Normalization", 2015; conventions of PyTorch.
///
/// # Shapes
/// - `x`: `[.., Width]`
/// - output: `[.., Width]`
/// - parameters: `gain` `[Width]`, at first 1; `bias` `[Width]`, at first 0; running averages `mean` `[Width]`, at first 0,
///   and `variance` `[Width]`, at first 1, which are kept with the others and which no update rule changes
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BatchNorm {
    /// What is added to the variance, so that equal numbers do not divide by 0.
    pub epsilon: Positive,
    /// How far running averages move towards a batch at each update.
    pub momentum: Factor,
}

impl Default for BatchNorm {
    /// An epsilon far below the variance of numbers of the order of 1; averages over about ten batches.
    fn default() -> Self {
        BatchNorm { epsilon: Positive::constant(1e-5), momentum: Factor::constant(0.1) }
    }
}

const X: usize = 0;

/// Columns whose sums one thread takes.
const COLUMNS: usize = 128;

#[typetag::serde]
impl Layer for BatchNorm {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let x = inputs.shape(X);
        Ok(batch_statistics::signature(x, width::of_rows(x)?, self.momentum))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let width = memory.input(X).last();
        let epsilon = self.epsilon.get();
        Lowered::new(OverRows(BatchStatistics::lower(memory, width, epsilon)))
    }
}

/// Normalisation of columns over all rows.
#[derive(Debug)]
struct OverRows(BatchStatistics);

impl<T: Scalar> Kernel<T> for OverRows {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let OverRows(statistics) = self;
        match cx.mode {
            Mode::Train { .. } => take_batch(statistics, cx),
            Mode::Eval => statistics.take_running(cx),
        }
        let x = &cx.inputs[X];
        let [gain, bias] = [statistics.gain, statistics.bias].map(|p| cx.parameters[p].as_slice());
        let [mean, scale] = [statistics.mean, statistics.scale].map(|s| cx.saved[s].as_slice());
        let length = rows_a_piece(gain.len()) * gain.len();
        team::for_each_chunk_mut(cx.outputs[0].as_mut_slice(), length, |at, y| {
            let rows = x.as_slice()[at * length..].chunks_exact(gain.len());
            for (y, x) in y.chunks_exact_mut(gain.len()).zip(rows) {
                let columns = y.iter_mut().zip(x).enumerate();
                columns
                    .for_each(|(j, (y, &x))| *y = gain[j] * ((x - mean[j]) * scale[j]) + bias[j]);
            }
        });
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let OverRows(statistics) = self;
        let training = matches!(cx.mode, Mode::Train { .. });
        gradient_sums(statistics, cx);
        statistics.add_parameter_gradients(cx, training);
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (mean, scale) =
            (cx.saved[statistics.mean].as_slice(), cx.saved[statistics.scale].as_slice());
        let (gain, width) = (cx.parameters[statistics.gain].as_slice(), mean.len());
        // In training every row moves mean and variance as well.
        let share = if training { T::one() / T::of(x.rows().nrows() as f64) } else { T::zero() };
        let [of_dy, of_dyz] =
            [statistics.of_dy, statistics.of_dyz].map(|sums| cx.scratch[sums].as_slice());
        let length = rows_a_piece(width) * width;
        team::for_each_chunk_mut(dx.as_mut_slice(), length, |at, dx| {
            let piece = at * length..at * length + dx.len();
            let rows = x.as_slice()[piece.clone()].chunks_exact(width);
            let rows = rows.zip(dy.as_slice()[piece].chunks_exact(width));
            for (dx, (x, dy)) in dx.chunks_exact_mut(width).zip(rows) {
                for (j, (dx, (&x, &dy))) in dx.iter_mut().zip(x.iter().zip(dy)).enumerate() {
                    let z = (x - mean[j]) * scale[j];
                    *dx += gain[j] * scale[j] * (dy - share * (of_dy[j] + z * of_dyz[j]));
                }
            }
        });
    }
}

/// Mean, one over deviation and unbiased variance of each column, one row after the other, so that the bits do not depend
/// on the number of threads.
fn take_batch<T: Scalar>(statistics: &BatchStatistics, cx: &mut Forward<'_, T>) {
    let x = &cx.inputs[X];
    let [mean, scale, variance] =
        cx.saved.each([statistics.mean, statistics.scale, statistics.variance]);
    let (rows, width) = x.rows().dim();
    let [mean, scale, variance] =
        [mean, scale, variance].map(|array| (array.as_mut_slice(), COLUMNS));
    team::for_each_chunk_mut3(mean, scale, variance, |block, mean, scale, variance| {
        let columns = block * COLUMNS..block * COLUMNS + mean.len();
        let rows_of = || x.as_slice().chunks_exact(width).map(|row| &row[columns.clone()]);
        let (mut means, mut squares) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        for row in rows_of() {
            means.iter_mut().zip(row).for_each(|(sum, x)| *sum += x.f64());
        }
        means.iter_mut().for_each(|sum| *sum /= rows as f64);
        for row in rows_of() {
            let off = row.iter().zip(&means).map(|(x, mean)| x.f64() - mean);
            squares.iter_mut().zip(off).for_each(|(sum, off)| *sum += off * off);
        }
        for j in 0..mean.len() {
            mean[j] = T::of(means[j]);
            scale[j] = statistics.scale_of(squares[j] / rows as f64);
            variance[j] = T::of(squares[j] / rows.saturating_sub(1).max(1) as f64);
        }
    });
}

/// The sums over rows of dy and of dy z, for each column, one row after the other.
fn gradient_sums<T: Scalar>(statistics: &BatchStatistics, cx: &mut Backward<'_, T>) {
    let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
    let [of_dy, of_dyz] = cx.scratch.each([statistics.of_dy, statistics.of_dyz]);
    let width = x.rows().ncols();
    let (mean, scale) =
        (cx.saved[statistics.mean].as_slice(), cx.saved[statistics.scale].as_slice());
    let sums = (of_dy.as_mut_slice(), COLUMNS);
    team::for_each_chunk_mut2(sums, (of_dyz.as_mut_slice(), COLUMNS), |block, of_dy, of_dyz| {
        let first = block * COLUMNS;
        let (mut sums, mut products) = ([0.0; COLUMNS], [0.0; COLUMNS]);
        let rows = x.as_slice().chunks_exact(width).zip(dy.as_slice().chunks_exact(width));
        for (x, dy) in rows {
            for j in 0..of_dy.len() {
                let z = (x[first + j] - mean[first + j]) * scale[first + j];
                sums[j] += dy[first + j].f64();
                products[j] += dy[first + j].f64() * z.f64();
            }
        }
        of_dy.iter_mut().zip(sums).for_each(|(of_dy, sum)| *of_dy = T::of(sum));
        of_dyz.iter_mut().zip(products).for_each(|(of_dyz, sum)| *of_dyz = T::of(sum));
    });
}

register!(
    BatchNorm in LAYER,
    example: "BatchNorm()",
    checks: ["BatchNorm()", "BatchNorm(epsilon: 0.1, momentum: 0.5)"],
);

#[cfg(test)]
mod tests {
    use engine_core::engine::{Limits, Updater};
    use engine_core::field::{NonNegative, Positive};
    use engine_core::graph::Document;
    use engine_core::testing::LayerBench;
    use engine_core::{Batch, Mode};

    use super::*;
    use crate::samples::{SIZES, array, assert_near, from_fn, graph, random};

    const TRAIN: Mode = Mode::Train { iteration: 0 };

    #[test]
    fn equals_the_formula_in_training_and_out_of_it() {
        for [n, t, d, _] in SIZES {
            let x = random::<f64>(&[n, t, d], 1);
            let layer = "BatchNorm(epsilon: 0.01)";
            let mut bench = LayerBench::new(layer, vec![x.clone().into()]);
            *bench.parameter_mut("gain") = random(&[d], 2);
            *bench.parameter_mut("bias") = random(&[d], 3);
            *bench.parameter_mut("mean") = random(&[d], 4);
            *bench.parameter_mut("variance") = from_fn([d], |[j]| 0.5 + j as f64);
            let [gain, bias, mean, variance] = ["gain", "bias", "mean", "variance"]
                .map(|name| bench.parameter(name).as_slice().to_vec());
            let rows = (n * t) as f64;
            let (x2, x) = (x.rows(), x.view3());
            let of_batch = |j: usize| {
                let m = x2.column(j).sum() / rows;
                (m, x2.column(j).iter().map(|x| (x - m).powi(2)).sum::<f64>() / rows)
            };
            let y = |at: [usize; 3], (m, v): (f64, f64)| {
                gain[at[2]] * (x[at] - m) / (v + 0.01).sqrt() + bias[at[2]]
            };
            let trained = from_fn([n, t, d], |at| y(at, of_batch(at[2])));
            assert_near(&bench.forward(TRAIN), &trained);
            assert!(bench.gradient_error() < 1e-6);

            let used = from_fn([n, t, d], |at| y(at, (mean[at[2]], variance[at[2]])));
            assert_near(&bench.forward(Mode::Eval), &used);
            assert_near(&bench.steps(), &used);
            let dy = random::<f64>(&[n, t, d], 5);
            bench.backward(&dy);
            let dx = from_fn([n, t, d], |at| {
                dy.view3()[at] * gain[at[2]] / (variance[at[2]] + 0.01).sqrt()
            });
            assert_near(bench.input_gradient(X), &dx);
            assert!(bench.parameter_gradient("mean").as_slice().iter().all(|g| *g == 0.0));
        }
    }

    /// With PyTorch: `m = torch.nn.BatchNorm1d(2).double(); m(torch.tensor([[1., 5.], [2., 5.], [6., 8.]]).double())`, then
    /// `m.running_mean` and `m.running_var`: 0.9 of 0 and 1, and 0.1 of the batch's means 3 and 6, variances 7 and 3.
    #[test]
    fn averages_move_apart_from_the_update_rule() {
        let node = r#"(name: "out", layer: BatchNorm(), from: ["x"])"#;
        let mut engine = graph(r#""x": [Batch, 2]"#, node).unwrap();
        let mut batch = Batch::new();
        batch.f64_mut("x", &[3, 2]).copy_from_slice(&[1.0, 5.0, 2.0, 5.0, 6.0, 8.0]);
        let limits = Limits {
            l2: Some(NonNegative::constant(0.5)),
            clip_value: Some(Positive::constant(1e-3)),
            clip_norm: Some(Positive::constant(1e-3)),
        };
        let document = Document::new("rule", "Adam()");
        let rule = document.parse(document.text()).unwrap();
        let mut updater = Updater::new(rule, limits, &engine);
        engine.forward(&batch, TRAIN).unwrap();
        let out = engine.plan().output("out").unwrap();
        engine.backward_from(&[(out, &[0.0, 0.0, 0.0, 0.0, 1e-5, 0.0])]);
        let norm = updater.limit(&mut engine);
        assert!(norm < 1e-4, "averages have no part in the norm: {norm}");
        updater.update(&mut engine, 0.1);
        assert_near(&engine.parameters()[2], &array(&[2], &[0.3, 0.6]));
        assert_near(&engine.parameters()[3], &array(&[2], &[1.6, 1.2]));
        assert!(engine.parameters()[1].as_slice()[0] < -0.05, "it is trained");

        engine.forward(&batch, Mode::Eval).unwrap();
        engine.backward_from(&[(out, &[0.0; 6])]);
        updater.update(&mut engine, 0.1);
        assert_near(&engine.parameters()[2], &array(&[2], &[0.3, 0.6]));
    }

    #[test]
    fn one_row_is_its_own_mean() {
        let mut bench = LayerBench::new("BatchNorm()", vec![array(&[1, 2], &[3.0f32, 4.0]).into()]);
        assert_eq!(bench.forward(TRAIN).as_slice(), [0.0, 0.0]);
        bench.backward(&array(&[1, 2], &[1.0, 1.0]));
        assert_eq!(bench.parameter_gradient("variance").as_slice(), [1.0, 1.0]);
    }
}
