//! Some values of a graph, without a way back.

use std::sync::Arc;

use super::carried::Carried;
use super::feed::{FeedError, feed};
use super::memory::{Extents, Memory, Rows};
use super::network::{BuildError, Engine, bound};
use super::packs::Packs;
use super::profile::{Profile, measured};
use super::rooms::Rooms;
use crate::batch::Batch;
use crate::context::{Mode, Slot};
use crate::graph::{Fold, Parameter, Passes, Plan, Purpose};
use crate::scalar::Scalar;
use crate::shape::Sizes;
use crate::tensor::Tensor;

/// Runs the part of a graph that some values depend on, forward, with noise off.
///
/// It has no gradients and draws no parameters, and arrays that are not needed at the same time share memory. What the
/// graph carries from batch to batch is 0.
#[derive(Debug, Clone)]
pub struct Evaluator<T> {
    program: Arc<Plan>,
    sizes: Sizes,
    parameters: Vec<Tensor<T>>,
    packs: Packs<T>,
    /// Inputs, and whatever is lent to other arrays while they are needed.
    memory: Memory<T>,
    extents: Extents,
    rooms: Rooms,
    /// The memory of each room, while nobody lives there.
    lent: Vec<Tensor<T>>,
    /// The batch and time that rooms are large enough for.
    bound: Option<(usize, usize)>,
    /// The values that were asked for, as far as nodes write them, and whether they are where callers look.
    results: Vec<usize>,
    answered: bool,
    profile: Option<Profile>,
}

impl<T: Scalar> Evaluator<T> {
    /// An evaluator for the values in these roles. `sizes` binds every symbol but `Batch` and `Time`.
    ///
    /// `read` is handed each parameter that is needed, and an array of its shape to fill, one after the other.
    ///
    /// # Errors
    /// When no value has one of the roles, when a size is not bound or the parameters are too many to be meant, and when
    /// `read` fails.
    pub fn new<E: From<BuildError>>(
        plan: &Plan,
        sizes: &Sizes,
        roles: &[&str],
        passes: &Passes,
        mut read: impl FnMut(&Parameter, &mut Tensor<T>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let asked = roles.iter().map(|role| match plan.output(role) {
            Some(value) => Ok(((*role).to_owned(), value)),
            None => Err(BuildError::NoRole {
                role: (*role).to_owned(),
                roles: plan.outputs.iter().map(|(role, _)| role.clone()).collect(),
            }),
        });
        let asked = asked.collect::<Result<Vec<_>, _>>()?;
        bound(plan, sizes)?;
        let mut program = plan.rewritten_for_all(asked, passes, Purpose::Evaluation);
        let (sizes, shapes) = bound(&program, sizes)?;
        let needed = needed(&program);
        let mut parameters = Vec::with_capacity(shapes.len());
        for (parameter, shape) in program.parameters.iter().zip(&shapes) {
            let at = parameters.len();
            let mut array = Tensor::default();
            if needed[at] {
                array.reshape(shape);
            }
            if needed[at] && at < plan.parameters.len() {
                read(parameter, &mut array)?;
            }
            parameters.push(array);
        }
        fold(&program, &mut parameters);
        let extents = Extents::new(&program, &sizes);
        let rooms = Rooms::new(&program, &extents);
        let memory = Memory::of_inputs(&program, &sizes);
        for (node, rooms) in program.nodes.iter_mut().zip(&rooms.nodes) {
            if let Some(over) = rooms.over.filter(|_| !node.hints.view) {
                node.slots[over.port] = Slot::Output;
            }
        }
        let mut results: Vec<usize> = program.outputs.iter().map(|(_, value)| *value).collect();
        results.sort_unstable();
        results.dedup();
        results.retain(|value| rooms.values[*value].is_some());
        Ok(Evaluator {
            packs: Packs::new(&program),
            program: Arc::new(program),
            sizes,
            parameters,
            memory,
            extents,
            lent: Vec::new(),
            rooms,
            bound: None,
            results,
            answered: false,
            profile: None,
        })
    }

    /// An evaluator with the parameters of a network.
    ///
    /// # Errors
    /// When no value has one of the roles.
    pub fn of(engine: &Engine<T>, roles: &[&str], passes: &Passes) -> Result<Self, BuildError> {
        let mut arrays = engine.plan().parameters.iter().zip(engine.parameters());
        Self::new(engine.plan(), engine.sizes(), roles, passes, |wanted, to| {
            let found = arrays.find(|(parameter, _)| parameter.name == wanted.name);
            let (_, from) = found.expect("they are handed out in the plan's order");
            to.as_mut_slice().copy_from_slice(from.as_slice());
            Ok(())
        })
    }

    /// The plan that runs.
    pub fn program(&self) -> &Plan {
        &self.program
    }

    /// What every symbol but the batch and the time stands for.
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// How many elements its arrays have room for, parameters and inputs not counted.
    pub fn room(&self) -> usize {
        let (batch, time) = self.bound.unwrap_or_default();
        self.rooms.sizes(batch, time).sum()
    }

    /// Begins to measure what each node takes, or begins anew.
    pub fn begin_profile(&mut self) {
        self.profile = Some(Profile::new(&self.program));
    }

    /// What has been taken since [`begin_profile`](Self::begin_profile).
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
    }

    /// Computes the values from a batch.
    ///
    /// # Errors
    /// When the batch does not fit the graph's inputs.
    pub fn run(&mut self, batch: &Batch) -> Result<(), FeedError> {
        self.take_back();
        let Evaluator { program, sizes, memory, profile, .. } = self;
        measured(
            profile,
            |profile| &mut profile.feed,
            || {
                feed(memory, program, sizes, batch, (1, 1), |_, input| !program.is_carried(input))?;
                Carried::default().feed(memory, program);
                Ok(())
            },
        )?;
        self.furnish();
        let Evaluator { program, packs, parameters, profile, .. } = self;
        measured(
            profile,
            |profile| &mut profile.pack,
            // Parameters never change.
            || packs.renew(program, parameters, 0),
        );
        let mut profile = self.profile.take();
        for at in 0..self.program.nodes.len() {
            measured(&mut profile, |profile| &mut profile.nodes[at].forward, || self.compute(at));
        }
        self.profile = profile;
        self.answered = true;
        Ok(())
    }

    /// The value in a role, as the last run left it.
    pub fn output(&self, role: &str) -> Option<&Tensor<T>> {
        Some(&self.memory.values[self.program.output(role)?])
    }

    /// Makes rooms large enough for the batch.
    fn furnish(&mut self) {
        let bound = self.memory.bound().unwrap_or((1, 1));
        if self.bound == Some(bound) {
            return;
        }
        self.bound = Some(bound);
        self.lent.resize_with(self.rooms.count(), Tensor::default);
        for (array, size) in self.lent.iter_mut().zip(self.rooms.sizes(bound.0, bound.1)) {
            if array.capacity() < size {
                // The old memory goes before the new comes.
                *array = Tensor::default();
                array.reserve(size);
            }
        }
    }

    /// Runs one node in memory that it is lent.
    fn compute(&mut self, at: usize) {
        let Evaluator { program, memory, extents, rooms, lent, .. } = self;
        let (node, home) = (&program.nodes[at], &rooms.nodes[at]);
        let (batch, time) = memory.bound().unwrap_or((1, 1));
        let rows = Rows { batch, time, positions: None, tokens: &memory.tokens };
        for value in node.outputs.clone() {
            match home.over {
                Some(over) => memory.values.swap(over.value, value),
                None => rooms.move_value(value, &mut memory.values, lent),
            }
            let extent = extents.values[value].as_ref().expect("a node writes it");
            extent.occupy(&mut memory.values[value], &rows);
        }
        let own = &mut memory.nodes[at];
        let [saved, scratch, _] = &extents.nodes[at];
        home.move_own(own, lent);
        let arrays = own.saved.iter_mut().zip(saved).chain(own.scratch.iter_mut().zip(scratch));
        arrays.for_each(|(array, extent)| extent.occupy(array, &rows));
        // A view is what was moved.
        if home.over.is_none() || !node.hints.view {
            memory.forward(program, at, &self.parameters, self.packs.of(at), (Mode::Eval, 0));
        }
        home.move_own(&mut memory.nodes[at], lent);
        for value in &home.last {
            rooms.move_value(*value, &mut memory.values, lent);
        }
    }

    /// Takes the memory of the last run's results back.
    fn take_back(&mut self) {
        if std::mem::take(&mut self.answered) {
            for value in &self.results {
                self.rooms.move_value(*value, &mut self.memory.values, &mut self.lent);
            }
        }
    }
}

/// The parameters that nodes use, or that what nodes use is made of.
fn needed(plan: &Plan) -> Vec<bool> {
    let mut needed = vec![false; plan.parameters.len()];
    let used = plan.nodes.iter().flat_map(|node| &node.parameters);
    let folded = plan.folds.iter().flat_map(|fold| fold.from.iter().chain(&fold.bias));
    used.chain(folded).for_each(|id| needed[*id] = true);
    needed
}

/// Scales weights in their place by what nodes after them do to channels, whose parameters are gone then.
fn fold<T: Scalar>(plan: &Plan, parameters: &mut [Tensor<T>]) {
    for Fold { weights, bias, folded, map, from } in &plan.folds {
        let numbers = |id: &usize| parameters[*id].as_slice().iter().map(|x| x.f64()).collect();
        let (scale, shift) = map.scale_and_shift(&from.iter().map(numbers).collect::<Vec<_>>());
        for (i, (scale, shift)) in scale.iter().zip(&shift).enumerate() {
            let before = bias.map_or(0.0, |bias| parameters[bias].as_slice()[i].f64());
            parameters[*folded].as_mut_slice()[i] = T::of(before * scale + shift);
        }
        let rows = parameters[*weights].as_slice().len() / scale.len().max(1);
        let weights = parameters[*weights].as_mut_slice().chunks_exact_mut(rows.max(1));
        for (row, scale) in weights.zip(&scale) {
            row.iter_mut().for_each(|w| *w = T::of(w.f64() * scale));
        }
    }
    let mut used = vec![false; parameters.len()];
    plan.nodes.iter().flat_map(|node| &node.parameters).for_each(|id| used[*id] = true);
    let unused = parameters.iter_mut().zip(used).filter(|(_, used)| !used);
    unused.for_each(|(parameter, _)| *parameter = Tensor::default());
}
