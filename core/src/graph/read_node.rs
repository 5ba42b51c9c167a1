//! The nodes of a graph file: names, layers, wires.

use super::aliases::Nodes;
use super::fault::Fault;
use super::inline::User;
use super::owners::lead_into_body;
use super::read::{Reader, first_line};
use super::read_use::{REPEAT, USE, is_usage};
use super::spec::{Content, Located, Node, SCAN};
use super::suggest::did_you_mean;
use super::syntax::{Child, children, title};
use crate::array::dim::{Dim, Symbol};
use crate::config::registry::{Entry, LAYER, SIZE};

/// What a node can be that is no layer.
const OTHERS: [&str; 3] = [SCAN, USE, REPEAT];

const NODE_FIELDS: [&str; 4] = ["name", "layer", "from", "weights_of"];

impl<'a> Reader<'a> {
    /// The nodes in a list, as far as they can be read.
    pub(super) fn nodes(&mut self, text: &'a str) -> Nodes {
        let mut list = Nodes::default();
        for child in self.items(text) {
            self.node(child.text, &mut list);
        }
        let Nodes { nodes, aliases } = &mut list;
        for node in nodes {
            let missing = |from: &Located<String>| {
                let outputs = aliases.instead_of(&from.value)?;
                let message = format!("there is no output `{}`", from.value);
                let help = did_you_mean(&from.value, outputs);
                Some(Fault::error(message).at(from.span.clone()).help(help))
            };
            let path = format!("node `{}{}`", self.path, node.name.value);
            let faults: Vec<Fault> = node.from.iter().filter_map(missing).collect();
            if !faults.is_empty() {
                self.faults.extend(faults.into_iter().map(|fault| fault.of(&path)));
                node.content = None;
                node.from.clear();
            }
            aliases.resolve_all(node.from.iter_mut());
        }
        list
    }

    fn node(&mut self, text: &'a str, list: &mut Nodes) -> Option<()> {
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
        let label = name.as_ref().map_or("?", |name: &Located<String>| &name.value);
        let path = format!("{}{label}", self.path);
        if let Some(name) = &name
            && (name.value.is_empty()
                || !name.value.chars().all(|c| c.is_alphanumeric() || c == '_'))
        {
            let message = "a node's name is made of letters, digits and _";
            self.faults.push(Fault::error(message).at(name.span.clone()));
        }
        let layer = self.required(text, "layer", field("layer"));
        let outer = std::mem::replace(&mut self.path, format!("{path}/"));
        let usage = layer.filter(|layer| is_usage(layer));
        let content = layer.filter(|_| usage.is_none()).and_then(|text| self.content(text));
        self.path = outer;
        let from = match self.required(text, "from", field("from")) {
            Some(text) => self.items(text).iter().filter_map(|c| self.located(c.text)).collect(),
            None => Vec::new(),
        };
        let weights_of = field("weights_of").and_then(|text| self.located(text));
        let content = content.filter(|_| self.faults.len() == before);
        for fault in &mut self.faults[before..] {
            // Nodes of a body have said who they are.
            if fault.message.starts_with("node `") {
                continue;
            }
            // A layer's fault begins with a mark of its own, for it names the layer as well.
            let mark = if fault.message.starts_with([':', ',']) { "" } else { ": " };
            fault.message = format!("node `{path}`{mark}{}", fault.message);
        }
        let name = name?;
        if let Some(layer) = usage {
            self.inline(User { name, layer, from, weights_of }, list);
            return Some(());
        }
        let symbols = content.as_ref().and(layer).map_or(Vec::new(), |text| self.symbols(text));
        let mut node = Node { name, content, from, weights_of, symbols };
        if let Some(Content::Scan(scan)) = node.content.as_mut().map(|content| &mut content.value) {
            lead_into_body(&mut scan.nodes, &node.name.value);
        }
        list.nodes.push(node);
        Some(())
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

    /// What a node computes.
    fn content(&mut self, text: &'a str) -> Option<Located<Content>> {
        let span = self.document.span_of(text);
        let value = match title(text) {
            SCAN => Content::Scan(Box::new(self.scan(text)?)),
            _ => self.layer(text)?,
        };
        Some(Located { value, span })
    }

    fn layer(&mut self, text: &'a str) -> Option<Content> {
        let fault = match self.document.parse(text) {
            Ok(layer) => return Some(Content::Layer(layer)),
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
                .help(did_you_mean(name, Entry::of(LAYER).map(|entry| entry.name).chain(OTHERS))),
        });
        None
    }
}
