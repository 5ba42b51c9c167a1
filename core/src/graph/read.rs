//! The text of a graph file becomes a [`Graph`], whatever is wrong with the rest of it.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::aliases::Nodes;
use super::document::Document;
use super::fault::{Fault, Severity};
use super::spec::{Carry, Graph, Input, Located, Output};
use super::suggest::did_you_mean;
use super::syntax::{Child, children};
use crate::array::dim::{Dim, Symbol};

const SECTIONS: [&str; 7] = ["precision", "sizes", "inputs", "blocks", "nodes", "outputs", "carry"];

impl Graph {
    /// Reads the sections that describe the network. `others` names the sections that someone else reads.
    ///
    /// Returns everything that is wrong with the text, and as much of the network as can be read all the same, so that
    /// a check can go on and find the rest; `None` where there is nothing to check.
    pub fn read(document: &Document, others: &[&str]) -> (Option<Self>, Vec<Fault>) {
        let mut reader = Reader::new(document);
        let mut graph = reader.graph(others);
        let of_blocks = document.faults.iter().cloned().chain(reader.faults);
        let (faults, warnings) =
            of_blocks.partition(|fault: &Fault| fault.severity == Severity::Error);
        graph.iter_mut().for_each(|graph| graph.warnings.clone_from(&warnings));
        (graph, document.once(faults))
    }
}

impl Document {
    /// Faults, but of those in copies of the same text only the first.
    fn once(&self, faults: Vec<Fault>) -> Vec<Fault> {
        let mut told = BTreeSet::new();
        let mut is_new = |fault: &Fault| {
            let Some(span) = &fault.span else { return true };
            // Nodes of copies differ by their paths, which stand in the first quotes.
            let what = fault.message.split('`').skip(2).collect::<Vec<_>>().join("`");
            span.start < self.text().len() || told.insert((self.origin(span.start), what))
        };
        faults.into_iter().filter(|fault| is_new(fault)).collect()
    }
}

/// Reads on after a fault, so that all of them come to light in one go.
pub(super) struct Reader<'a> {
    pub(super) document: &'a Document,
    pub(super) faults: Vec<Fault>,
    /// What the names of the nodes that it reads begin with: `decoder/1/`.
    pub(super) path: String,
}

impl<'a> Reader<'a> {
    pub(super) fn new(document: &'a Document) -> Self {
        Reader { document, faults: Vec::new(), path: String::new() }
    }

    fn graph(&mut self, others: &[&str]) -> Option<Graph> {
        let text = self.document.text();
        let title = self.document.title();
        if !matches!(title, "" | "Graph") {
            self.fault(title, format!("expected the name `Graph`, found `{title}`"), "");
        }
        let sections = self.keep(self.document.sections())?;
        let sections: Vec<(&str, &'a str)> = sections
            .iter()
            .map(|(name, text)| {
                let known = SECTIONS.iter().chain(others).copied().find(|known| known == name);
                (known.unwrap_or(""), *text)
            })
            .zip(&sections)
            .filter_map(|((known, text), (name, _))| {
                if known.is_empty() {
                    let all = SECTIONS.iter().chain(others).copied();
                    let what = if name.is_empty() { "a value without a name" } else { name };
                    self.fault(text, format!("unknown section `{what}`"), did_you_mean(name, all));
                    return None;
                }
                Some((known, text))
            })
            .collect();
        for (i, (name, text)) in sections.iter().enumerate() {
            if sections[..i].iter().any(|(other, _)| other == name) {
                self.fault(text, format!("a second section `{name}`"), "keep one of them");
            }
        }
        let section =
            |name| sections.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);

        let precision = section("precision").and_then(|text| self.parse(text)).unwrap_or_default();
        let sizes = section("sizes").map_or(Vec::new(), |text| self.sizes(text));
        let (inputs, nodes) = (section("inputs"), section("nodes"));
        for (name, found, help) in [
            ("inputs", inputs, "say what data feeds: inputs: {\"features\": [Batch, Features]}"),
            (
                "nodes",
                nodes,
                "list the layers: nodes: [(name: \"h0\", layer: Projection(units: 512), from: [\"features\"])]",
            ),
        ] {
            if found.is_none() {
                let message = format!("the graph has no section `{name}`");
                self.faults.push(Fault::error(message).help(help));
            }
        }
        let (inputs, nodes) = (inputs?, nodes?);
        let inputs = self.inputs(inputs);
        let Nodes { nodes, aliases } = self.nodes(nodes);
        let mut outputs = match section("outputs") {
            Some(text) => self.outputs(text),
            None => vec![Output {
                role: "loss".into(),
                value: "loss".into(),
                span: text.len()..text.len(),
            }],
        };
        outputs.iter_mut().for_each(|output| aliases.resolve(&mut output.value));
        let mut carry = section("carry").map_or(Vec::new(), |text| self.carry(text));
        carry.iter_mut().for_each(|carry| aliases.resolve(&mut carry.value));
        Some(Graph { precision, sizes, inputs, nodes, outputs, carry, warnings: Vec::new() })
    }

    fn sizes(&mut self, text: &'a str) -> Vec<(Located<Symbol>, usize)> {
        let named = self.named_values(text, "sizes", "{\"Hidden\": 512}");
        let mut sizes: Vec<(Located<Symbol>, usize)> = Vec::new();
        for (name, text) in named {
            let span = self.document.span_of(text);
            if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
                let message = format!("a size's name begins with a capital letter, found `{name}`");
                self.fault(text, message, "");
            } else if ["Batch", "Time"].contains(&name.as_str()) {
                let message = format!("`{name}` varies from batch to batch and cannot be fixed");
                self.fault(text, message, "");
            } else if sizes.iter().any(|(known, _)| known.value.name() == name) {
                self.fault(text, format!("a second size `{name}`"), "keep one of them");
            } else if let Some(size) = self.parse::<Dim>(text) {
                match size.size() {
                    Some(size) => {
                        sizes.push((Located { value: Symbol::new(&name), span }, size));
                    }
                    None => {
                        let message = format!("size `{name}`: expected a number, found `{size}`");
                        self.fault(text, message, "");
                    }
                }
            }
        }
        sizes
    }

    fn inputs(&mut self, text: &'a str) -> Vec<Input> {
        let named = self.named_values(text, "inputs", "{\"features\": [Batch, Features]}");
        named
            .into_iter()
            .map(|(name, text)| {
                let shape = self.document.parse(text);
                let shape = self.keep(shape.map_err(|f: Fault| f.of(&format!("input `{name}`"))));
                Input { name, shape, span: self.document.span_of(text) }
            })
            .collect()
    }

    fn outputs(&mut self, text: &'a str) -> Vec<Output> {
        let named = self.named_values(text, "outputs", "{\"loss\": \"loss\"}");
        named
            .into_iter()
            .filter_map(|(role, text)| {
                let value = self.document.parse(text);
                let value =
                    self.keep(value.map_err(|f: Fault| f.of(&format!("output `{role}`"))))?;
                Some(Output { role, value, span: self.document.span_of(text) })
            })
            .collect()
    }

    fn carry(&mut self, text: &'a str) -> Vec<Carry> {
        let named = self.named_values(text, "carry", "{\"h_start\": \"hidden.h_end\"}");
        named
            .into_iter()
            .filter_map(|(input, text)| {
                let value = self.document.parse(text);
                let value =
                    self.keep(value.map_err(|f: Fault| f.of(&format!("carry `{input}`"))))?;
                Some(Carry { input, value, span: self.document.span_of(text) })
            })
            .collect()
    }

    pub(super) fn named_values(
        &mut self,
        text: &'a str,
        what: &str,
        example: &str,
    ) -> Vec<(String, &'a str)> {
        let values = children(text).filter(|all| all.iter().all(|child| child.name.is_some()));
        let Some(values) = values else {
            self.fault(text, format!("`{what}` names values: expected {example}"), "");
            return Vec::new();
        };
        values.into_iter().map(|child| (child.name.unwrap_or_default(), child.text)).collect()
    }

    pub(super) fn items(&mut self, text: &'a str) -> Vec<Child<'a>> {
        match children(text) {
            Some(items) if text.starts_with('[') => items,
            _ => {
                self.fault(
                    text,
                    format!("expected a list in [ ], found `{}`", first_line(text)),
                    "",
                );
                Vec::new()
            }
        }
    }

    pub(super) fn required(
        &mut self,
        node: &'a str,
        name: &str,
        text: Option<&'a str>,
    ) -> Option<&'a str> {
        if text.is_none() {
            let help = "a node has name, layer and from, and may have weights_of";
            self.fault(node, format!("the field `{name}` is missing"), help);
        }
        text
    }

    pub(super) fn located<T: Deserialize<'a>>(&mut self, text: &'a str) -> Option<Located<T>> {
        let value = self.parse(text)?;
        Some(Located { value, span: self.document.span_of(text) })
    }

    pub(super) fn parse<T: Deserialize<'a>>(&mut self, text: &'a str) -> Option<T> {
        self.keep(self.document.parse(text))
    }

    pub(super) fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    pub(super) fn fault(
        &mut self,
        text: &str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        let span = self.document.span_of(text);
        self.faults.push(Fault { help, ..Fault::error(message).at(span) });
    }
}

pub(super) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
