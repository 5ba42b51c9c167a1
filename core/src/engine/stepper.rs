//! One time step after another: how a network writes a sentence.

use std::sync::Arc;

use super::branches::Branches;
use super::carried::Carried;
use super::feed::{FeedError, feed, fit_time};
use super::memory::Memory;
use super::network::Engine;
use super::packs::Packs;
use super::select::select;
use super::word_tables::WordTables;
use crate::array::batch::Batch;
use crate::array::dim::Symbol;
use crate::array::shape::{Shape, Sizes};
use crate::array::tensor::Tensor;
use crate::graph::{InputPlan, Plan, Purpose};
use crate::layer::context::{Mode, Slot, Step};
use crate::layer::memory::Arrays;
use crate::layer::signature::Dependence;
use crate::scalar::Scalar;

/// A graph that cannot run step by step, or a batch that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The graph has no value of this name.
    #[error("the graph has no output and no node `{0}` to sample from")]
    NoValue(String),
    /// A node reads every time step at once, so its value at one step depends on steps to come.
    #[error(
        "node `{node}` reads values of every time step at once; sampling, which has only those before, would need the future"
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
    packs: Packs<T>,
    memory: Memory<T>,
    /// The value that is asked for, and those that are computed along with it.
    targets: Vec<usize>,
    once: Vec<usize>,
    every: Vec<usize>,
    /// The arrays without time that steps read, and the target if it is one.
    kept: Vec<Kept>,
    spare: (Tensor<T>, Tensor<u32>),
    /// For each row the sequence that was begun and that it goes on from.
    origins: Vec<usize>,
    branches: Branches,
    tables: WordTables,
    /// How many steps were made.
    steps: usize,
}

impl<T: Scalar> Stepper<T> {
    /// A stepper for the value in the role `name`, or else for the value called so.
    ///
    /// # Errors
    /// When there is none, or when it cannot be computed step by step.
    pub fn new(engine: &Engine<T>, name: &str) -> Result<Self, StepError> {
        Self::with(engine, name, &[])
    }

    /// As [`new`](Self::new), for a value beside which others that have a time dimension are computed:
    /// [`latest`](Self::latest) has them after each step.
    ///
    /// # Errors
    /// As [`new`](Self::new), about any of them.
    pub fn with(engine: &Engine<T>, name: &str, also: &[&str]) -> Result<Self, StepError> {
        let written = engine.plan();
        let no_value = |name: &str| StepError::NoValue(name.to_owned());
        let mut roles = Vec::with_capacity(1 + also.len());
        for name in [name].iter().chain(also) {
            let target = written.output(name).or_else(|| written.value(name));
            roles.push(((*name).to_owned(), target.ok_or_else(|| no_value(name))?));
        }
        let plan = written.rewritten_for_all(roles.clone(), engine.passes(), Purpose::Steps);
        let mut targets = Vec::with_capacity(roles.len());
        for (name, _) in &roles {
            let target = plan.output(name).ok_or_else(|| no_value(name))?;
            if let Some(node) = plan.needs_future(target) {
                return Err(StepError::NeedsFuture { node: plan.nodes[node].name.clone() });
            }
            targets.push(target);
        }
        let mut timed: Vec<bool> = plan.values.iter().map(|v| v.shape.has(Symbol::TIME)).collect();
        let (mut once, mut every) = (Vec::new(), Vec::new());
        for (at, node) in plan.nodes.iter().enumerate() {
            let writes_time = node.outputs.clone().any(|value| timed[value]);
            if writes_time {
                every.push(at)
            } else {
                once.push(at)
            }
            timed[node.outputs.clone()].fill(writes_time);
        }
        Ok(Stepper {
            kept: kept(&plan, &every, &timed, targets[0]),
            spare: Default::default(),
            packs: Packs::new(&plan),
            tables: WordTables::new(&plan, engine.sizes()),
            memory: Memory::new(&plan, engine.sizes()),
            sizes: engine.sizes().clone(),
            seed: engine.seed(),
            plan: Arc::new(plan),
            targets,
            once,
            every,
            origins: vec![0],
            branches: Branches::default(),
            steps: 0,
        })
    }

    /// The plan that runs: the part of the network that the value depends on, rewritten by the engine's passes.
    pub fn program(&self) -> &Plan {
        &self.plan
    }

    /// The inputs that each step must be fed, by name.
    pub fn step_inputs(&self) -> impl Iterator<Item = &str> {
        let timed = self.plan.inputs.iter().filter(|input| input.has_time());
        timed.map(|input| input.name.as_str())
    }

    /// The inputs that the start of sequences must be fed, by name.
    pub fn start_inputs(&self) -> impl Iterator<Item = &str> {
        let fed = |input: &&InputPlan| !(input.has_time() || self.plan.is_carried(input));
        self.plan.inputs.iter().filter(fed).map(|input| input.name.as_str())
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
        let Stepper { memory, plan, sizes, packs, tables, .. } = self;
        let fed = |_, input: &InputPlan| !(input.has_time() || plan.is_carried(input));
        feed(memory, plan, sizes, batch, (rows, 1), fed)?;
        // What is carried from batch to batch is 0 where a sequence begins.
        Carried::default().feed(memory, plan);
        packs.renew(plan, engine.parameters(), engine.version());
        tables.renew(engine.version(), memory);
        for &at in &self.once {
            let (packed, mode) = (packs.of(at), (Mode::Eval, self.seed));
            memory.forward(plan, at, engine.parameters(), packed, mode);
        }
        self.memory.clear_states(rows);
        self.origins.clear();
        self.origins.extend(0..rows);
        self.branches.clear();
        self.steps = 0;
        Ok(())
    }

    /// How many sequences there are.
    pub fn rows(&self) -> usize {
        self.origins.len()
    }

    /// Goes on with the sequences `rows` alone, in this order, as if no other had been begun. A sequence that is named
    /// more than once goes on as often.
    ///
    /// # Panics
    /// When there is no such row, or none at all.
    pub fn select(&mut self, rows: &[usize]) {
        assert!(!rows.is_empty(), "at least one sequence goes on");
        let Stepper { memory, plan, spare: (spare, spare_tokens), branches, .. } = self;
        let before = self.origins.len();
        let origins: Vec<usize> = rows.iter().map(|row| self.origins[*row]).collect();
        // What is computed once is the same for all that go on from one sequence.
        if origins != self.origins {
            for Kept { slot, shape, .. } in self.kept.iter().filter(|k| self.steps == 0 || k.always)
            {
                match *slot {
                    Slot::Value(at) => select(&mut memory.values[at], shape, rows, spare),
                    Slot::Tokens(at) => {
                        select(&mut memory.tokens[at].all, shape, rows, spare_tokens);
                    }
                    _ => {}
                }
            }
        }
        let stems = branches.select(rows, before);
        for &at in &self.every {
            let rows = if plan.nodes[at].abilities.branches { stems } else { rows };
            let stays = rows.len() == before && rows.iter().copied().eq(0..before);
            let arrays = memory.nodes[at].state.iter_mut().zip(&plan.nodes[at].memory.state);
            arrays.filter(|_| !stays).for_each(|(state, shape)| select(state, shape, rows, spare));
        }
        memory.unbind();
        self.origins = origins;
    }

    /// Runs one step on inputs whose time dimension is 1, and returns the target's value, its time dimension 1 as well.
    ///
    /// # Errors
    /// When the batch does not fit the graph's inputs.
    pub fn step(&mut self, engine: &Engine<T>, batch: &Batch) -> Result<&Tensor<T>, StepError> {
        let rows = self.rows();
        let Stepper { memory, plan, sizes, packs, branches, tables, steps, .. } = self;
        let (at, first) = (*steps, *steps == 0);
        fit_time(plan, at + 1)?;
        tables.before_step(memory);
        feed(memory, plan, sizes, batch, (rows, 1), |_, input| input.has_time())?;
        let stems = branches.stems().filter(|_| !first);
        for &node in self.every.iter().filter(|node| !tables.has(&plan.nodes[**node])) {
            let kernel = T::kernel(&*plan.nodes[node].operation);
            let (packed, mode) = (packs.of(node), (Mode::Eval, self.seed));
            memory.run(plan, node, engine.parameters(), packed, mode, |forward, state| {
                let from = stems.filter(|_| plan.nodes[node].abilities.branches);
                let state = Arrays::new(state);
                kernel.step(&mut Step { forward, state, from, at, first });
            });
        }
        branches.clear();
        tables.after_step(memory);
        self.steps += 1;
        Ok(self.latest(0))
    }

    /// What the latest step came to: at 0 the value that [`step`](Self::step) returns, from 1 on those beside it.
    ///
    /// # Panics
    /// When there is none at that place.
    pub fn latest(&self, at: usize) -> &Tensor<T> {
        &self.memory.values[self.targets[at]]
    }
}

/// An array without time that steps read.
#[derive(Debug, Clone)]
struct Kept {
    slot: Slot,
    shape: Shape,
    /// Whether also those after the first.
    always: bool,
}

/// The arrays without time that nodes of every step read, and the target if it is one.
fn kept(plan: &Plan, every: &[usize], timed: &[bool], target: usize) -> Vec<Kept> {
    let nodes = || every.iter().map(|at| &plan.nodes[*at]);
    let read = |slot| nodes().any(|node| node.slots.contains(&slot));
    let always = |slot| {
        let mut ports = nodes().flat_map(|node| {
            let read = node.slots.iter().enumerate().filter(move |(_, read)| **read == slot);
            read.map(|(port, _)| node.facts.of(port) != Dependence::StartOnly)
        });
        slot == Slot::Value(target) || ports.any(|later| later)
    };
    let values = (0..timed.len()).filter(|at| !timed[*at]);
    let values = values.filter(|at| read(Slot::Value(*at)) || *at == target);
    let tokens = plan.inputs.iter().filter(|input| input.is_tokens() && !input.has_time());
    let tokens = tokens.filter(|input| read(input.slot)).map(|input| (input.slot, &input.shape));
    let values = values.map(|at| (Slot::Value(at), &plan.values[at].shape));
    let kept =
        |(slot, shape): (Slot, &Shape)| Kept { slot, shape: shape.clone(), always: always(slot) };
    values.chain(tokens).map(kept).collect()
}
