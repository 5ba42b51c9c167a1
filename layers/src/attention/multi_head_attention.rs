//! Attention in several heads.

mod by_heads;
mod heads;
mod one_step;
#[cfg(test)]
mod tests;

use engine_core::field::Count;
use engine_core::init::{Fill, Init};
use engine_core::layer::context::{InputGradients, Inputs, ParameterGradients, Parameters};
use engine_core::registry::LAYER;
use engine_core::{
    Axis, Backward, Dependence, Dim, Forward, Kernel, Layer, Lowered, Memory, PlanError, Port,
    PortShapes, Saved, Scalar, Scratch, Shape, Signature, State, Step, Symbol, Tensor, Weight,
    register,
};
use engine_kernels::gemm::product;
use engine_kernels::team;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::by_heads::{Positions, gather, scatter};
use self::heads::{Heads, attend, attend_gradient};
use crate::linear::map;

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
    #[serde(default = "crate::linear::with_bias")]
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

    fn signature(&self, inputs: &PortShapes<'_>) -> Result<Signature, PlanError> {
        let (x, memory) = (inputs.shape(X), inputs.shape(self.source()));
        let (width, heads) = (inputs.dim("Width"), self.heads());
        if width.size().is_some_and(|width| width % heads != 0) {
            let message = format!(
                "expected a number of heads that divides the width {width} of `x`, found {heads}"
            );
            return Err(PlanError::field("heads", message));
        }
        let signature = Signature::output(x.clone(), Dependence::Past);
        let signature = match self.causal {
            true => signature,
            false if memory.has(Symbol::TIME) => signature.port(self.source(), Dependence::Whole),
            // Keys and values of a memory are computed at the first step.
            false if x.has(Symbol::TIME) => signature.port(self.source(), Dependence::StartOnly),
            false => signature,
        };
        Ok(self.parameters(signature, width, memory.last()))
    }

    fn plain(&self, memory: &mut Memory<'_>) -> Lowered {
        Lowered::new(Attention::lower(self, memory))
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

    fn parameters(&self, signature: Signature, width: Dim, memory: Dim) -> Signature {
        let inputs = [width, memory, memory, width];
        MAPS.into_iter().zip(inputs).fold(signature, |signature, ([w, b], inputs)| {
            let signature = signature.weights(w, [inputs, width], Fill::Random(self.init));
            signature.bias_if(self.bias, b, [width])
        })
    }
}

/// The names of the maps' parameters.
const MAPS: [[&str; 2]; 4] = [["wq", "bq"], ["wk", "bk"], ["wv", "bv"], ["wo", "bo"]];

/// The attention, and where its arrays are.
#[derive(Debug)]
struct Attention {
    layer: MultiHeadAttention,
    /// For each [`Map`] its matrix and, unless left out, its bias.
    maps: [(Weight, Option<Weight>); 4],
    /// Queries by heads, divided by the root of a head's width.
    q: Saved,
    /// Keys and then values by heads.
    kv: Saved,
    /// Weights by heads.
    a: Saved,
    /// What heads make of the values, by rows.
    means: Saved,
    /// Rows of queries, rows of keys or values, what heads make of the values, weights of one head.
    queries: Scratch,
    keys: Scratch,
    by_heads: Scratch,
    of_head: Scratch,
    carried: Carried,
}

/// What is carried from step to step.
#[derive(Debug)]
enum Carried {
    Nothing,
    /// Keys and values of the steps that were made, and their mask if there is one.
    Past {
        keys_and_values: [State; 2],
        mask: Option<State>,
    },
    /// Keys and values of the memory, by heads.
    Memory(State),
}

impl Attention {
    fn lower(layer: &MultiHeadAttention, memory: &mut Memory<'_>) -> Self {
        let (x, source) = (memory.input(X).clone(), memory.input(layer.source()).clone());
        let (batch, queries, keys, width) = (x[0], x[1], source[1], x.last());
        let heads = Dim::from(layer.heads());
        // A dimension of 1 in front keeps these arrays in full where others are packed.
        let by_sequence = |rest: &[Dim]| {
            Shape::new([Dim::Fixed(1), batch].into_iter().chain(rest.iter().copied()))
        };
        Attention {
            maps: MAPS.map(|[w, b]| (memory.weight(w), memory.weight_if(layer.bias, b))),
            q: memory.saved(by_sequence(&[width, queries])),
            kv: memory.saved(by_sequence(&[width.times(2), keys])),
            a: memory.saved(by_sequence(&[heads, queries, keys])),
            means: memory.saved(x.clone()),
            queries: memory.scratch(x.clone()),
            keys: memory.scratch(source.with_last(width)),
            by_heads: memory.scratch(by_sequence(&[width, queries])),
            of_head: memory.scratch(by_sequence(&[queries, keys])),
            carried: Carried::of(layer, &x, &source, memory),
            layer: layer.clone(),
        }
    }

    /// y = x w + b.
    fn map<T: Scalar>(
        &self,
        parameters: Parameters<'_, T>,
        map: Map,
        x: &Tensor<T>,
        y: &mut Tensor<T>,
    ) {
        let (w, b) = self.maps[map as usize];
        map::forward(x.rows(), &parameters[w], b.map(|b| &parameters[b]), y);
    }
}

impl Carried {
    fn of(layer: &MultiHeadAttention, x: &Shape, source: &Shape, memory: &mut Memory<'_>) -> Self {
        let width = x.last();
        if layer.causal {
            let past = Shape::new([x[1], x[0], width]);
            let keys_and_values = [memory.state(past.clone()), memory.state(past)];
            let mask = layer.masked.then(|| memory.state([x[1], x[0]]));
            Carried::Past { keys_and_values, mask }
        } else if x.has(Symbol::TIME) && !source.has(Symbol::TIME) {
            Carried::Memory(memory.state([source[0], source[1], width.times(2)]))
        } else {
            Carried::Nothing
        }
    }
}

/// What the gradients of maps read and write.
struct Gradients<'a, 'b, T> {
    inputs: Inputs<'b, T>,
    parameters: Parameters<'b, T>,
    of_inputs: &'a mut InputGradients<'b, T>,
    of_parameters: &'a mut ParameterGradients<'b, T>,
}

impl<T: Scalar> Gradients<'_, '_, T> {
    /// Adds those of a map of x at `port`, given dy.
    fn add(&mut self, port: usize, (w, b): (Weight, Option<Weight>), dy: &Tensor<T>) {
        if let Some(dx) = self.of_inputs.get(port) {
            map::add_input_gradient(dy, &self.parameters[w], dx.rows_mut());
        }
        map::add_weight_gradient(self.inputs[port].rows(), dy, &mut self.of_parameters[w]);
        if let Some(b) = b {
            map::add_bias_gradient(dy, &mut self.of_parameters[b]);
        }
    }
}

impl<T: Scalar> Kernel<T> for Attention {
    fn forward(&self, cx: &mut Forward<'_, T>) {
        let [q, kv, a, means] = cx.saved.each([self.q, self.kv, self.a, self.means]);
        let [queries, keys, by_heads] = cx.scratch.each([self.queries, self.keys, self.by_heads]);
        let (x, memory, p) = (&cx.inputs[X], &cx.inputs[self.layer.source()], cx.parameters);
        let heads = Heads::new(self.layer.heads(), q, kv);
        let of_x = Positions::of(x, cx.sequences, q);
        let of_memory = Positions::of(memory, cx.sequences, kv);
        self.map(p, Map::Query, x, queries);
        gather(queries, of_x, heads, q, 0, heads.scale());
        for (part, map) in [Map::Key, Map::Value].into_iter().enumerate() {
            self.map(p, map, memory, keys);
            gather(keys, of_memory, heads, kv, part, T::one());
        }
        let mask = self.layer.masked.then(|| cx.inputs[self.layer.mask_port()].as_slice());
        heads.count_products(of_x.rows, of_memory.rows, 2);
        let weights = (a.as_mut_slice(), heads.weights());
        let results = (by_heads.as_mut_slice(), heads.queries());
        team::for_each_chunk_mut2(weights, results, |n, a, o| {
            let sees = |t: usize, s: usize| {
                let there = mask.is_none_or(|mask| mask[of_memory.rows.row(n, s)] != T::zero());
                there && (!self.layer.causal || s <= t)
            };
            let lengths = [of_x.rows.length(n), of_memory.rows.length(n)];
            attend(heads, lengths, heads.of(q, n), heads.of(kv, n), a, o, sees);
        });
        scatter(by_heads, 0, of_x, heads, means, T::one());
        self.map(p, Map::Output, means, &mut cx.outputs[0]);
    }

    fn step(&self, cx: &mut Step<'_, T>) {
        match self.carried {
            Carried::Past { keys_and_values, mask } => self.step_causal(cx, keys_and_values, mask),
            Carried::Memory(kept) => self.step_across(cx, kept),
            Carried::Nothing => self.forward(&mut cx.forward),
        }
    }

    fn backward(&self, cx: &mut Backward<'_, T>) {
        let (wo, bo) = self.maps[Map::Output as usize];
        let dy = &cx.output_gradients[0];
        product(
            dy.rows(),
            cx.parameters[wo].rows().reversed_axes(),
            cx.scratch[self.queries].rows_mut(),
        );
        map::add_weight_gradient(cx.saved[self.means].rows(), dy, &mut cx.parameter_gradients[wo]);
        if let Some(bo) = bo {
            map::add_bias_gradient(dy, &mut cx.parameter_gradients[bo]);
        }
        self.go_back_through_heads(cx);
        // Gradients of queries, keys and values, by rows again, go through their maps.
        let (q, kv) = (&cx.saved[self.q], &cx.saved[self.kv]);
        let [queries, keys, by_heads] = cx.scratch.each([self.queries, self.keys, self.by_heads]);
        let heads = Heads::new(self.layer.heads(), q, kv);
        let of_x = Positions::of(&cx.inputs[X], cx.sequences, q);
        let of_memory = Positions::of(&cx.inputs[self.layer.source()], cx.sequences, kv);
        let mut gradients = Gradients {
            inputs: cx.inputs,
            parameters: cx.parameters,
            of_inputs: &mut cx.input_gradients,
            of_parameters: &mut cx.parameter_gradients,
        };
        scatter(by_heads, 0, of_x, heads, queries, heads.scale());
        gradients.add(X, self.maps[Map::Query as usize], queries);
        for (part, map) in [Map::Key, Map::Value].into_iter().enumerate() {
            scatter(kv, part, of_memory, heads, keys, T::one());
            gradients.add(self.layer.source(), self.maps[map as usize], keys);
        }
    }
}

impl Attention {
    /// Given the gradients of what heads make of the values, by rows: leaves those of the queries by heads in scratch, but
    /// for their scale, and those of keys and values in their place.
    fn go_back_through_heads<T: Scalar>(&self, cx: &mut Backward<'_, T>) {
        let [q, kv, a] = cx.saved.each([self.q, self.kv, self.a]);
        let [queries, by_heads, da] = cx.scratch.each([self.queries, self.by_heads, self.of_head]);
        let heads = Heads::new(self.layer.heads(), q, kv);
        let of_x = Positions::of(&cx.inputs[X], cx.sequences, q);
        let of_memory = Positions::of(&cx.inputs[self.layer.source()], cx.sequences, kv);
        gather(queries, of_x, heads, by_heads, 0, T::one());
        heads.count_products(of_x.rows, of_memory.rows, 4);
        let length = heads.keys_and_values();
        let kv = (kv.as_mut_slice(), length);
        let results = (by_heads.as_mut_slice(), heads.queries());
        let weights = (da.as_mut_slice(), heads.weights() / heads.count);
        team::for_each_chunk_mut3(kv, results, weights, |n, kv, o, da| {
            let lengths = [of_x.rows.length(n), of_memory.rows.length(n)];
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
