//! The arrays of a running plan, and the one way a node is run over them.

use super::extent::{Extent, RowCounts};
use crate::array::dim::Symbol;
use crate::array::shape::{Shape, Sizes};
use crate::array::tensor::Tensor;
use crate::graph::{NodePlan, Plan};
use crate::layer::context::{Forward, Inputs, Mode, Noise, Parameters, Slot, Tokens};
use crate::layer::memory::{Arrays, PackedWeights};
use crate::scalar::Scalar;
use crate::sequence::PackedSequence;
use engine_kernels::panels::Panels;

/// Every array that a forward pass reads and writes, but for the parameters.
#[derive(Debug, Clone)]
pub(super) struct Memory<T> {
    pub(super) values: Vec<Tensor<T>>,
    pub(super) tokens: Vec<Tokens>,
    pub(super) nodes: Vec<NodeMemory<T>>,
    /// How the batch's sequences lie, where the plan leaves padding out.
    pub(super) steps: Option<PackedSequence>,
    /// The length of each sequence, to arrange steps by.
    pub(super) lengths: Vec<usize>,
    extents: Extents,
    /// The batch and time that there is room for.
    bound: Option<(usize, usize)>,
}

/// The arrays of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeMemory<T> {
    pub(super) saved: Vec<Tensor<T>>,
    pub(super) scratch: Vec<Tensor<T>>,
    pub(super) state: Vec<Tensor<T>>,
}

/// How large every array of a plan is.
#[derive(Debug, Clone)]
pub(super) struct Extents {
    pub(super) values: Vec<Option<Extent>>,
    /// For each node its saved arrays, scratch and state.
    pub(super) nodes: Vec<[Vec<Extent>; 3]>,
}

impl Extents {
    pub(super) fn new(plan: &Plan, sizes: &Sizes) -> Self {
        // What no node reads or writes takes no memory.
        let mut used = vec![false; plan.values.len()];
        for node in &plan.nodes {
            node.reads().chain(node.outputs.clone()).for_each(|value| used[value] = true);
        }
        let value = |(value, used): (&crate::graph::Value, bool)| {
            used.then(|| Extent::new(&value.shape, value.words, sizes))
        };
        let nodes = plan.nodes.iter().map(|node| {
            let all = |shapes: &[Shape]| {
                shapes.iter().map(|shape| Extent::new(shape, node.words, sizes)).collect()
            };
            let state = node.memory.state.iter();
            let state = state.map(|shape| Extent::carried(shape, node.words, sizes)).collect();
            [all(&node.memory.saved), all(&node.memory.scratch), state]
        });
        Extents {
            values: plan.values.iter().zip(used).map(value).collect(),
            nodes: nodes.collect(),
        }
    }
}

impl<T: Scalar> Memory<T> {
    /// Arrays that take no memory yet. `sizes` binds every symbol but `Batch` and `Time`.
    pub(super) fn new(plan: &Plan, sizes: &Sizes) -> Self {
        let empty = |shapes: &[Shape]| shapes.iter().map(|_| Tensor::default()).collect();
        let tokens = plan.inputs.iter().filter_map(|input| match input.slot {
            Slot::Tokens(at) => Some(at + 1),
            _ => None,
        });
        Memory {
            values: plan.values.iter().map(|_| Tensor::default()).collect(),
            tokens: (0..tokens.max().unwrap_or(0))
                .map(|at| Tokens { counts_words: counts_words(plan, at), ..Tokens::default() })
                .collect(),
            nodes: plan
                .nodes
                .iter()
                .map(|node| NodeMemory {
                    saved: empty(&node.memory.saved),
                    scratch: empty(&node.memory.scratch),
                    state: empty(&node.memory.state),
                })
                .collect(),
            steps: plan.arranged.is_some().then(PackedSequence::default),
            lengths: Vec::new(),
            extents: Extents::new(plan, sizes),
            bound: None,
        }
    }

    /// As [`new`](Self::new), but only inputs are ever given memory: whoever runs the plan lends it to the other arrays.
    pub(super) fn of_inputs(plan: &Plan, sizes: &Sizes) -> Self {
        let mut memory = Memory::new(plan, sizes);
        let fed = |at: usize| plan.inputs.iter().any(|input| input.slot == Slot::Value(at));
        let values = memory.extents.values.iter_mut().enumerate();
        values.filter(|(at, _)| !fed(*at)).for_each(|(_, extent)| *extent = None);
        memory.extents.nodes.clear();
        memory
    }

    /// The batch and time that arrays have.
    pub(super) fn bound(&self) -> Option<(usize, usize)> {
        self.bound
    }

    /// Gives every array the shape that it has for this batch and time, once steps are arranged and words are counted.
    /// Memory is kept, so only a larger batch than ever before allocates.
    pub(super) fn bind(&mut self, batch: usize, time: usize) {
        let fresh = self.bound != Some((batch, time));
        let varies = self.steps.is_some() || self.tokens.iter().any(|t| t.counts_words);
        if !fresh && !varies {
            return;
        }
        self.bound = Some((batch, time));
        let rows = RowCounts {
            batch,
            time,
            positions: self.steps.as_ref().map(PackedSequence::rows),
            tokens: &self.tokens,
        };
        let shape = |tensor: &mut Tensor<T>, extent: &Extent| {
            if fresh {
                tensor.reserve(extent.most(batch, time));
            }
            extent.bind(tensor, &rows);
        };
        for (tensor, extent) in self.values.iter_mut().zip(&self.extents.values) {
            extent.iter().for_each(|extent| shape(tensor, extent));
        }
        for (memory, extents) in self.nodes.iter_mut().zip(&self.extents.nodes) {
            let arrays = [&mut memory.saved, &mut memory.scratch, &mut memory.state];
            for (tensors, extents) in arrays.into_iter().zip(extents) {
                tensors.iter_mut().zip(extents).for_each(|(t, extent)| shape(t, extent));
            }
        }
    }

    /// Forgets what steps have carried: it is 0, and what grows with time is empty, for a batch of this size.
    pub(super) fn clear_states(&mut self, batch: usize) {
        for (memory, [_, _, extents]) in self.nodes.iter_mut().zip(&self.extents.nodes) {
            for (state, extent) in memory.state.iter_mut().zip(extents) {
                state.fill(T::zero());
                extent.empty(state, batch);
            }
        }
    }

    /// Says that arrays may have other shapes than those of the last batch.
    pub(super) fn unbind(&mut self) {
        self.bound = None;
    }

    /// Runs node `at` forward.
    pub(super) fn forward(
        &mut self,
        plan: &Plan,
        at: usize,
        parameters: &[Tensor<T>],
        packed: &[Panels<T>],
        (mode, seed): (Mode, u64),
    ) {
        let kernel = T::kernel(&*plan.nodes[at].operation);
        self.run(plan, at, parameters, packed, (mode, seed), |mut cx, _| kernel.forward(&mut cx));
    }

    /// Hands node `at` what it needs for a forward pass or a step, and its carried state.
    pub(super) fn run<R>(
        &mut self,
        plan: &Plan,
        at: usize,
        parameters: &[Tensor<T>],
        packed: &[Panels<T>],
        (mode, seed): (Mode, u64),
        kernel: impl FnOnce(Forward<'_, T>, &mut [Tensor<T>]) -> R,
    ) -> R {
        let node = &plan.nodes[at];
        // A node reads only values before its own, so one split separates what it reads from what it writes.
        let (before, rest) = self.values.split_at_mut(node.outputs.start);
        let memory = &mut self.nodes[at];
        let forward = Forward {
            inputs: Inputs { slots: &node.slots, values: before, tokens: &self.tokens },
            outputs: &mut rest[..node.outputs.len()],
            parameters: Parameters { ids: &node.parameters, table: parameters },
            packed: PackedWeights(packed),
            sequences: self.steps.as_ref(),
            saved: Arrays::new(&mut memory.saved),
            scratch: Arrays::new(&mut memory.scratch),
            mode,
            noise: noise(seed, mode, node.stream, places(self.steps.as_ref(), plan, node)),
        };
        kernel(forward, &mut memory.state)
    }
}

/// Whether a node goes through the different words of a token array in place of its positions.
fn counts_words(plan: &Plan, tokens: usize) -> bool {
    plan.nodes.iter().any(|node| node.words == Some(tokens))
}

/// The places of the rows of a node's output.
pub(super) fn places<'a>(
    steps: Option<&'a PackedSequence>,
    plan: &Plan,
    node: &NodePlan,
) -> Option<&'a [usize]> {
    let timed = plan.values[node.outputs.start].shape.has(Symbol::TIME);
    steps.map(|steps| if timed { steps.places() } else { steps.order() })
}

/// The random numbers of a node's stream in this step.
pub(super) fn noise<'a>(
    seed: u64,
    mode: Mode,
    node: u64,
    places: Option<&'a [usize]>,
) -> Noise<'a> {
    let iteration = match mode {
        Mode::Train { iteration } => iteration,
        Mode::Eval => 0,
    };
    Noise { seed, iteration, node, places, rows: None, spread: (1, 0) }
}
