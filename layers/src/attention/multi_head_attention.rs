//! Attention in several heads.

mod heads;
mod one_step;
mod rows;
#[cfg(test)]
mod tests;

use engine_core::context::{Forward, InputGradients, Inputs, ParameterGradients, Parameters};
use engine_core::field::Count;
use engine_kernels::gemm::product;
use engine_core::init::{Fill, Init};
use engine_core::registry::LAYER;
use engine_core::{Axis, Backward, Dim, Kernel, Layer, LayerPlan, PlanError, Port, PortShapes, Reach, Scalar, Shape, Step, Symbol, Tensor, register};
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::heads::{Heads, attend, attend_gradient};
use self::rows::{Rows, gather, scatter};
use crate::affine;

/// Attention in several heads: means of what is attended to, weighted by how well keys answer queries.
///
/// ```text
/// q = x wq + bq        k = m wk + bk        v = m wv + bv        m: the memory with `cross`, else x
/// a = softmax(q k^T / sqrt(Width / heads))                       for each head, on its part of the columns
/// y = [a v, of all heads side by side] wo + bo
/// ```
///
/// The softmax is over the positions of m that a query sees: with `causal` those up to its own, with `masked` those where
/// the mask is not 0. Where it sees none, all its weights are 0. Vaswani et al., 2017.
///
/// # Shapes
/// - `x`: `[Batch, Queries, Width]`; with `causal`, the queries are those of `Time`
/// - `memory`, with `cross`: `[Batch, Keys, MemoryWidth]`, over `Time` as well with `causal`
/// - `mask`, with `masked`: `[Batch, Keys]`, or `[Batch, Queries]` without `cross`; what is 0 is not there
/// - output: that of `x`
/// - parameters: `wq` `[Width, Width]`, `wk`, `wv` `[MemoryWidth, Width]`, `wo` `[Width, Width]`, and `bq`, `bk`, `bv`, `bo`
///   `[Width]` unless `bias: false`
///
/// # Errors
/// When `heads` does not divide the width of `x`.
///
/// Keys and values of steps that were made are kept while a sentence is written, so that a step is as long as the sentence
/// so far. Without `causal`, attention to positions in time needs them all at once, and cannot run step by step.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MultiHeadAttention {
    /// How many heads there are: a divisor of the width.
    pub heads: Count,
    /// Whether a position sees no later one.
    #[serde(default)]
    pub causal: bool,
    /// Whether what is attended to is another array than `x`.
    #[serde(default)]
    pub cross: bool,
    /// Whether a mask says which positions are there.
    #[serde(default)]
    pub masked: bool,
    /// Whether `bq`, `bk`, `bv` and `bo` are added.
    #[serde(default = "affine::with_bias")]
    pub bias: bool,
    /// How the first matrices are drawn; biases start at 0.
    #[serde(default)]
    pub init: Init,
}

const X: usize = 0;

/// The maps, in the order of their parameters.
#[derive(Clone, Copy)]
enum Map {
    Query,
    Key,
    Value,
    Output,
}

/// Saved: queries by heads, divided by the root of a head's width; keys and then values by heads; weights; what heads
/// make of the values, by rows.
const Q: usize = 0;
const KV: usize = 1;
const MEANS: usize = 3;

/// Scratch: rows of queries, rows of keys or values, what heads make of the values, weights of one head.
const QUERIES: usize = 0;
const KEYS: usize = 1;

#[typetag::serde]
impl Layer for MultiHeadAttention {
    fn ports(&self) -> Vec<Port> {
        let axis = |name| if self.causal { Axis::TIME } else { Axis::Any(name) };
        let queries = axis("Queries");
        let keys = if self.cross { axis("Keys") } else { queries };
        let x = Port::real("x", [Axis::BATCH, queries, Axis::Any("Width")]);
        let memory = Port::real("memory", [Axis::BATCH, keys, Axis::Any("MemoryWidth")]);
        let mask = Port::real("mask", [Axis::BATCH, keys]);
        let wired = [(x, true), (memory, self.cross), (mask, self.masked)];
        wired.into_iter().filter(|(_, wired)| *wired).map(|(port, _)| port).collect()
    }

    fn plan(&self, inputs: &PortShapes<'_>) -> Result<LayerPlan, PlanError> {
        let (x, memory) = (inputs.shape(X), inputs.shape(self.source()));
        let (width, heads) = (inputs.dim("Width"), self.heads());
        if width.size().is_some_and(|width| width % heads != 0) {
            let message = format!(
                "expected a number of heads that divides the width {width} of `x`, found {heads}"
            );
            return Err(PlanError::field("heads", message));
        }
        let (batch, queries, keys) = (x[0], x[1], memory[1]);
        // A dimension of 1 in front keeps these arrays in full where others are arranged without padding.
        let by_sequence = |rest: &[Dim]| {
            Shape::new([Dim::Fixed(1), batch].into_iter().chain(rest.iter().copied()))
        };
        let plan = LayerPlan::output(x.clone())
            .saved(by_sequence(&[width, queries]))
            .saved(by_sequence(&[width.times(2), keys]))
            .saved(by_sequence(&[heads.into(), queries, keys]))
            .saved(x.clone())
            .scratch(x.clone())
            .scratch(memory.with_last(width))
            .scratch(by_sequence(&[width, queries]))
            .scratch(by_sequence(&[queries, keys]));
        Ok(self.parameters(self.over_time(plan, inputs), width, memory.last()))
    }
}

impl MultiHeadAttention {
    fn heads(&self) -> usize {
        usize::try_from(self.heads.get()).unwrap_or(usize::MAX)
    }

    /// The port of what is attended to.
    fn source(&self) -> usize {
        usize::from(self.cross)
    }

    fn mask_port(&self) -> usize {
        self.source() + 1
    }

    fn parameters(&self, plan: LayerPlan, width: Dim, memory: Dim) -> LayerPlan {
        let maps =
            [("wq", "bq", width), ("wk", "bk", memory), ("wv", "bv", memory), ("wo", "bo", width)];
        maps.into_iter().fold(plan, |plan, (w, b, inputs)| {
            let plan = plan.weights(w, [inputs, width], Fill::Random(self.init));
            if self.bias { plan.bias(b, [width], Fill::zero()) } else { plan }
        })
    }

    /// What is carried from step to step, and what an output depends on.
    fn over_time(&self, plan: LayerPlan, inputs: &PortShapes<'_>) -> LayerPlan {
        let (x, memory) = (inputs.shape(X), inputs.shape(self.source()));
        let width = x.last();
        if self.causal {
            let cache = Shape::new([x[1], x[0], width]);
            let plan = plan.state(cache.clone()).state(cache).reach(Reach::Past);
            if self.masked { plan.state([x[1], x[0]]) } else { plan }
        } else if memory.has(Symbol::TIME) {
            plan.whole(self.source())
        } else if x.has(Symbol::TIME) {
            let kept = [memory[0], memory[1], width.times(2)];
            plan.state(kept).starts(self.source()).reach(Reach::Past)
        } else {
            plan.reach(Reach::Past)
        }
    }

    fn weight(&self, map: Map) -> usize {
        if self.bias { 2 * map as usize } else { map as usize }
    }

    /// y = x w + b.
    fn map<T: Scalar>(
        &self,
        parameters: Parameters<'_, T>,
        map: Map,
        x: &Tensor<T>,
        y: &mut Tensor<T>,
    ) {
        let w = self.weight(map);
        let b = self.bias.then(|| &parameters[w + 1]);
        affine::forward(x.rows(), &parameters[w], b, y);
    }
}

/// What the gradients of maps read and write.
struct Gradients<'a, 'b, T> {
    inputs: Inputs<'b, T>,
    parameters: Parameters<'b, T>,
    of_inputs: &'a mut InputGradients<'b, T>,
    of_parameters: &'a mut ParameterGradients<'b, T>,
    bias: bool,
}

impl<T: Scalar> Gradients<'_, '_, T> {
    /// Adds those of a map, x at `port` and its matrix the parameter `w`, given dy.
    fn add(&mut self, port: usize, w: usize, dy: &Tensor<T>) {
        if let Some(dx) = self.of_inputs.get(port) {
            affine::add_input_gradient(dy, &self.parameters[w], dx.rows_mut());
        }
        affine::add_weight_gradient(self.inputs[port].rows(), dy, &mut self.of_parameters[w]);
        if self.bias {
            affine::add_bias_gradient(dy, &mut self.of_parameters[w + 1]);
        }
    }
}

impl<T: Scalar> Kernel<T> for MultiHeadAttention {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let [q, kv, a, means] = &mut *cx.saved else { unreachable!("as planned") };
        let [queries, keys, by_heads, _] = &mut *cx.scratch else { unreachable!("as planned") };
        let (x, memory, p) = (&cx.inputs[X], &cx.inputs[self.source()], cx.parameters);
        let heads = Heads::new(self.heads(), q, kv);
        let of_x = Rows::of(x, cx.steps, q);
        let of_memory = Rows::of(memory, cx.steps, kv);
        self.map(p, Map::Query, x, queries);
        gather(queries, of_x, heads, q, 0, heads.scale());
        for (part, map) in [Map::Key, Map::Value].into_iter().enumerate() {
            self.map(p, map, memory, keys);
            gather(keys, of_memory, heads, kv, part, T::one());
        }
        let mask = self.masked.then(|| cx.inputs[self.mask_port()].as_slice());
        heads.count_products(of_x, of_memory, 2);
        let weights = (a.as_mut_slice(), heads.weights());
        let results = (by_heads.as_mut_slice(), heads.queries());
        team::for_each_chunk_mut2(weights, results, |n, a, o| {
            let sees = |t: usize, s: usize| {
                let there = mask.is_none_or(|mask| mask[of_memory.row(n, s)] != T::zero());
                there && (!self.causal || s <= t)
            };
            let lengths = [of_x.length(n), of_memory.length(n)];
            attend(heads, lengths, heads.of(q, n), heads.of(kv, n), a, o, sees);
        });
        scatter(by_heads, 0, of_x, heads, means, T::one());
        self.map(p, Map::Output, means, &mut cx.outputs[0]);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        if self.causal {
            self.step_causal(cx);
        } else if self.cross {
            self.step_across(cx);
        } else {
            self.forward(&mut cx.forward);
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let wo = self.weight(Map::Output);
        let dy = &cx.output_gradients[0];
        product(
            dy.rows(),
            cx.parameters[wo].rows().reversed_axes(),
            cx.scratch[QUERIES].rows_mut(),
        );
        affine::add_weight_gradient(cx.saved[MEANS].rows(), dy, &mut cx.parameter_gradients[wo]);
        if self.bias {
            affine::add_bias_gradient(dy, &mut cx.parameter_gradients[wo + 1]);
        }
        self.go_back_through_heads(cx);
        // Gradients of queries, keys and values, by rows again, go through their maps.
        let [q, kv, ..] = &*cx.saved else { unreachable!("as planned") };
        let [queries, keys, by_heads, _] = &mut *cx.scratch else { unreachable!("as planned") };
        let heads = Heads::new(self.heads(), q, kv);
        let of_x = Rows::of(&cx.inputs[X], cx.steps, q);
        let of_memory = Rows::of(&cx.inputs[self.source()], cx.steps, kv);
        let mut gradients = Gradients {
            inputs: cx.inputs,
            parameters: cx.parameters,
            of_inputs: &mut cx.input_gradients,
            of_parameters: &mut cx.parameter_gradients,
            bias: self.bias,
        };
        scatter(by_heads, 0, of_x, heads, queries, heads.scale());
        gradients.add(X, self.weight(Map::Query), queries);
        for (part, map) in [Map::Key, Map::Value].into_iter().enumerate() {
            scatter(kv, part, of_memory, heads, keys, T::one());
            gradients.add(self.source(), self.weight(map), keys);
        }
    }
}

impl MultiHeadAttention {
    /// Given the gradients of what heads make of the values, by rows: leaves those of the queries by heads in scratch, but
    /// for their scale, and those of keys and values in their place.
    fn go_back_through_heads<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [q, kv, a, _] = &mut *cx.saved else { unreachable!("as planned") };
        let [queries, _, by_heads, da] = &mut *cx.scratch else { unreachable!("as planned") };
        let heads = Heads::new(self.heads(), q, kv);
        let of_x = Rows::of(&cx.inputs[X], cx.steps, q);
        let of_memory = Rows::of(&cx.inputs[self.source()], cx.steps, kv);
        gather(queries, of_x, heads, by_heads, 0, T::one());
        heads.count_products(of_x, of_memory, 4);
        let length = heads.keys_and_values();
        let kv = (kv.as_mut_slice(), length);
        let results = (by_heads.as_mut_slice(), heads.queries());
        let weights = (da.as_mut_slice(), heads.weights() / heads.count);
        team::for_each_chunk_mut3(kv, results, weights, |n, kv, o, da| {
            let lengths = [of_x.length(n), of_memory.length(n)];
            attend_gradient(heads, lengths, heads.of(q, n), kv, heads.of(a, n), o, da);
        });
    }
}

register!(
    MultiHeadAttention in LAYER,
    example: "MultiHeadAttention(heads: 8, causal: true)",
    checks: [
        "MultiHeadAttention(heads: 1)",
        "MultiHeadAttention(heads: 2, causal: true)",
        "MultiHeadAttention(heads: 3, causal: true, masked: true, bias: false)",
        "MultiHeadAttention(heads: 2, cross: true, init: Xavier)",
        "MultiHeadAttention(heads: 2, cross: true, masked: true)",
        "MultiHeadAttention(heads: 1, causal: true, cross: true)",
    ],
);
