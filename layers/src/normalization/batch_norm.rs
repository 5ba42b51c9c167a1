//! Columns with mean 0 and deviation 1 over a batch.

use engine_core::context::{Forward, ParameterGradients, Parameters};
use engine_core::field::{Factor, Positive};
use engine_core::init::Fill;
use engine_core::registry::LAYER;
use engine_core::{Axis, Backward, Kernel, Layer, LayerPlan, Mode, PlanError, Port, PortShapes, Reach, Scalar, Symbol, Tensor, register};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::columns;
use crate::elementwise::rows_a_piece;

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

// Parameters, in the order of `plan`.
pub(crate) const GAIN: usize = 0;
pub(crate) const BIAS: usize = 1;
pub(crate) const RUNNING_MEAN: usize = 2;
pub(crate) const RUNNING_VARIANCE: usize = 3;

// Saved, for each column: what normalises it, and in training its variance as the running one counts it.
pub(crate) const MEAN: usize = 0;
pub(crate) const SCALE: usize = 1;
pub(crate) const VARIANCE: usize = 2;

/// Columns whose sums one thread takes.
const COLUMNS: usize = 128;

#[typetag::serde]
impl Layer for BatchNorm {
    fn ports(&self) -> Vec<Port> {
        vec![Port::real("x", [Axis::Rest, Axis::Any("Width")])]
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let x = inputs.shape(X);
        let column = [columns::width(x)?];
        // Statistics are the same in any order of sequences, but not without the positions that padding takes.
        let reach = if x.has(Symbol::TIME) { Reach::Whole } else { Reach::Position };
        Ok(LayerPlan::output(x.clone())
            .bias("gain", column, Fill::Blocks(vec![1.0]))
            .bias("bias", column, Fill::zero())
            .average("mean", column, Fill::zero(), self.momentum)
            .average("variance", column, Fill::Blocks(vec![1.0]), self.momentum)
            .saved(column)
            .saved(column)
            .saved(column)
            // The sums over rows of dy and of dy z, z the normalised x.
            .scratch(column)
            .scratch(column)
            .reach(reach))
    }
}

impl<T: Scalar> Kernel<T> for BatchNorm {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let x = &cx.inputs[X];
        let [mean, scale, variance] = &mut *cx.saved else { unreachable!("as planned") };
        match cx.mode {
            Mode::Train { .. } => statistics(x, self.epsilon.get(), mean, scale, variance),
            Mode::Eval => running(cx.parameters, self.epsilon.get(), mean, scale),
        }
        let (gain, bias) = (cx.parameters[GAIN].as_slice(), cx.parameters[BIAS].as_slice());
        let (mean, scale) = (mean.as_slice(), scale.as_slice());
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
        let (x, dy) = (&cx.inputs[X], &cx.output_gradients[0]);
        let [of_dy, of_dyz] = &mut *cx.scratch else { unreachable!("as planned") };
        gradient_sums(x, dy, cx.saved, of_dy, of_dyz);
        let training = matches!(cx.mode, Mode::Train { .. });
        if training {
            add_averages(cx.parameters, cx.saved, &mut cx.parameter_gradients);
        }
        for (parameter, sums) in [(GAIN, &*of_dyz), (BIAS, &*of_dy)] {
            let gradient = cx.parameter_gradients[parameter].as_mut_slice();
            gradient.iter_mut().zip(sums.as_slice()).for_each(|(g, &sum)| *g += sum);
        }
        let Some(dx) = cx.input_gradients.get(X) else { return };
        let (mean, scale) = (cx.saved[MEAN].as_slice(), cx.saved[SCALE].as_slice());
        let (gain, width) = (cx.parameters[GAIN].as_slice(), mean.len());
        // In training every row moves mean and variance as well.
        let share = if training { T::one() / T::of(x.rows().nrows() as f64) } else { T::zero() };
        let (of_dy, of_dyz) = (of_dy.as_slice(), of_dyz.as_slice());
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

pub(crate) fn one_over_root<T: Scalar>(x: f64) -> T {
    T::of(1.0 / x.sqrt())
}

/// The running mean, and one over the running deviation.
pub(crate) fn running<T: Scalar>(
    parameters: Parameters<'_, T>,
    epsilon: f64,
    mean: &mut Tensor<T>,
    scale: &mut Tensor<T>,
) {
    mean.as_mut_slice().copy_from_slice(parameters[RUNNING_MEAN].as_slice());
    let variance = parameters[RUNNING_VARIANCE].as_slice();
    let scale = scale.as_mut_slice().iter_mut().zip(variance);
    scale.for_each(|(scale, v)| *scale = one_over_root(v.f64() + epsilon));
}

/// What the running averages have too much, they less what the batch has, added to their gradients.
pub(crate) fn add_averages<T: Scalar>(
    parameters: Parameters<'_, T>,
    saved: &[Tensor<T>],
    gradients: &mut ParameterGradients<'_, T>,
) {
    for (running, batch) in [(RUNNING_MEAN, MEAN), (RUNNING_VARIANCE, VARIANCE)] {
        let pairs = parameters[running].as_slice().iter().zip(saved[batch].as_slice());
        let gradient = gradients[running].as_mut_slice().iter_mut();
        gradient.zip(pairs).for_each(|(g, (&running, &batch))| *g += running - batch);
    }
}

/// Mean, one over deviation and unbiased variance of each column, one row after the other, so that the bits do not depend
/// on the number of threads.
fn statistics<T: Scalar>(
    x: &Tensor<T>,
    epsilon: f64,
    mean: &mut Tensor<T>,
    scale: &mut Tensor<T>,
    variance: &mut Tensor<T>,
) {
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
            scale[j] = one_over_root(squares[j] / rows as f64 + epsilon);
            variance[j] = T::of(squares[j] / rows.saturating_sub(1).max(1) as f64);
        }
    });
}

/// The sums over rows of dy and of dy z, for each column, one row after the other.
fn gradient_sums<T: Scalar>(
    x: &Tensor<T>,
    dy: &Tensor<T>,
    saved: &[Tensor<T>],
    of_dy: &mut Tensor<T>,
    of_dyz: &mut Tensor<T>,
) {
    let width = x.rows().ncols();
    let (mean, scale) = (saved[MEAN].as_slice(), saved[SCALE].as_slice());
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
        assert_near(&engine.parameters()[RUNNING_MEAN], &array(&[2], &[0.3, 0.6]));
        assert_near(&engine.parameters()[RUNNING_VARIANCE], &array(&[2], &[1.6, 1.2]));
        assert!(engine.parameters()[BIAS].as_slice()[0] < -0.05, "it is trained");

        engine.forward(&batch, Mode::Eval).unwrap();
        engine.backward_from(&[(out, &[0.0; 6])]);
        updater.update(&mut engine, 0.1);
        assert_near(&engine.parameters()[RUNNING_MEAN], &array(&[2], &[0.3, 0.6]));
    }

    #[test]
    fn one_row_is_its_own_mean() {
        let mut bench = LayerBench::new("BatchNorm()", vec![array(&[1, 2], &[3.0f32, 4.0]).into()]);
        assert_eq!(bench.forward(TRAIN).as_slice(), [0.0, 0.0]);
        bench.backward(&array(&[1, 2], &[1.0, 1.0]));
        assert_eq!(bench.parameter_gradient("variance").as_slice(), [1.0, 1.0]);
    }
}
