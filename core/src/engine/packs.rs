//! Parameters in the order in which kernels read them.

use crate::array::tensor::Tensor;
use crate::graph::{NodePlan, Plan};
use crate::scalar::Scalar;
use engine_kernels::panels::Packing;
use engine_kernels::panels::Panels;

/// For each node of a plan the parameters that it asks for in panels, and which state of the parameters they show.
#[derive(Debug, Clone)]
pub(super) struct Packs<T> {
    nodes: Vec<Vec<Panels<T>>>,
    version: Option<u64>,
}

impl<T: Scalar> Packs<T> {
    /// Panels that take no memory yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let empty = |count: usize| (0..count).map(|_| Panels::default()).collect();
        let nodes = plan.nodes.iter().map(|node| empty(node.memory.packings.len())).collect();
        Packs { nodes, version: None }
    }

    /// Panels that `pack` fills, once and for all: it is handed a node, what the node asks for, and the panels.
    pub(super) fn fixed<E>(
        plan: &Plan,
        version: u64,
        mut pack: impl FnMut(&NodePlan, Packing, &mut Panels<T>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut packs = Packs::new(plan);
        packs.version = Some(version);
        for (panels, node) in packs.nodes.iter_mut().zip(&plan.nodes) {
            for (panels, packing) in panels.iter_mut().zip(&node.memory.packings) {
                pack(node, *packing, panels)?;
            }
        }
        Ok(packs)
    }

    /// Brings the panels up to date with the parameters' version. Returns whether they were not.
    pub(super) fn renew(&mut self, plan: &Plan, parameters: &[Tensor<T>], version: u64) -> bool {
        if self.version == Some(version) {
            return false;
        }
        self.version = Some(version);
        for (panels, node) in self.nodes.iter_mut().zip(&plan.nodes) {
            for (panels, packing) in panels.iter_mut().zip(&node.memory.packings) {
                let parameter = &parameters[node.parameters[packing.parameter]];
                panels.pack(parameter.rows(), *packing);
            }
        }
        true
    }

    /// The panels of one node.
    pub(super) fn of(&self, node: usize) -> &[Panels<T>] {
        &self.nodes[node]
    }
}
