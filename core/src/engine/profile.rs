//! Where the time of training steps goes.

use std::time::{Duration, Instant};

use crate::graph::Plan;
use engine_kernels::flops;

/// Time and operations of some work, added up over all steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Wall-clock time.
    pub time: Duration,
    /// Floating-point operations of matrix products.
    pub operations: u64,
}

/// What one node of the plan that runs took.
#[derive(Debug, Clone, Default)]
pub struct NodeProfile {
    /// The node's name.
    pub name: String,
    /// The layer that the graph file names.
    pub layer: String,
    /// Its forward passes.
    pub forward: Work,
    /// Its backward passes.
    pub backward: Work,
}

/// What forward and backward passes took since the profile began.
#[derive(Debug, Clone, Default)]
pub struct Profile {
    /// Copying batches into the graph's inputs, in the order that the plan wants.
    pub feed: Work,
    /// Bringing parameters into the order of kernels.
    pub pack: Work,
    /// Each node, in the order of computation.
    pub nodes: Vec<NodeProfile>,
}

impl Profile {
    pub(super) fn new(plan: &Plan) -> Self {
        let nodes = plan.nodes.iter().map(|node| NodeProfile {
            name: node.name.clone(),
            layer: node.tag().to_owned(),
            ..NodeProfile::default()
        });
        Profile { nodes: nodes.collect(), ..Profile::default() }
    }

    /// All operations of all nodes.
    pub fn operations(&self) -> u64 {
        self.nodes.iter().map(|node| node.forward.operations + node.backward.operations).sum()
    }
}

/// Adds what `work` takes to the entry that `entry` finds, if there is a profile.
pub(super) fn measured<R>(
    profile: &mut Option<Profile>,
    entry: impl FnOnce(&mut Profile) -> &mut Work,
    work: impl FnOnce() -> R,
) -> R {
    let Some(profile) = profile else { return work() };
    let (begun, before) = (Instant::now(), flops::counted());
    let result = work();
    let entry = entry(profile);
    entry.time += begun.elapsed();
    entry.operations += flops::counted() - before;
    result
}
