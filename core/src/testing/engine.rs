//! A graph from its text to a running engine.

use std::sync::Arc;

use crate::array::shape::Sizes;
use crate::engine::Engine;
use crate::graph::{Document, Fault, Graph, Severity};
use crate::scalar::Scalar;

/// An engine for the sections of a graph file that describe a network. Parameters are drawn from seed 0, and gradients
/// of inputs are computed as well.
///
/// # Errors
/// The faults in words, when the graph is refused.
pub fn engine<T: Scalar>(text: &str, sizes: Sizes) -> Result<Engine<T>, String> {
    let document = Document::new("graph", text);
    let words = |faults: &[Fault]| {
        let errors = faults.iter().filter(|fault| fault.severity == Severity::Error);
        errors.map(|fault| fault.display(&document).to_string()).collect::<Vec<_>>().join("\n")
    };
    let (graph, faults) = Graph::read(&document, &[]);
    let graph = graph.filter(|_| faults.is_empty()).ok_or_else(|| words(&faults))?;
    let checked = graph.check(&sizes, None);
    let plan = checked.plan.ok_or_else(|| words(&checked.faults))?;
    Engine::with_input_gradients(Arc::new(plan), sizes, 0, true).map_err(|error| error.to_string())
}
