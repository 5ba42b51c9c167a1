//! Attention to regions, scored by a small network.

use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Scalar, Scratch, Signature, Symbol, Tensor, Weight, register,
};
use engine_kernels::lanes::{self, Lanes, Simd, WithSimd};
use engine_kernels::{flops, math, team};
use ndarray::{ArrayView2, ArrayViewMut2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shared::{softmax, softmax_gradient};
use crate::elementwise;
use crate::linear::map;

/// A mean of values, weighted by how well their keys answer a query: additive attention.
///
/// ```text
/// e_i = v . f(keys_i + query)                    f: tanh, or max(0, .)
/// weights_i = exp(e_i) / sum_j exp(e_j)          over the regions that the mask leaves; 0 elsewhere
/// context = sum_i weights_i values_i
/// ```
///
/// Keys and query are affine maps of what is attended to and of a state, by nodes of their own: keys once for a sequence,
/// the query at each step. Where the mask leaves no region, weights and context are 0. Bahdanau et al., 2015, and for
/// images Xu et al., 2015.
///
/// # Shapes
/// - `keys`: `[Batch, Regions, Width]`
/// - `values`: `[Batch, Regions, Channels]`
/// - `query`: `[Batch, Width]`
/// - `mask`, optional: `[Batch, Regions]`; what is 0 is not there
/// - output: the context, `[Batch, Channels]`
/// - output `weights`: `[Batch, Regions]`
/// - parameters: `v` `[Width]`
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdditiveAttention {
    /// The function f.
    pub score: Score,
    /// How the first `v` is drawn, as a matrix `[Width, 1]`.
    pub init: Init,
}

/// What is done to the sum of a key and the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Score {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// The positive part.
    Relu,
}

const KEYS: usize = 0;
const VALUES: usize = 1;
const QUERY: usize = 2;
const MASK: usize = 3;

/// The second output.
const WEIGHTS: usize = 1;

#[typetag::serde]
impl Layer for AdditiveAttention {
    fn ports(&self) -> Vec<Port> {
        let (regions, width) = (Axis::Any("Regions"), Axis::Any("Width"));
        vec![
            Port::real("keys", [Axis::BATCH, regions, width]),
            Port::real("values", [Axis::BATCH, regions, Axis::Any("Channels")]),
            Port::real("query", [Axis::BATCH, width]),
            Port::real("mask", [Axis::BATCH, regions]).optional(),
        ]
    }

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let keys = inputs.shape(KEYS);
        // Regions that are steps may be packed, and then they do not lie one sequence after the other.
        let of_regions = match keys.has(Symbol::TIME) {
            true => Dependence::Whole,
            false => Dependence::Past,
        };
        Ok(Signature::output([keys[0], inputs.dim("Channels")], Dependence::Past)
            .port(KEYS, of_regions)
            .port(VALUES, of_regions)
            .port(MASK, of_regions)
            .and_output("weights", [keys[0], keys[1]])
            .weights("v", [inputs.dim("Width")], Fill::Column(self.init)))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        let (keys, query) = (memory.input(KEYS), memory.input(QUERY));
        Lowered::new(Attention {
            relu: self.score == Score::Relu,
            v: memory.weight("v"),
            de: memory.scratch([keys[0], keys[1]]),
            dquery: memory.scratch(query.clone()),
            dv: memory.scratch(query.clone()),
        })
    }
}

/// The attention; scratch holds the gradients of e, and for each sequence those of the query and of v.
#[derive(Debug)]
struct Attention {
    relu: bool,
    v: Weight,
    de: Scratch,
    dquery: Scratch,
    dv: Scratch,
}

impl<T: Scalar> Kernel<T> for Attention {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let (context, weights) = cx.outputs.split_at_mut(WEIGHTS);
        let (context, weights) = (&mut context[0], &mut weights[0]);
        let (keys, values, query) = (&cx.inputs[KEYS], &cx.inputs[VALUES], &cx.inputs[QUERY]);
        let (v, mask) = (cx.parameters[self.v].as_slice(), cx.inputs.get(MASK));
        let [regions, channels] = [weights.dim(1), context.dim(1)];
        flops::count_product(weights.dim(0), regions, channels);
        let context = (context.as_mut_slice(), channels);
        team::for_each_chunk_mut2(
            (weights.as_mut_slice(), regions),
            context,
            |n, weights, context| {
                let (keys, query, relu) = (sequence(keys, n), sequence(query, n), self.relu);
                lanes::widest(Scores { relu, keys, query, v, scores: weights });
                let mask = mask.map(|mask| sequence(mask, n));
                softmax(weights, |at| mask.is_none_or(|mask| mask[at] != T::zero()));
                T::gemm(
                    row(weights),
                    matrix(sequence(values, n), channels),
                    T::zero(),
                    row_mut(context),
                );
            },
        );
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        self.go_back_to_values(cx);
        let [de, dquery, dv] = cx.scratch.each([self.de, self.dquery, self.dv]);
        let (keys, query, v) =
            (&cx.inputs[KEYS], &cx.inputs[QUERY], cx.parameters[self.v].as_slice());
        let (de, width) = (&*de, v.len());
        let parts = (dquery.as_mut_slice(), width);
        let of_v = (dv.as_mut_slice(), width);
        let go_back = |n: usize, dkeys: &mut [T], dquery: &mut [T], dv: &mut [T]| {
            let (keys, query, de) = (sequence(keys, n), sequence(query, n), sequence(de, n));
            dquery.fill(T::zero());
            dv.fill(T::zero());
            lanes::widest(ScoreGradients {
                relu: self.relu,
                keys,
                query,
                v,
                de,
                dkeys,
                dquery,
                dv,
            });
        };
        match cx.input_gradients.get(KEYS) {
            Some(dkeys) => {
                let length = dkeys.flat().ncols();
                team::for_each_chunk_mut3((dkeys.as_mut_slice(), length), parts, of_v, go_back);
            }
            None => team::for_each_chunk_mut2(parts, of_v, |n, dquery, dv| {
                go_back(n, &mut [], dquery, dv)
            }),
        }
        if let Some(gradient) = cx.input_gradients.get(QUERY) {
            elementwise::add(gradient.as_mut_slice(), dquery.as_slice());
        }
        // One sequence after the other, so that the bits do not depend on the number of threads.
        map::add_bias_gradient(dv, &mut cx.parameter_gradients[self.v]);
    }
}

impl Attention {
    /// Computes the gradients of e, and adds those of the values.
    fn go_back_to_values<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let (dcontext, dweights) = (&cx.output_gradients[0], &cx.output_gradients[WEIGHTS]);
        let (values, weights) = (&cx.inputs[VALUES], &cx.outputs[WEIGHTS]);
        let de = &mut cx.scratch[self.de];
        let [regions, channels] = [weights.dim(1), dcontext.dim(1)];
        flops::count_product(weights.dim(0), channels, regions);
        let scores = |n: usize, de: &mut [T]| {
            de.copy_from_slice(sequence(dweights, n));
            let values = matrix(sequence(values, n), channels).reversed_axes();
            T::gemm(row(sequence(dcontext, n)), values, T::one(), row_mut(de));
            softmax_gradient(sequence(weights, n), de);
        };
        let de = (de.as_mut_slice(), regions);
        match cx.input_gradients.get(VALUES) {
            Some(dvalues) => {
                flops::count_product(weights.dim(0), regions, channels);
                let dvalues = (dvalues.as_mut_slice(), regions * channels);
                team::for_each_chunk_mut2(de, dvalues, |n, de, dvalues| {
                    scores(n, de);
                    let weights = row(sequence(weights, n)).reversed_axes();
                    let to = matrix_mut(dvalues, channels);
                    T::gemm(weights, row(sequence(dcontext, n)), T::one(), to);
                });
            }
            None => team::for_each_chunk_mut(de.0, de.1, scores),
        }
    }
}

/// What belongs to sequence `n`.
fn sequence<T: Scalar>(array: &Tensor<T>, n: usize) -> &[T] {
    let length: usize = array.shape()[1..].iter().product();
    &array.as_slice()[n * length..][..length]
}

fn row<T>(numbers: &[T]) -> ArrayView2<'_, T> {
    matrix(numbers, numbers.len())
}

fn row_mut<T>(numbers: &mut [T]) -> ArrayViewMut2<'_, T> {
    let columns = numbers.len();
    matrix_mut(numbers, columns)
}

fn matrix<T>(numbers: &[T], columns: usize) -> ArrayView2<'_, T> {
    let shape = (numbers.len() / columns, columns);
    ArrayView2::from_shape(shape, numbers).expect("whole rows")
}

fn matrix_mut<T>(numbers: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let shape = (numbers.len() / columns, columns);
    ArrayViewMut2::from_shape(shape, numbers).expect("whole rows")
}

/// f and its slope where its value is y.
#[inline(always)]
fn f<T: Scalar, S: Simd>(simd: S, relu: bool, x: T::Vector<S>) -> T::Vector<S> {
    match relu {
        // What is not a number stays so.
        true => <T as Lanes>::max(simd, T::splat(simd, T::zero()), x),
        false => math::tanh_v::<T, S>(simd, x),
    }
}

#[inline(always)]
fn slope<T: Scalar, S: Simd>(simd: S, relu: bool, y: T::Vector<S>) -> T::Vector<S> {
    let (zero, one) = (T::splat(simd, T::zero()), T::splat(simd, T::one()));
    match relu {
        true => T::select_less(simd, zero, y, one, zero),
        false => <T as Lanes>::sub(simd, one, <T as Lanes>::mul(simd, y, y)),
    }
}

/// e_i = v . f(keys_i + query) of one sequence.
struct Scores<'a, T> {
    relu: bool,
    keys: &'a [T],
    query: &'a [T],
    v: &'a [T],
    scores: &'a mut [T],
}

impl<T: Scalar> WithSimd for Scores<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Scores { relu, keys, query, v, scores } = self;
        let (lanes, width) = (T::lanes(simd), v.len());
        for (keys, score) in keys.chunks_exact(width).zip(scores) {
            let mut sum = T::splat(simd, T::zero());
            for at in (0..width).step_by(lanes) {
                // Beyond the width v is 0.
                let k = T::load_part(simd, &keys[at..]);
                let q = T::load_part(simd, &query[at..]);
                let v = T::load_part(simd, &v[at..]);
                let y = f::<T, S>(simd, relu, <T as Lanes>::add(simd, k, q));
                sum = <T as Lanes>::mul_add(simd, v, y, sum);
            }
            *score = T::reduce_add(simd, sum);
        }
    }
}

/// The gradients of [`Scores`], given those of e. `dkeys` may be empty.
struct ScoreGradients<'a, T> {
    relu: bool,
    keys: &'a [T],
    query: &'a [T],
    v: &'a [T],
    de: &'a [T],
    dkeys: &'a mut [T],
    dquery: &'a mut [T],
    dv: &'a mut [T],
}

impl<T: Scalar> WithSimd for ScoreGradients<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let ScoreGradients { relu, keys, query, v, de, dkeys, dquery, dv } = self;
        let (lanes, width) = (T::lanes(simd), v.len());
        for (i, (keys, &de)) in keys.chunks_exact(width).zip(de).enumerate() {
            let d = T::splat(simd, de);
            for at in (0..width).step_by(lanes) {
                let part = at..width.min(at + lanes);
                let k = T::load_part(simd, &keys[at..]);
                let q = T::load_part(simd, &query[at..]);
                let v = T::load_part(simd, &v[at..]);
                let y = f::<T, S>(simd, relu, <T as Lanes>::add(simd, k, q));
                let to_sum = <T as Lanes>::mul(simd, v, slope::<T, S>(simd, relu, y));
                add_to(simd, &mut dv[part.clone()], d, y);
                add_to(simd, &mut dquery[part.clone()], d, to_sum);
                if !dkeys.is_empty() {
                    add_to(simd, &mut dkeys[i * width..][part], d, to_sum);
                }
            }
        }
    }
}

/// y = y + a x.
#[inline(always)]
fn add_to<T: Scalar, S: Simd>(simd: S, y: &mut [T], a: T::Vector<S>, x: T::Vector<S>) {
    let sum = <T as Lanes>::mul_add(simd, a, x, T::load_part(simd, y));
    T::store_part(simd, y, sum);
}

register!(
    AdditiveAttention in LAYER,
    example: "AdditiveAttention()",
    checks: [
        "AdditiveAttention()",
        "AdditiveAttention(score: Relu)",
        "AdditiveAttention(init: Uniform(0.5))",
    ],
);

#[cfg(test)]
mod tests {
    use engine_core::engine::{Engine, gradient_check};
    use engine_core::testing::{Value, engine};
    use engine_core::{Batch, Mode, Sizes};

    use super::*;
    use crate::samples::{SIZES, assert_near, from_fn, random};

    /// The layer over random keys, values and queries, its weights a result as well; with a mask, some regions are out.
    fn attention<T: Scalar>(
        [n, regions, width, channels]: [usize; 4],
        options: &str,
        mask: Option<&Tensor<f64>>,
    ) -> (Engine<T>, Batch) {
        let from = if mask.is_some() { r#", "mask""# } else { "" };
        let text = format!(
            r#"Graph(inputs: {{"keys": [Batch, {regions}, {width}], "values": [Batch, {regions}, {channels}],
                "query": [Batch, {width}], "mask": [Batch, {regions}]}},
            nodes: [(name: "a", layer: AdditiveAttention({options}), from: ["keys", "values", "query"{from}])],
            outputs: {{"context": "a", "weights": "a.weights"}})"#
        );
        let mut engine = engine::<T>(&text, Sizes::new()).unwrap_or_else(|e| panic!("{e}"));
        let v = random::<f64>(&[width], 4);
        let to = engine.parameters_mut()[0].as_mut_slice();
        to.iter_mut().zip(v.as_slice()).for_each(|(to, v)| *to = T::of(*v));
        let mut batch = Batch::new();
        let arrays = [
            ("keys", vec![n, regions, width]),
            ("values", vec![n, regions, channels]),
            ("query", vec![n, width]),
        ];
        for ((name, shape), seed) in arrays.iter().zip(1..) {
            batch.f64_mut(name, shape).copy_from_slice(random::<f64>(shape, seed).as_slice());
        }
        if let Some(mask) = mask {
            batch.f64_mut("mask", mask.shape()).copy_from_slice(mask.as_slice());
        }
        (engine, batch)
    }

    /// The formula, one number after the other.
    fn naive(
        [n, regions, width, channels]: [usize; 4],
        relu: bool,
        there: impl Fn(usize, usize) -> bool,
    ) -> [Tensor<f64>; 2] {
        let keys = random::<f64>(&[n, regions, width], 1);
        let values = random::<f64>(&[n, regions, channels], 2);
        let (query, v) = (random::<f64>(&[n, width], 3), random::<f64>(&[width], 4));
        let e = |i: usize, r: usize| -> f64 {
            let sum = |a: usize| keys.view3()[[i, r, a]] + query.rows()[[i, a]];
            let f = |x: f64| if relu { x.max(0.0) } else { x.tanh() };
            let e = (0..width).map(|a| v.as_slice()[a] * f(sum(a))).sum::<f64>().exp();
            if there(i, r) { e } else { 0.0 }
        };
        let weights = from_fn([n, regions], |[i, r]| {
            let sum: f64 = (0..regions).map(|r| e(i, r)).sum();
            if sum > 0.0 { e(i, r) / sum } else { 0.0 }
        });
        let context = from_fn([n, channels], |[i, c]| {
            (0..regions).map(|r| weights.rows()[[i, r]] * values.view3()[[i, r, c]]).sum()
        });
        [context, weights]
    }

    #[test]
    fn equals_the_formula() {
        for sizes in SIZES.into_iter().chain([[3, 20, 37, 9]]) {
            for (options, relu) in [("", false), ("score: Relu", true)] {
                println!("{sizes:?} {options}");
                let (mut engine, batch) = attention::<f64>(sizes, options, None);
                engine.forward(&batch, Mode::Eval).unwrap();
                let [context, weights] = naive(sizes, relu, |_, _| true);
                assert_near(engine.output("context").unwrap(), &context);
                assert_near(engine.output("weights").unwrap(), &weights);
                let worst = gradient_check(&mut engine, &batch, Mode::Eval, 60, 1).unwrap();
                assert!(worst.as_ref().unwrap().relative_error < 1e-6, "{worst:?}");
            }
        }
    }

    #[test]
    fn regions_that_are_not_there_have_no_weight() {
        for sizes in SIZES {
            let [n, regions, ..] = sizes;
            // Of the last sequence, none is there.
            let there = |i: usize, r: usize| i + 1 < n && (i + r) % 3 != 1;
            let mask = from_fn([n, regions], |[i, r]| if there(i, r) { -0.5 } else { 0.0 });
            let (mut engine, batch) = attention::<f64>(sizes, "", Some(&mask));
            engine.forward(&batch, Mode::Eval).unwrap();
            let [context, weights] = naive(sizes, false, there);
            assert_near(engine.output("context").unwrap(), &context);
            assert_near(engine.output("weights").unwrap(), &weights);
            engine.backward_from(&[]);
        }
        let sizes = [3, 7, 4, 5];
        let mask = from_fn([3, 7], |[i, r]| f64::from(u8::from((i + r) % 3 != 1)));
        let (mut engine, batch) = attention::<f64>(sizes, "", Some(&mask));
        let plan = engine.plan().clone();
        engine.forward(&batch, Mode::Eval).unwrap();
        let at = plan.output("context").unwrap();
        engine.backward_from(&[(at, &[1.0; 15])]);
        let dkeys = engine.value_gradient(plan.value("keys").unwrap()).view3();
        for ((i, r, _), d) in dkeys.indexed_iter() {
            assert!((i + r) % 3 != 1 || *d == 0.0, "a key that is not there has no gradient");
        }
    }

    #[test]
    fn single_precision_agrees() {
        let sizes = [4, 11, 40, 13];
        let (mut engine, batch) = attention::<f32>(sizes, "", None);
        engine.forward(&batch, Mode::Eval).unwrap();
        let [context, _] = naive(sizes, false, |_, _| true);
        for (a, b) in engine.output("context").unwrap().as_slice().iter().zip(context.as_slice()) {
            assert!((f64::from(*a) - b).abs() < 1e-6);
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let inputs = || -> Vec<Value<f32>> {
            let shapes: [&[usize]; 3] = [&[20, 30, 64], &[20, 30, 50], &[20, 64]];
            shapes.iter().zip(1..).map(|(shape, seed)| random::<f32>(shape, seed).into()).collect()
        };
        let run = |threads| {
            team::with_threads(threads, || {
                let mut bench =
                    engine_core::testing::LayerBench::new("AdditiveAttention()", inputs());
                let y = bench.forward(Mode::Eval);
                bench.backward(&y);
                (bench.parameter_gradient("v").clone(), bench.input_gradient(KEYS).clone(), y)
            })
        };
        assert!(run(1) == run(3));
    }
}
