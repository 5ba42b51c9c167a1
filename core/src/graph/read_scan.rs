//! A `Scan` in a graph file: what its body reads, carries, computes and yields.

use serde::Deserialize;

use super::aliases::Nodes;
use super::read::Reader;
use super::spec::{Feed, HandedOn, Located, SCAN, Scan, Start};
use super::suggest::did_you_mean;
use super::syntax::{Child, children, title};
use crate::array::dim::Dim;
use crate::array::shape::Shape;
use crate::config::field::Finite;

const SCAN_FIELDS: [&str; 7] = ["over", "inputs", "carry", "nodes", "output", "outputs", "last"];
const CARRY_FIELDS: [&str; 2] = ["start", "next"];

/// How a scan is written, in short.
const EXAMPLE: &str = "write Scan(inputs: {\"x\": PerStep}, carry: {\"h\": (start: Zeros([Batch, 512]), next: \"new\")}, nodes: [..], output: \"new\")";

impl<'a> Reader<'a> {
    /// The text of a scan; `None` after a fault that leaves nothing to check.
    pub(super) fn scan(&mut self, text: &'a str) -> Option<Scan> {
        let fields = self.fields(text, &format!(", {SCAN}"), &SCAN_FIELDS, EXAMPLE)?;
        let field = |name: &str| {
            fields.iter().find(|f| f.name.as_deref() == Some(name)).map(|field| field.text)
        };
        let over = match field("over") {
            Some(text) => self.parse(text)?,
            None => Dim::TIME,
        };
        let inputs = field("inputs").map_or(Vec::new(), |text| self.feeds(text));
        let mut carry = field("carry").map_or(Vec::new(), |text| self.carries(text));
        let Nodes { nodes, aliases } = match field("nodes") {
            Some(nodes) => self.nodes(nodes),
            None => {
                self.fault(text, format!(", {SCAN}: the field `nodes` is missing"), EXAMPLE);
                return None;
            }
        };
        let main = field("output").and_then(|text| self.located(text));
        let main = main.map(|value| (String::new(), value));
        let named = |reader: &mut Self, name| {
            field(name).map_or(Vec::new(), |text| reader.values(text, name))
        };
        let mut outputs: Vec<_> = main.into_iter().chain(named(self, "outputs")).collect();
        let last = named(self, "last");
        if outputs.is_empty() && last.is_empty() {
            let message = format!(", {SCAN}: nothing leaves the body");
            self.fault(text, message, "say output: \"a node's name\"");
        }
        aliases.resolve_all(carry.iter_mut().map(|carry| &mut carry.next));
        aliases.resolve_all(outputs.iter_mut().map(|(_, value)| value));
        Some(Scan { over, inputs, carry, nodes, outputs, last })
    }

    /// The named fields of a struct, known ones once each.
    pub(super) fn fields(
        &mut self,
        text: &'a str,
        whose: &str,
        known: &[&str],
        help: &str,
    ) -> Option<Vec<Child<'a>>> {
        let fields = children(text).filter(|all| all.iter().all(|c| c.name.is_some()));
        let Some(fields) = fields else {
            let message = format!("{whose}: expected named fields in parentheses");
            self.fault(text, message, help);
            return None;
        };
        for (i, field) in fields.iter().enumerate() {
            let name = field.name.as_deref().unwrap_or_default();
            if !known.contains(&name) {
                let message = format!("{whose}: unknown field `{name}`");
                self.fault(field.text, message, did_you_mean(name, known.iter().copied()));
            } else if fields[..i].iter().any(|other| other.name == field.name) {
                let message = format!("{whose}: a second field `{name}`");
                self.fault(field.text, message, "keep one of them");
            }
        }
        Some(fields)
    }

    fn feeds(&mut self, text: &'a str) -> Vec<(Located<String>, Feed)> {
        let named = self.named_values(text, "inputs", "{\"x\": PerStep, \"memory\": Static}");
        let feeds = named.into_iter().filter_map(|(name, text)| {
            let feed = match text {
                "PerStep" => Feed::PerStep,
                "Static" => Feed::Static,
                other => {
                    let message =
                        format!("input `{name}`: expected PerStep or Static, found `{other}`");
                    self.fault(text, message, did_you_mean(other, ["PerStep", "Static"]));
                    return None;
                }
            };
            Some((Located { value: name, span: self.document.span_of(text) }, feed))
        });
        feeds.collect()
    }

    fn carries(&mut self, text: &'a str) -> Vec<HandedOn> {
        let example = "{\"h\": (start: \"h0\", next: \"new\")}";
        let named = self.named_values(text, "carry", example);
        named.into_iter().filter_map(|(name, text)| self.handed_on(name, text)).collect()
    }

    fn handed_on(&mut self, name: String, text: &'a str) -> Option<HandedOn> {
        let whose = format!(", carry `{name}`");
        let help =
            "write (start: \"h0\", next: \"new\") or (start: Zeros([Batch, 512]), next: \"new\")";
        let fields = self.fields(text, &whose, &CARRY_FIELDS, help)?;
        let field = |name: &str| fields.iter().find(|f| f.name.as_deref() == Some(name));
        let [start, next] = CARRY_FIELDS.map(|known| {
            let found = field(known).map(|field| field.text);
            if found.is_none() {
                let message = match known {
                    "next" => format!("{whose}: no step sets it: the field `next` is missing"),
                    _ => format!("{whose}: the field `{known}` is missing"),
                };
                self.fault(text, message, help);
            }
            found
        });
        let (start, next) = (start?, next?);
        let value = self.start(start)?;
        let start = Located { value, span: self.document.span_of(start) };
        let name = Located { value: name, span: self.document.span_of(text) };
        Some(HandedOn { name, start, next: self.located(next)? })
    }

    fn start(&mut self, text: &'a str) -> Option<Start> {
        #[derive(Deserialize)]
        enum Written {
            Zeros(Shape),
            Constant(Finite, Shape),
        }
        if title(text).is_empty() {
            return self.parse(text).map(Start::Input);
        }
        Some(match self.parse(text)? {
            Written::Zeros(shape) => Start::Constant { value: 0.0, shape },
            Written::Constant(value, shape) => Start::Constant { value: value.get(), shape },
        })
    }

    /// Names and the values behind them.
    pub(super) fn values(&mut self, text: &'a str, what: &str) -> Vec<(String, Located<String>)> {
        let named = self.named_values(text, what, "{\"weights\": \"attend.weights\"}");
        named.into_iter().filter_map(|(name, text)| Some((name, self.located(text)?))).collect()
    }
}
