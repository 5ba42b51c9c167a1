//! A block's nodes in the place of a node that uses it.

use std::ops::Range;

use super::aliases::{Aliases, Nodes};
use super::fault::Fault;
use super::owners::{each_owner, leads_to_node};
use super::read::Reader;
use super::read_use::REPEAT;
use super::spec::{Located, Node};
use super::suggest::did_you_mean;
use super::syntax::title;

/// What a node that uses a block says about itself.
pub(super) struct User<'a> {
    pub(super) name: Located<String>,
    pub(super) layer: &'a str,
    pub(super) from: Vec<Located<String>>,
    pub(super) weights_of: Option<Located<String>>,
}

/// A copy of a block, read.
struct Copy {
    /// What its nodes call what it reads.
    inputs: Vec<String>,
    nodes: Vec<Node>,
    /// What its outputs are called, the first by nothing, and the values in it.
    outputs: Vec<(String, String)>,
    aliases: Aliases,
}

impl<'a> Reader<'a> {
    /// Puts the nodes of the copies in the place of a use. Where there is a fault, one node without content stands there.
    pub(super) fn inline(&mut self, user: User<'a>, list: &mut Nodes) {
        let mut inlined = Nodes::default();
        match self.copies(&user, &mut inlined) {
            Some(()) => {
                list.nodes.append(&mut inlined.nodes);
                inlined.aliases.iter().for_each(|(name, value)| {
                    list.aliases.insert(name.clone(), value.clone());
                });
            }
            None => list.nodes.push(Node {
                name: user.name,
                content: None,
                from: user.from,
                weights_of: None,
                symbols: Vec::new(),
            }),
        }
    }

    fn copies(&mut self, user: &User<'a>, list: &mut Nodes) -> Option<()> {
        let layer = self.document.span_of(user.layer);
        let copies = self.document.copies.get(&layer.start)?;
        let (name, repeat) = (&user.name.value, title(user.layer) == REPEAT);
        let share = Reader::new(self.document).usage(user.layer)?.share;
        let mut wires = user.from.clone();
        for (at, span) in copies.iter().enumerate() {
            let path = |name: &str, at: usize| match repeat {
                true => format!("{name}/{at}"),
                false => name.to_owned(),
            };
            let owner = match &user.weights_of {
                Some(owner) => Some((&*owner.value, owner.span.clone())),
                None if share && at > 0 => Some((&**name, layer.clone())),
                None => None,
            };
            let owner = owner.map(|(owner, span)| Located {
                value: path(owner, if share { 0 } else { at }),
                span,
            });
            let path = path(name, at);
            let copy = self.copy(span, &path)?;
            self.place(copy, &path, &wires, owner.as_ref(), list)?;
            let mut output = path;
            list.aliases.resolve(&mut output);
            if repeat {
                list.aliases.insert(name.clone(), output.clone());
                // What goes wrong between copies is a fault of the repeat.
                wires[0] = Located { value: output, span: layer.clone() };
            }
        }
        Some(())
    }

    /// Reads a copy of a block; `None` when there is a fault in it.
    fn copy(&mut self, span: &Range<usize>, path: &str) -> Option<Copy> {
        let text = &self.document.whole()[span.clone()];
        // What is wrong with a block as a whole is told where it is defined.
        let block = Reader::new(self.document).block("", text)?;
        let before = self.faults.len();
        let inner = format!("{}{path}/", self.path);
        let outer = std::mem::replace(&mut self.path, inner);
        let Nodes { nodes, aliases } = self.nodes(block.nodes);
        self.path = outer;
        let inputs: Vec<String> = block.inputs.into_iter().map(|input| input.value).collect();
        let mut outputs = Vec::new();
        for (name, mut value) in block.outputs {
            aliases.resolve(&mut value.value);
            if !is_node(&nodes, &value.value) {
                let message = format!(
                    "node `{}{path}`: the block's output is `{}`, which is no node of it",
                    self.path, value.value
                );
                let names = nodes.iter().map(|node| node.name.value.as_str());
                let help = did_you_mean(&value.value, names);
                self.faults.push(Fault::error(message).at(value.span).help(help));
            }
            outputs.push((name, value.value));
        }
        (self.faults.len() == before).then_some(Copy { inputs, nodes, outputs, aliases })
    }

    /// Puts a copy's nodes into the list: `up` becomes `ff/up`, and what they read of the block's inputs becomes what
    /// these are wired to.
    fn place(
        &mut self,
        copy: Copy,
        path: &str,
        wires: &[Located<String>],
        owner: Option<&Located<String>>,
        list: &mut Nodes,
    ) -> Option<()> {
        let Copy { inputs, mut nodes, outputs, aliases } = copy;
        let before = self.faults.len();
        let within = |name: &str| format!("{path}/{name}");
        share(&mut nodes, path, owner);
        let names: Vec<String> = nodes.iter().map(|node| node.name.value.clone()).collect();
        let is_known = |name: &str| {
            let node = name.split_once('.').map_or(name, |(node, _)| node);
            names.iter().any(|known| known == node)
        };
        for node in &mut nodes {
            for from in &mut node.from {
                match inputs.iter().position(|input| *input == from.value) {
                    Some(input) => from.clone_from(&wires[input]),
                    None if is_known(&from.value) => from.value = within(&from.value),
                    None => {
                        let message = format!(
                            "node `{}{}` reads `{}`, which is no input and no node of the block",
                            self.path,
                            within(&node.name.value),
                            from.value
                        );
                        let all = inputs.iter().chain(&names).map(String::as_str);
                        let help = did_you_mean(&from.value, all);
                        self.faults.push(Fault::error(message).at(from.span.clone()).help(help));
                    }
                }
            }
            node.name.value = within(&node.name.value);
        }
        for (name, value) in aliases.iter() {
            list.aliases.insert(within(name), within(value));
        }
        for (name, value) in outputs {
            let name = if name.is_empty() { path.to_owned() } else { format!("{path}.{name}") };
            list.aliases.insert(name, within(&value));
        }
        list.nodes.append(&mut nodes);
        (self.faults.len() == before).then_some(())
    }
}

fn is_node(nodes: &[Node], value: &str) -> bool {
    let node = value.split_once('.').map_or(value, |(node, _)| node);
    nodes.iter().any(|known| known.name.value == node)
}

/// Says whose parameters a copy's nodes have: with an `owner`, another use of the block, those of its nodes pairwise.
fn share(nodes: &mut [Node], path: &str, owner: Option<&Located<String>>) {
    let mut said = Vec::new();
    each_owner(nodes, "", &mut |_, of| said.extend(of.as_ref().map(|of| of.value.clone())));
    said.retain(|name| leads_to_node(nodes, name));
    let prefix = owner.map_or(path, |owner| &owner.value);
    each_owner(nodes, "", &mut |node, of| match (of.as_mut(), owner) {
        (Some(of), _) if said.contains(&of.value) => of.value = format!("{prefix}/{}", of.value),
        (None, Some(owner)) => {
            let value = format!("{}/{node}", owner.value);
            *of = Some(Located { value, span: owner.span.clone() });
        }
        _ => {}
    });
}

/// What to try where a node of a `Repeat` cannot read what the copy before computes: `stack/1/up` reads `stack/0/down`.
pub(super) fn between_copies(reader: &str, value: &str) -> String {
    let mut parts = reader.split('/').zip(value.split('/'));
    let differ = parts.find(|(reader, value)| reader != value);
    let numbers =
        differ.and_then(|(r, v)| Some((r.parse::<usize>().ok()?, v.parse::<usize>().ok()?)));
    match numbers {
        Some((reader, before)) if reader == before + 1 => format!(
            "copy {reader} of the Repeat reads what copy {before} computes: the block's output must have the shape of its first input"
        ),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_follow_one_another_are_told_apart_from_other_nodes() {
        assert!(between_copies("a/stack/1/up", "a/stack/0/down.c").contains("copy 1"));
        for (reader, value) in
            [("a/up", "a/down"), ("stack/1/up", "words"), ("s/2/up", "s/0/down"), ("a", "a")]
        {
            assert_eq!(between_copies(reader, value), "");
        }
    }
}
