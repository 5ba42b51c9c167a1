//! What a graph file says, with the place of everything it says.

use std::ops::Range;

use serde::Deserialize;

use super::document::Document;
use super::fault::Fault;
use super::suggest::did_you_mean;
use super::syntax::{Child, children, title};
use crate::dim::{Dim, Symbol};
use crate::layer::Layer;
use crate::registry::{Entry, LAYER, SIZE};
use crate::scalar::Precision;
use crate::shape::Shape;
use crate::tagged::Tagged;

/// A value and the bytes of the document that say it.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub span: Range<usize>,
}

/// A network: inputs, nodes, and which of their values are results.
#[derive(Debug, Clone)]
pub struct Graph {
    /// The number type that everything is computed in.
    pub precision: Precision,
    /// The arrays that data feeds.
    pub inputs: Vec<Input>,
    /// The layers and their wiring, in the order of the file.
    pub nodes: Vec<Node>,
    /// The values that are results, by role. Without the section: the node `loss` in the role `loss`.
    pub outputs: Vec<Output>,
}

/// An array that data feeds.
#[derive(Debug, Clone)]
pub struct Input {
    /// The name that nodes and batches use.
    pub name: String,
    /// Its shape; `None` for one whose text has a fault, which is known already.
    pub shape: Option<Shape>,
    /// Its place.
    pub span: Range<usize>,
}

/// A layer, its name and its wiring.
#[derive(Debug, Clone)]
pub struct Node {
    /// The name that other nodes use.
    pub name: Located<String>,
    /// What it computes; `None` for a node whose text has a fault, which is known already.
    pub layer: Option<Located<Tagged<dyn Layer>>>,
    /// The names of what it reads, by port.
    pub from: Vec<Located<String>>,
    /// The node whose parameters it uses, if not its own.
    pub weights_of: Option<Located<String>>,
    /// The names of sizes in the layer's fields.
    pub symbols: Vec<Located<Symbol>>,
}

/// A value that is a result.
#[derive(Debug, Clone)]
pub struct Output {
    /// What it is for: `loss`, `scores`.
    pub role: String,
    /// The node that computes it, or `node.output`.
    pub value: String,
    /// Its place; empty for an output that the file does not mention.
    pub span: Range<usize>,
}

const SECTIONS: [&str; 4] = ["precision", "inputs", "nodes", "outputs"];
const NODE_FIELDS: [&str; 4] = ["name", "layer", "from", "weights_of"];

impl Graph {
    /// Reads the sections that describe the network. `others` names the sections that someone else reads.
    ///
    /// Returns everything that is wrong with the text, and as much of the network as can be read all the same, so that
    /// a check can go on and find the rest; `None` where there is nothing to check.
    pub fn read(document: &Document, others: &[&str]) -> (Option<Self>, Vec<Fault>) {
        let mut reader = Reader { document, faults: Vec::new() };
        let graph = reader.graph(others);
        (graph, reader.faults)
    }
}

/// Reads on after a fault, so that all of them come to light in one go.
struct Reader<'a> {
    document: &'a Document,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
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
        let nodes: Vec<Node> =
            self.items(nodes).into_iter().filter_map(|child| self.node(child.text)).collect();
        let outputs = match section("outputs") {
            Some(text) => self.outputs(text),
            None => vec![Output {
                role: "loss".into(),
                value: "loss".into(),
                span: text.len()..text.len(),
            }],
        };
        Some(Graph { precision, inputs, nodes, outputs })
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

    fn named_values(&mut self, text: &'a str, what: &str, example: &str) -> Vec<(String, &'a str)> {
        let values = children(text).filter(|all| all.iter().all(|child| child.name.is_some()));
        let Some(values) = values else {
            self.fault(text, format!("`{what}` names values: expected {example}"), "");
            return Vec::new();
        };
        values.into_iter().map(|child| (child.name.unwrap_or_default(), child.text)).collect()
    }

    fn items(&mut self, text: &'a str) -> Vec<Child<'a>> {
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

    fn node(&mut self, text: &'a str) -> Option<Node> {
        let Some(fields) = children(text).filter(|all| all.iter().all(|c| c.name.is_some())) else {
            let help = "write (name: \"h0\", layer: Projection(units: 512), from: [\"features\"])";
            self.fault(text, format!("expected a node, found `{}`", first_line(text)), help);
            return None;
        };
        let before = self.faults.len();
        for (i, field) in fields.iter().enumerate() {
            let name = field.name.as_deref().unwrap_or_default();
            if !NODE_FIELDS.contains(&name) {
                let message = format!("unknown field `{name}`");
                self.fault(field.text, message, did_you_mean(name, NODE_FIELDS));
            } else if fields[..i].iter().any(|other| other.name == field.name) {
                self.fault(field.text, format!("a second field `{name}`"), "keep one of them");
            }
        }
        let field = |name| fields.iter().find(|f| f.name.as_deref() == Some(name)).map(|f| f.text);
        let name = self.required(text, "name", field("name")).and_then(|t| self.located(t));
        let label = name.as_ref().map_or("?", |name: &Located<String>| &name.value).to_owned();
        if let Some(name) = &name
            && (name.value.is_empty()
                || !name.value.chars().all(|c| c.is_alphanumeric() || c == '_'))
        {
            let message = "a node's name is made of letters, digits and _";
            self.faults.push(Fault::error(message).at(name.span.clone()));
        }
        let layer = self.required(text, "layer", field("layer"));
        let layer = layer.and_then(|text| self.layer(text));
        let from = match self.required(text, "from", field("from")) {
            Some(text) => self.items(text).iter().filter_map(|c| self.located(c.text)).collect(),
            None => Vec::new(),
        };
        let weights_of = field("weights_of").and_then(|text| self.located(text));
        let layer = layer.filter(|_| self.faults.len() == before);
        for fault in &mut self.faults[before..] {
            // A layer's fault begins with a mark of its own, for it names the layer as well.
            let mark = if fault.message.starts_with([':', ',']) { "" } else { ": " };
            fault.message = format!("node `{label}`{mark}{}", fault.message);
        }
        let symbols =
            layer.as_ref().and(field("layer")).map_or(Vec::new(), |text| self.symbols(text));
        Some(Node { name: name?, layer, from, weights_of, symbols })
    }

    /// The names of sizes that a layer's text mentions.
    fn symbols(&self, text: &'a str) -> Vec<Located<Symbol>> {
        let fields = Entry::named(title(text)).map(|entry| entry.documentation().fields);
        let is_size = |child: &Child<'_>| {
            let name = child.name.as_deref();
            fields.iter().flatten().any(|f| f.takes == SIZE && Some(f.name.as_str()) == name)
        };
        let sizes = children(text).unwrap_or_default().into_iter().filter(is_size);
        sizes
            .filter_map(|child| {
                let dim: Dim = self.document.parse(child.text).ok()?;
                Some(Located { value: dim.symbol()?, span: self.document.span_of(child.text) })
            })
            .collect()
    }

    fn layer(&mut self, text: &'a str) -> Option<Located<Tagged<dyn Layer>>> {
        let fault = match self.document.parse(text) {
            Ok(layer) => return Some(Located { value: layer, span: self.document.span_of(text) }),
            Err(fault) => fault,
        };
        let name = title(text);
        self.faults.push(match Entry::named(name).filter(|entry| entry.family == LAYER) {
            Some(entry) if text == name => {
                Fault::error(format!(": `{name}` lacks its parentheses"))
                    .at(self.document.span_of(text))
                    .help(format!("write {}", entry.example))
            }
            Some(entry) => Fault {
                message: format!(", {name}: {}", fault.message),
                help: fault.help.or_else(|| Some(format!("for instance {}", entry.example))),
                ..fault
            },
            None if name.is_empty() => {
                Fault { message: format!(": expected a layer: {}", fault.message), ..fault }
            }
            None => Fault::error(format!(": unknown layer `{name}`"))
                .at(self.document.span_of(&text[..name.len()]))
                .help(did_you_mean(name, Entry::of(LAYER).map(|entry| entry.name))),
        });
        None
    }

    fn required(&mut self, node: &'a str, name: &str, text: Option<&'a str>) -> Option<&'a str> {
        if text.is_none() {
            let help = "a node has name, layer and from, and may have weights_of";
            self.fault(node, format!("the field `{name}` is missing"), help);
        }
        text
    }

    fn located<T: Deserialize<'a>>(&mut self, text: &'a str) -> Option<Located<T>> {
        let value = self.parse(text)?;
        Some(Located { value, span: self.document.span_of(text) })
    }

    fn parse<T: Deserialize<'a>>(&mut self, text: &'a str) -> Option<T> {
        self.keep(self.document.parse(text))
    }

    fn keep<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    fn fault(&mut self, text: &str, message: impl Into<String>, help: impl Into<String>) {
        let help = Some(help.into()).filter(|help| !help.is_empty());
        let span = self.document.span_of(text);
        self.faults.push(Fault { help, ..Fault::error(message).at(span) });
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
