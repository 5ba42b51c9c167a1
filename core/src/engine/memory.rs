//! The arrays of a running plan, and the one way a node is run over them.

use crate::context::{Forward, Inputs, Mode, Noise, Parameters};
use crate::dim::Symbol;
use crate::graph::Plan;
use crate::scalar::Scalar;
use crate::shape::{Shape, Sizes};
use crate::tensor::Tensor;

/// Every array that a forward pass reads and writes, but for the parameters.
#[derive(Debug, Clone)]
pub(super) struct Memory<T> {
    pub(super) values: Vec<Tensor<T>>,
    pub(super) tokens: Vec<Tensor<u32>>,
    pub(super) nodes: Vec<NodeMemory<T>>,
    /// The batch and time that the arrays have now.
    bound: Option<(usize, usize)>,
}

/// The arrays of one node.
#[derive(Debug, Clone, Default)]
pub(super) struct NodeMemory<T> {
    pub(super) saved: Vec<Tensor<T>>,
    pub(super) scratch: Vec<Tensor<T>>,
    pub(super) state: Vec<Tensor<T>>,
}

impl<T: Scalar> Memory<T> {
    /// Arrays that take no memory yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let empty = |shapes: &[Shape]| shapes.iter().map(|_| Tensor::default()).collect();
        Memory {
            values: plan.values.iter().map(|_| Tensor::default()).collect(),
            tokens: plan
                .inputs
                .iter()
                .filter(|i| i.is_tokens())
                .map(|_| Tensor::default())
                .collect(),
            nodes: plan
                .nodes
                .iter()
                .map(|node| NodeMemory {
                    saved: empty(&node.saved),
                    scratch: empty(&node.scratch),
                    state: empty(&node.state),
                })
                .collect(),
            bound: None,
        }
    }

    /// Gives every array the shape that it has for this batch and time. Memory is kept, so only a larger batch than ever
    /// before allocates.
    pub(super) fn bind(&mut self, plan: &Plan, sizes: &Sizes, batch: usize, time: usize) {
        if self.bound == Some((batch, time)) {
            return;
        }
        self.bound = Some((batch, time));
        let sizes = sizes.clone().with(Symbol::BATCH, batch).with(Symbol::TIME, time);
        let shape = |tensor: &mut Tensor<T>, shape: &Shape| {
            tensor.reshape(
                &shape.resolve(&sizes).expect("every size is bound when an engine is made"),
            );
        };
        let all = |tensors: &mut [Tensor<T>], shapes: &[Shape]| {
            tensors.iter_mut().zip(shapes).for_each(|(t, s)| shape(t, s));
        };
        self.values.iter_mut().zip(&plan.values).for_each(|(t, value)| shape(t, &value.shape));
        for (memory, node) in self.nodes.iter_mut().zip(&plan.nodes) {
            all(&mut memory.saved, &node.saved);
            all(&mut memory.scratch, &node.scratch);
            all(&mut memory.state, &node.state);
        }
    }

    /// Runs node `at` forward.
    pub(super) fn forward(
        &mut self,
        plan: &Plan,
        at: usize,
        parameters: &[Tensor<T>],
        mode: Mode,
        seed: u64,
    ) {
        let kernel = T::kernel(&*plan.nodes[at].layer);
        self.run(plan, at, parameters, mode, seed, |mut cx, _| kernel.forward(&mut cx));
    }

    /// Hands node `at` what it needs for a forward pass or a step, and its carried state.
    pub(super) fn run<R>(
        &mut self,
        plan: &Plan,
        at: usize,
        parameters: &[Tensor<T>],
        mode: Mode,
        seed: u64,
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
            saved: &mut memory.saved,
            scratch: &mut memory.scratch,
            mode,
            noise: noise(seed, mode, at),
        };
        kernel(forward, &mut memory.state)
    }
}

/// The random numbers of node `at` in this step.
pub(super) fn noise(seed: u64, mode: Mode, at: usize) -> Noise {
    let iteration = match mode {
        Mode::Train { iteration } => iteration,
        Mode::Eval => 0,
    };
    Noise { seed, iteration, node: at as u64 }
}
