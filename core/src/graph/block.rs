//! A block: nodes with a name, inputs and arguments, which stand wherever a graph uses it.

use super::read::Reader;
use super::spec::Located;
use super::syntax::children;
use super::tokens::without_end;

/// How a block begins.
pub(super) const BLOCK: &str = "Block";

const FIELDS: [&str; 6] = ["inputs", "arguments", "blocks", "nodes", "output", "outputs"];

const EXAMPLE: &str = "write Block(inputs: [\"x\"], arguments: {\"Width\": 512}, nodes: [..], output: \"a node's name\")";

/// In the place of an argument's default: every use must give it.
const REQUIRED: &str = "Required";

/// What the text of a block says.
pub(super) struct Block<'a> {
    /// What its nodes call what a use reads, in the order of the use's `from`.
    pub(super) inputs: Vec<Located<String>>,
    /// Words that stand for what a use gives, and what they stand for without.
    pub(super) arguments: Vec<(String, Option<&'a str>)>,
    pub(super) nodes: &'a str,
    /// Its outputs' names, the first of them empty, and the values behind them.
    pub(super) outputs: Vec<(String, Located<String>)>,
}

impl<'a> Reader<'a> {
    /// The text of a block; `None` after a fault that leaves nothing to use. `name` is for messages.
    pub(super) fn block(&mut self, name: &str, text: &'a str) -> Option<Block<'a>> {
        let whose = format!("block `{name}`");
        let before = self.faults.len();
        let fields = self.fields(text, &whose, &FIELDS, EXAMPLE)?;
        let field = |name: &str| {
            fields.iter().find(|f| f.name.as_deref() == Some(name)).map(|field| field.text)
        };
        let inputs = field("inputs").map_or(Vec::new(), |text| self.block_inputs(text));
        let arguments = field("arguments").map_or(Vec::new(), |text| {
            let named = self.named_values(text, "arguments", "{\"Width\": 512}");
            let value = |text| Some(without_end(text)).filter(|text| *text != REQUIRED);
            named.into_iter().map(|(name, text)| (name, value(text))).collect()
        });
        let [nodes, output] = [("nodes", EXAMPLE), ("output", "say output: \"a node's name\"")]
            .map(|(name, help)| {
                let found = field(name);
                if found.is_none() {
                    self.fault(text, format!("the field `{name}` is missing"), help);
                }
                found
            });
        let main = output.and_then(|text| self.located(text)).map(|value| (String::new(), value));
        let others = field("outputs").map_or(Vec::new(), |text| self.values(text, "outputs"));
        for fault in &mut self.faults[before..] {
            if !fault.message.starts_with(&whose) {
                fault.message = format!("{whose}: {}", fault.message);
            }
        }
        let outputs = [main?].into_iter().chain(others).collect();
        Some(Block { inputs, arguments, nodes: nodes?, outputs })
    }

    fn block_inputs(&mut self, text: &'a str) -> Vec<Located<String>> {
        let items = self.items(text);
        let inputs: Vec<Located<String>> =
            items.iter().filter_map(|item| self.located(item.text)).collect();
        for (i, (input, item)) in inputs.iter().zip(&items).enumerate() {
            if inputs[..i].iter().any(|other| other.value == input.value) {
                let message = format!("a second input `{}`", input.value);
                self.fault(item.text, message, "rename one of them");
            }
        }
        inputs
    }
}

/// What the nodes in a list read.
pub(super) fn read_in(nodes: &str) -> Vec<String> {
    let fields = children(nodes).into_iter().flatten().filter_map(|node| children(node.text));
    let from = fields.flatten().filter(|field| field.name.as_deref() == Some("from"));
    let names = from.flat_map(|from| children(from.text).unwrap_or_default());
    names.filter_map(|name| super::syntax::ron_options().from_str(name.text).ok()).collect()
}
