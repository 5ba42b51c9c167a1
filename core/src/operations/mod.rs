//! What nodes of a plan compute beside layers: a network that runs once for each step, and chains of functions.

pub(crate) mod chain;
pub(crate) mod scan;
