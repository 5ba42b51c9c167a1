//! What a graph is for: its results, and what none of them depends on.

use super::check::Checker;
use super::fault::Fault;
use super::layout::CarryWire;
use super::layout::Planned;
use super::suggest::did_you_mean;
use super::wiring::{Wire, find, needed, output_index, output_names};

impl Checker<'_> {
    /// The node and output behind each role.
    pub(super) fn outputs(&mut self, planned: &[Option<Planned>]) -> Vec<(String, usize, usize)> {
        let mut found = Vec::new();
        for output in &self.graph.outputs {
            match find(self.graph, &output.value) {
                Some(Wire::Node(node)) => {
                    let Some(plan) = &planned[node] else { continue };
                    let Some(at) = output_index(&output.value, &plan.signature.outputs) else {
                        let message = format!("there is no output `{}`", output.value);
                        let owner = &self.graph.nodes[node].name.value;
                        let names = output_names(owner, &plan.signature.outputs);
                        let names = names.iter().map(String::as_str);
                        self.error(&output.span, message, did_you_mean(&output.value, names));
                        continue;
                    };
                    let shape = &plan.signature.outputs[at].1;
                    if output.role == "loss" && shape.rank() > 0 {
                        let message = format!(
                            "the loss is a single number of shape [], found {shape} from `{}`",
                            output.value
                        );
                        let span = self.graph.nodes[node].name.span.clone();
                        self.error(
                            &span,
                            message,
                            "end the graph with a loss such as SoftmaxLoss()",
                        );
                        continue;
                    }
                    found.push((output.role.clone(), node, at));
                }
                _ if output.span.is_empty() => {
                    let nodes = self.graph.nodes.iter().map(|node| node.name.value.as_str());
                    let help = format!(
                        "call the node that computes it `loss`, or say outputs: {{\"loss\": \"its name\"}}; {}",
                        did_you_mean(&output.value, nodes)
                    );
                    self.faults.push(Fault::error("the graph has no node `loss`").help(help));
                }
                _ => {
                    let nodes = self.graph.nodes.iter().map(|node| node.name.value.as_str());
                    let message = format!(
                        "output `{}` names `{}`, which is no node",
                        output.role, output.value
                    );
                    let help = did_you_mean(&output.value, nodes);
                    self.error(&output.span, message, help);
                }
            }
        }
        found
    }

    /// Warns of what influences no result. Users of unused nodes are named only once: the last of a chain.
    pub(super) fn unused(
        &mut self,
        outputs: &[(String, usize, usize)],
        carried: &[CarryWire],
        wires: &[Vec<Wire>],
    ) {
        if self.failed() {
            return;
        }
        let results = outputs.iter().map(|(_, node, _)| *node);
        let results = results.chain(carried.iter().map(|carried| carried.node));
        let needed = needed(self.graph.nodes.len(), results, wires);
        let mut read = vec![false; self.graph.inputs.len()];
        for (node, wires) in wires.iter().enumerate() {
            for wire in wires {
                if let Wire::Input(input) = wire {
                    read[*input] |= needed[node];
                }
            }
            if !needed[node] {
                let name = &self.graph.nodes[node].name;
                let message = format!("node `{}` is not used: no result depends on it", name.value);
                let help = "remove it, wire it to a node that counts, or name it under `outputs`";
                self.faults.push(Fault::warning(message).at(name.span.clone()).help(help));
            }
        }
        for (input, read) in self.graph.inputs.iter().zip(read) {
            if !read {
                let message =
                    format!("input `{}` is not used: no result depends on it", input.name);
                self.faults.push(Fault::warning(message).at(input.span.clone()));
            }
        }
    }
}
