//! What inputs hold that data does not feed: values of the batch before.

use super::memory::Memory;
use crate::array::tensor::Tensor;
use crate::graph::Plan;
use crate::scalar::Scalar;

/// What a network carries from one batch to the next, as its section `carry` says: an array `[Batch, ..]` for each entry,
/// its rows in the order of the batch; or nothing, before the first batch.
#[derive(Debug, Clone, Default)]
pub struct Carried<T> {
    /// In the order of the plan's carries.
    pub(super) arrays: Vec<Tensor<T>>,
    /// Whether the arrays hold the values of a batch.
    pub(super) begun: bool,
}

impl<T: Scalar> Carried<T> {
    /// Writes the inputs that are carried: 0 where nothing is, or where the batch has another number of rows.
    pub(super) fn feed(&self, memory: &mut Memory<T>, plan: &Plan) {
        for (at, carry) in plan.carries.iter().enumerate() {
            let to = &mut memory.values[carry.input];
            let Some(from) = self.arrays.get(at).filter(|a| self.begun && a.shape() == to.shape())
            else {
                to.fill(T::zero());
                continue;
            };
            let order = memory.steps.as_ref().map(|steps| steps.order());
            let length = row_length(to);
            let rows = to.as_mut_slice().chunks_exact_mut(length).enumerate();
            for (row, to) in rows {
                let row = order.map_or(row, |order| order[row]);
                to.copy_from_slice(&from.as_slice()[row * length..][..length]);
            }
        }
    }

    /// Takes on the values of the batch that has just been computed.
    pub(super) fn keep(&mut self, memory: &Memory<T>, plan: &Plan) {
        self.arrays.resize_with(plan.carries.len(), Tensor::default);
        for (to, carry) in self.arrays.iter_mut().zip(&plan.carries) {
            let from = &memory.values[carry.value];
            to.reshape(from.shape());
            let order = memory.steps.as_ref().map(|steps| steps.order());
            let length = row_length(from);
            for (row, from) in from.as_slice().chunks_exact(length).enumerate() {
                let row = order.map_or(row, |order| order[row]);
                to.as_mut_slice()[row * length..][..length].copy_from_slice(from);
            }
        }
        self.begun = true;
    }
}

/// The elements of one sequence; at least 1, as a batch has at least one row.
fn row_length<T: Scalar>(array: &Tensor<T>) -> usize {
    array.shape().get(1..).unwrap_or_default().iter().product::<usize>().max(1)
}
