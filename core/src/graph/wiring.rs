//! Names become wires: who reads whom, in which order nodes can be computed, and what is wrong with either.

use std::borrow::Cow;
use std::ops::Range;

use super::fault::Fault;
use super::spec::{Graph, Located, Node};
use super::suggest::did_you_mean;
use crate::array::shape::Shape;

/// What a name in `from` refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Input(usize),
    Node(usize),
    Unknown,
}

/// Who reads whom.
pub(super) struct Wiring {
    /// For each node, what each of its inputs refers to.
    pub(super) wires: Vec<Vec<Wire>>,
    /// The nodes in an order in which each comes after what it reads.
    pub(super) order: Vec<usize>,
}

impl Wiring {
    /// Wires a graph; `None` for one whose nodes form a cycle.
    pub(super) fn of(graph: &Graph, faults: &mut Vec<Fault>) -> Option<Self> {
        let mut wirer = Wirer { graph, faults };
        wirer.names();
        let wires = wirer.wires();
        let order = wirer.order(&wires)?;
        Some(Wiring { wires, order })
    }
}

/// `input`, `node` or `node.output`. Which output a node has is only known once it is planned.
pub(super) fn find(graph: &Graph, name: &str) -> Option<Wire> {
    if let Some(at) = graph.inputs.iter().position(|input| input.name == name) {
        return Some(Wire::Input(at));
    }
    let node = name.split_once('.').map_or(name, |(node, _)| node);
    graph.nodes.iter().position(|known| known.name.value == node).map(Wire::Node)
}

/// All names that can be read.
fn names(graph: &Graph) -> impl Iterator<Item = &str> {
    let inputs = graph.inputs.iter().map(|input| input.name.as_str());
    inputs.chain(graph.nodes.iter().map(|node| node.name.value.as_str()))
}

/// What `name` begins with because it is said in a body: the path that leads there, which begins all names of the body.
fn body_of<'a>(graph: &Graph, name: &'a str) -> &'a str {
    let starts = name.rmatch_indices('/').map(|(at, _)| &name[..=at]);
    let mut starts = starts.filter(|start| names(graph).all(|known| known.starts_with(start)));
    starts.next().unwrap_or("")
}

struct Wirer<'a> {
    graph: &'a Graph,
    faults: &'a mut Vec<Fault>,
}

impl Wirer<'_> {
    fn error(&mut self, span: &Range<usize>, message: String, help: impl Into<String>) {
        self.faults.push(Fault::error(message).at(span.clone()).help(help));
    }

    /// Names are unique over inputs and nodes.
    fn names(&mut self) {
        let inputs = self.graph.inputs.iter().map(|input| (&input.name, &input.span));
        let nodes = self.graph.nodes.iter().map(|node| (&node.name.value, &node.name.span));
        let all: Vec<_> = inputs.chain(nodes).collect();
        for (i, (name, span)) in all.iter().enumerate() {
            if all[..i].iter().any(|(other, _)| other == name) {
                self.error(span, format!("a second node or input `{name}`"), "rename one of them");
            }
        }
    }

    fn wires(&mut self) -> Vec<Vec<Wire>> {
        let nodes = &self.graph.nodes;
        nodes
            .iter()
            .map(|node| node.from.iter().map(|name| self.wire(node, name)).collect())
            .collect()
    }

    fn wire(&mut self, reader: &Node, name: &Located<String>) -> Wire {
        if let Some(wire) = find(self.graph, &name.value) {
            return wire;
        }
        // What a use of a block reads, many nodes of the block may read.
        if self.faults.iter().any(|fault| fault.span.as_ref() == Some(&name.span)) {
            return Wire::Unknown;
        }
        let graph = self.graph;
        let body = body_of(graph, &name.value);
        let all = names(graph).filter(|known| *known != reader.name.value);
        let known = did_you_mean(&name.value[body.len()..], all.map(|known| &known[body.len()..]));
        let (whose, help) = match body {
            "" => ("", known),
            _ => (
                " of the body",
                format!("{known}; a Scan's `inputs` name what it reads from outside"),
            ),
        };
        let message = format!(
            "node `{}` reads `{}`, which is no input and no node{whose}",
            reader.name.value,
            &name.value[body.len()..]
        );
        self.error(&name.span, message, help);
        Wire::Unknown
    }

    /// Nodes in an order in which each comes after what it reads, else the order of the file; or the cycle.
    fn order(&mut self, wires: &[Vec<Wire>]) -> Option<Vec<usize>> {
        let reads = |node: usize| {
            wires[node].iter().filter_map(|wire| match wire {
                Wire::Node(node) => Some(*node),
                _ => None,
            })
        };
        let mut order = Vec::with_capacity(wires.len());
        let mut done = vec![false; wires.len()];
        while order.len() < wires.len() {
            let ready = (0..wires.len()).find(|&node| !done[node] && reads(node).all(|r| done[r]));
            let Some(node) = ready else {
                let stuck = (0..wires.len()).find(|&node| !done[node]).unwrap_or_default();
                // Every node that is left reads one that is left, so this walk must meet itself.
                let mut path = vec![stuck];
                loop {
                    let last = path[path.len() - 1];
                    let next = reads(last).find(|&read| !done[read]).unwrap_or(last);
                    if let Some(start) = path.iter().position(|&node| node == next) {
                        path.drain(..start);
                        path.push(next);
                        break;
                    }
                    path.push(next);
                }
                let name = |node: &usize| format!("`{}`", self.graph.nodes[*node].name.value);
                let cycle: Vec<String> = path.iter().rev().map(name).collect();
                let span = self.graph.nodes[path[0]].name.span.clone();
                let help = "a node cannot read what depends on it; recurrence over time lives in what a Scan carries, and inside layers such as Lstm";
                self.error(&span, format!("the nodes form a cycle: {}", cycle.join(" -> ")), help);
                return None;
            };
            done[node] = true;
            order.push(node);
        }
        Some(order)
    }
}

/// The nodes that some result depends on, each named by the node that computes it.
pub(super) fn needed(
    nodes: usize,
    results: impl Iterator<Item = usize>,
    wires: &[Vec<Wire>],
) -> Vec<bool> {
    let mut needed = vec![false; nodes];
    let mut open: Vec<usize> = results.collect();
    while let Some(node) = open.pop() {
        if !std::mem::replace(&mut needed[node], true) {
            open.extend(wires[node].iter().filter_map(|wire| match wire {
                Wire::Node(node) => Some(*node),
                _ => None,
            }));
        }
    }
    needed
}

/// Which output `node` or `node.output` means.
pub(super) fn output_index(name: &str, outputs: &[(Cow<'static, str>, Shape)]) -> Option<usize> {
    let output = name.split_once('.').map_or("", |(_, output)| output);
    outputs.iter().position(|(known, _)| known == output)
}

/// What a node's outputs are called: `node`, `node.output`.
pub(super) fn output_names(node: &str, outputs: &[(Cow<'static, str>, Shape)]) -> Vec<String> {
    let name = |output: &str| match output {
        "" => node.to_owned(),
        output => format!("{node}.{output}"),
    };
    outputs.iter().map(|(output, _)| name(output)).collect()
}
