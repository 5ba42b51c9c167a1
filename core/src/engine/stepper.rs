//! One time step after another: how a network writes a sentence.

use std::sync::Arc;

use super::feed::{FeedError, feed};
use super::memory::Memory;
use super::network::Engine;
use crate::batch::Batch;
use crate::context::{Mode, Slot, Step};
use crate::dim::Symbol;
use crate::graph::Plan;
use crate::scalar::Scalar;
use crate::shape::Sizes;
use crate::tensor::Tensor;

/// A graph that cannot run step by step, or a batch that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The graph has no value of this name.
    #[error("the graph has no output and no node `{0}` to sample from")]
    NoValue(String),
    /// A node folds time away, so its value at one step depends on steps to come.
    #[error(
        "node `{node}` reads values of every time step and computes one without time; sampling would need the future"
    )]
    NeedsFuture {
        /// The node.
        node: String,
    },
    /// The batch does not fit the graph's inputs.
    #[error(transparent)]
    Feed(#[from] FeedError),
}

/// Runs the part of a graph that one value depends on, a time step at a time.
///
/// Nodes without a time dimension run once, at [`start`](Self::start); the others at every [`step`](Self::step), with
/// whatever they carry from one to the next.
#[derive(Debug, Clone)]
pub struct Stepper<T> {
    plan: Arc<Plan>,
    sizes: Sizes,
    seed: u64,
    memory: Memory<T>,
    target: usize,
    once: Vec<usize>,
    every: Vec<usize>,
    /// For each input, whether the target depends on it.
    needed_inputs: Vec<bool>,
    rows: usize,
    first: bool,
}

impl<T: Scalar> Stepper<T> {
    /// A stepper for the value in the role `name`, or else for the value called so.
    ///
    /// # Errors
    /// When there is none, or when it cannot be computed step by step.
    pub fn new(engine: &Engine<T>, name: &str) -> Result<Self, StepError> {
        let plan = engine.plan().clone();
        let target = plan.output(name).or_else(|| plan.value(name));
        let target = target.ok_or_else(|| StepError::NoValue(name.to_owned()))?;
        let needed = plan.needed_for(target);
        let mut timed: Vec<bool> = plan.values.iter().map(|v| v.shape.has(Symbol::TIME)).collect();
        let (mut once, mut every) = (Vec::new(), Vec::new());
        for (at, node) in plan.nodes.iter().enumerate().filter(|(at, _)| needed[*at]) {
            let reads_time = node.slots.iter().any(|slot| match slot {
                Slot::Value(value) => timed[*value],
                Slot::Tokens(_) => {
                    plan.inputs.iter().any(|input| input.slot == *slot && input.has_time())
                }
                Slot::Absent => false,
            });
            let writes_time = node.outputs.clone().any(|value| timed[value]);
            if reads_time && !writes_time {
                return Err(StepError::NeedsFuture { node: node.name.clone() });
            }
            if writes_time {
                every.push(at)
            } else {
                once.push(at)
            }
            timed[node.outputs.clone()].fill(writes_time);
        }
        let needed_inputs = plan
            .inputs
            .iter()
            .map(|input| {
                let reads = |at: &usize| plan.nodes[*at].slots.contains(&input.slot);
                once.iter().chain(&every).any(reads)
            })
            .collect();
        Ok(Stepper {
            memory: Memory::new(&plan),
            sizes: engine.sizes().clone(),
            seed: engine.seed(),
            plan,
            target,
            once,
            every,
            needed_inputs,
            rows: 1,
            first: true,
        })
    }

    /// The inputs that each step must be fed, by name.
    pub fn step_inputs(&self) -> impl Iterator<Item = &str> {
        let needed = self.plan.inputs.iter().zip(&self.needed_inputs);
        needed.filter(|(input, needed)| **needed && input.has_time()).map(|(i, _)| i.name.as_str())
    }

    /// Begins `rows` sequences: feeds the inputs without time and runs what depends on them alone.
    ///
    /// # Errors
    /// When the batch does not fit the graph's inputs.
    pub fn start(
        &mut self,
        engine: &Engine<T>,
        batch: &Batch,
        rows: usize,
    ) -> Result<(), StepError> {
        let needed = &self.needed_inputs;
        feed(&mut self.memory, &self.plan, &self.sizes, batch, (rows, 1), |at, input| {
            needed[at] && !input.has_time()
        })?;
        for &at in &self.once {
            self.memory.forward(&self.plan, at, engine.parameters(), Mode::Eval, self.seed);
        }
        for node in &mut self.memory.nodes {
            node.state.iter_mut().for_each(|state| state.fill(T::zero()));
        }
        (self.rows, self.first) = (rows, true);
        Ok(())
    }

    /// Runs one step on inputs whose time dimension is 1, and returns the target's value, its time dimension 1 as well.
    ///
    /// # Errors
    /// When the batch does not fit the graph's inputs.
    pub fn step(&mut self, engine: &Engine<T>, batch: &Batch) -> Result<&Tensor<T>, StepError> {
        let needed = &self.needed_inputs;
        feed(&mut self.memory, &self.plan, &self.sizes, batch, (self.rows, 1), |at, input| {
            needed[at] && input.has_time()
        })?;
        let first = self.first;
        for &at in &self.every {
            let kernel = T::kernel(&*self.plan.nodes[at].layer);
            self.memory.run(
                &self.plan,
                at,
                engine.parameters(),
                Mode::Eval,
                self.seed,
                |forward, state| {
                    kernel.step(&mut Step { forward, state, first });
                },
            );
        }
        self.first = false;
        Ok(&self.memory.values[self.target])
    }
}
