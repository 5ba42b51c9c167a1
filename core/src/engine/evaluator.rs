//! Some values of a graph, without a way back.

use std::sync::Arc;

use super::carried::Carried;
use super::extent::RowCounts;
use super::feed::{FeedError, feed};
use super::memory::{Extents, Memory};
use super::network::{BuildError, Engine, bound};
use super::packs::Packs;
use super::profile::{Profile, measured};
use super::rooms::Rooms;
use crate::array::batch::Batch;
use crate::array::shape::Sizes;
use crate::array::tensor::Tensor;
use crate::graph::{Fold, Parameter, Passes, Plan, Purpose};
use crate::layer::context::{Mode, Slot};
use crate::scalar::Scalar;
use engine_kernels::panels::Packing;
use engine_kernels::panels::Panels;

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
    /// `read` is handed parameters that are needed, and fills a slice with the numbers of one from a place on: whole rows,
    /// those of its last dimension. So no parameter is in memory twice, however its numbers are arranged there.
    ///
    /// # Errors
    /// When no value has one of the roles, when a size is not bound or the parameters are too many to be meant, and when
    /// `read` fails.
    pub fn new<E: From<BuildError>>(
        plan: &Plan,
        sizes: &Sizes,
        roles: &[&str],
        passes: &Passes,
        mut read: impl FnMut(&Parameter, usize, &mut [T]) -> Result<(), E>,
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
        let mut parameters: Vec<Tensor<T>> = shapes.iter().map(|_| Tensor::default()).collect();
        let whole = whole(&program);
        for at in (0..whole.len()).filter(|at| whole[*at]) {
            parameters[at].reshape(&shapes[at]);
            if at < plan.parameters.len() {
                read(&program.parameters[at], 0, parameters[at].as_mut_slice())?;
            }
        }
        fold(&program, &mut parameters);
        let packs = Packs::fixed(&program, VERSION, |node, packing, panels| {
            let id = node.parameters[packing.parameter];
            if parameters[id].shape() == shapes[id] {
                panels.pack(parameters[id].rows(), packing);
                return Ok(());
            }
            read_packed(&shapes[id], packing, panels, |first, rows| {
                read(&program.parameters[id], first, rows)
            })
        })?;
        drop_unused(&program, &mut parameters);
        let extents = Extents::new(&program, &sizes);
        let rooms = Rooms::new(&program, &extents);
        let memory = Memory::of_inputs(&program, &sizes);
        for (node, rooms) in program.nodes.iter_mut().zip(&rooms.nodes) {
            if let Some(over) = rooms.over.filter(|_| !node.is_view()) {
                node.slots[over.port] = Slot::Output;
            }
        }
        let mut results: Vec<usize> = program.outputs.iter().map(|(_, value)| *value).collect();
        results.sort_unstable();
        results.dedup();
        results.retain(|value| rooms.values[*value].is_some());
        Ok(Evaluator {
            packs,
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
        let plan = engine.plan();
        Self::new(plan, engine.sizes(), roles, passes, |wanted, first, to| {
            let at = plan.parameter(&wanted.name).expect("it is one of the plan's");
            to.copy_from_slice(&engine.parameters()[at].as_slice()[first..][..to.len()]);
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
        let rows = RowCounts { batch, time, positions: None, tokens: &memory.tokens };
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
        if home.over.is_none() || !node.is_view() {
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

/// Which state of the parameters this is: they never change.
const VERSION: u64 = 0;

/// Numbers that are brought into the order of kernels at once.
const PACKED_AT_ONCE: usize = 1 << 22;

/// Reads a matrix into panels, some rows at a time.
fn read_packed<T: Scalar, E>(
    shape: &[usize],
    packing: Packing,
    panels: &mut Panels<T>,
    mut read: impl FnMut(usize, &mut [T]) -> Result<(), E>,
) -> Result<(), E> {
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let rows = shape.iter().product::<usize>() / columns;
    let most = (PACKED_AT_ONCE / columns).clamp(1, rows.max(1));
    let mut block = vec![T::zero(); most * columns];
    panels.make_room(rows, columns, packing.gates);
    for first in (0..rows).step_by(most) {
        let block = &mut block[..most.min(rows - first) * columns];
        read(first * columns, block)?;
        panels.put_rows(first, block, columns, packing.gates);
    }
    Ok(())
}

/// The parameters that kernels read as they are, and those that are changed or transposed before kernels read them.
fn whole(plan: &Plan) -> Vec<bool> {
    let mut whole = vec![false; plan.parameters.len()];
    as_they_are(plan).for_each(|id| whole[id] = true);
    for node in &plan.nodes {
        let transposed = node.memory.packings.iter().filter(|packing| packing.transposed);
        transposed.for_each(|packing| whole[node.parameters[packing.parameter]] = true);
    }
    for Fold { weights, bias, from, .. } in &plan.folds {
        from.iter().chain(bias).chain([weights]).for_each(|id| whole[*id] = true);
    }
    whole
}

/// The parameters that kernels read as they are.
fn as_they_are(plan: &Plan) -> impl Iterator<Item = usize> {
    plan.nodes.iter().flat_map(|node| {
        let stored = node.parameters.iter().zip(&node.memory.stored);
        stored.filter(|(_, stored)| **stored).map(|(id, _)| *id)
    })
}

/// Gives up parameters that no kernel reads as they are.
fn drop_unused<T: Scalar>(plan: &Plan, parameters: &mut [Tensor<T>]) {
    let mut used = vec![false; parameters.len()];
    as_they_are(plan).for_each(|id| used[id] = true);
    let unused = parameters.iter_mut().zip(used).filter(|(_, used)| !used);
    unused.for_each(|(parameter, _)| *parameter = Tensor::default());
}

/// Scales weights in their place by what nodes after them do to channels.
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
}
