//! Copies of the blocks that a graph's nodes use, with what each use says in the place of the blocks' arguments.
//!
//! A copy is a text of its own behind that of the graph file. Nodes in it may use blocks again. Names of blocks are those
//! of the block that the text is written in, then those around it.

use std::collections::BTreeSet;
use std::ops::Range;

use super::arguments::mentions;
use super::document::{Document, Origin};
use super::fault::Fault;
use super::read::Reader;
use super::read_use::{Usage, is_usage};
use super::reuse::{Sharer, unshared};
use super::scope::{Definition, Scope, Takes};
use super::spec::SCAN;
use super::suggest::did_you_mean;
use super::syntax::{Child, children, ron_options, skip_blank, title};

/// How many blocks can be in one another.
const DEEPEST: usize = 24;
/// How many nodes blocks can make.
const MOST_NODES: usize = 5000;
/// How long all copies together can be, in bytes.
const MOST_TEXT: usize = 1 << 24;

impl Document {
    /// Puts a copy behind the text for each block that a node uses.
    pub(super) fn expand(&mut self) {
        let Some(sections) = children(skip_blank(self.text())) else { return };
        let section = |name: &str| {
            let found = sections.iter().find(|section| section.name.as_deref() == Some(name));
            found.map(|section| self.span_of(section.text))
        };
        let (Some(nodes), blocks) = (section("nodes"), section("blocks")) else { return };
        let mut expander = Expander {
            document: self,
            scopes: Vec::new(),
            faults: Vec::new(),
            known: BTreeSet::new(),
            told: BTreeSet::new(),
            nodes: 0,
            full: false,
            sharers: Vec::new(),
        };
        let scope = expander.scope(blocks, None);
        expander.list(&nodes, &Place { scope, path: String::new(), within: Vec::new() });
        expander.unused();
        let (mut faults, sharers) = (expander.faults, expander.sharers);
        for (layer, fault) in unshared(&sharers) {
            self.copies.remove(&layer);
            faults.push(fault);
        }
        self.faults.extend(faults);
    }
}

/// Where nodes stand.
struct Place {
    scope: usize,
    /// What their names begin with: `decoder/1/`.
    path: String,
    /// The blocks that they are copies of, the outermost first.
    within: Vec<(Origin, String)>,
}

/// A node that uses a block, as far as its text is needed here.
struct User {
    name: String,
    layer: Range<usize>,
    inputs: usize,
    weights_of: Option<(String, Range<usize>)>,
}

/// What a node that uses a block asks for.
struct Asked {
    tag: String,
    /// The block: where its name is known, its text, its name.
    scope: usize,
    span: Range<usize>,
    origin: Origin,
    name: String,
    times: Option<usize>,
    /// What stands for its arguments.
    values: Vec<(String, Range<usize>)>,
}

pub(super) struct Expander<'d> {
    pub(super) document: &'d mut Document,
    pub(super) scopes: Vec<Scope>,
    pub(super) faults: Vec<Fault>,
    /// Blocks whose text has been read.
    pub(super) known: BTreeSet<Origin>,
    /// Uses whose faults are told.
    told: BTreeSet<Origin>,
    nodes: usize,
    /// Whether a limit is reached.
    full: bool,
    sharers: Vec<Sharer>,
}

impl Expander<'_> {
    /// Lets a reader read, and keeps its faults unless they are told already.
    pub(super) fn read<T>(&mut self, tell: bool, read: impl FnOnce(&mut Reader<'_>) -> T) -> T {
        let mut reader = Reader::new(self.document);
        let value = read(&mut reader);
        let faults = reader.faults;
        if tell {
            self.faults.extend(faults);
        }
        value
    }

    /// Goes through the nodes in a list, and the bodies in it.
    fn list(&mut self, list: &Range<usize>, place: &Place) {
        let text = &self.document.whole()[list.clone()];
        let items = children(text).unwrap_or_default();
        if !place.within.is_empty() {
            self.nodes += items.len();
        }
        let mut users = Vec::new();
        let mut bodies = Vec::new();
        for item in &items {
            let fields = children(item.text).unwrap_or_default();
            let field = |name: &str| named(&fields, name);
            let name: Option<String> =
                field("name").and_then(|text| ron_options().from_str(text).ok());
            let (Some(name), Some(layer)) = (name, field("layer")) else { continue };
            if is_usage(layer) {
                let inputs = field("from").and_then(children).map_or(0, |from| from.len());
                let weights_of = field("weights_of").and_then(|text| {
                    Some((ron_options().from_str(text).ok()?, self.document.span_of(text)))
                });
                users.push(User { name, layer: self.document.span_of(layer), inputs, weights_of });
            } else if title(layer) == SCAN
                && let Some(nodes) = children(layer).and_then(|fields| named(&fields, "nodes"))
            {
                bodies.push((name, self.document.span_of(nodes)));
            }
        }
        for user in users {
            self.user(&user, place);
        }
        for (name, nodes) in bodies {
            let path = format!("{}{name}/", place.path);
            self.list(&nodes, &Place { scope: place.scope, path, within: place.within.clone() });
        }
    }

    /// Makes the copies that a node asks for.
    fn user(&mut self, user: &User, place: &Place) {
        if self.full {
            return;
        }
        let origin = self.document.origin(user.layer.start);
        let tell = !self.told.contains(&origin);
        let before = self.faults.len();
        let path = format!("{}{}", place.path, user.name);
        if let Err(faults) = self.copies(user, &path, place) {
            let named = |fault: Fault| Fault {
                message: format!("node `{path}`{}", fault.message),
                ..fault
            };
            if tell {
                self.faults.extend(faults.into_iter().map(named));
            }
            let layer = user.layer.start;
            self.sharers.push(Sharer { path, block: None, times: None, layer, weights_of: None });
        }
        if self.faults.len() > before {
            self.told.insert(origin);
        }
    }

    fn copies(&mut self, user: &User, path: &str, place: &Place) -> Result<(), Vec<Fault>> {
        let Some(asked) = self.asked(user, place)? else { return Ok(()) };
        let Asked { tag, scope, span, origin, name, times, values } = asked;
        self.sharers.push(Sharer {
            path: path.to_owned(),
            block: Some(origin),
            times,
            layer: user.layer.start,
            weights_of: user.weights_of.clone(),
        });
        let mut within = place.within.clone();
        within.push((origin, name));
        let mut copies = Vec::new();
        for copy in 0..times.unwrap_or(1) {
            let copied = self.copy(&span, &values).ok_or_else(|| {
                let most = format!("{MOST_NODES} nodes or {} MiB of text", MOST_TEXT >> 20);
                let help = "every use, and every copy of a Repeat, has all nodes of its block";
                let fault = Fault::error(format!(", {tag}: blocks make more than {most}"));
                vec![fault.at(user.layer.clone()).help(help)]
            })?;
            copies.push(copied.clone());
            let path = match times {
                Some(_) => format!("{path}/{copy}/"),
                None => format!("{path}/"),
            };
            self.inside(&copied, scope, path, &within);
        }
        self.document.copies.insert(user.layer.start, copies);
        Ok(())
    }

    /// What a node asks for, or what is wrong with that; `None` where that is told already.
    fn asked(&mut self, user: &User, place: &Place) -> Result<Option<Asked>, Vec<Fault>> {
        let mut reader = Reader::new(self.document);
        let text = &reader.document.whole()[user.layer.clone()];
        let tag = title(text).to_owned();
        let usage = reader.usage(text).ok_or(reader.faults)?;
        let name = usage.block.value.clone();
        let error = |span: &Range<usize>, message: String, help: String| {
            vec![Fault::error(format!(", {tag}: {message}")).at(span.clone()).help(help)]
        };
        let Some((scope, at)) = self.find(place.scope, &name) else {
            let help = did_you_mean(&name, self.visible(place.scope));
            return Err(error(&usage.block.span, format!("unknown block `{name}`"), help));
        };
        let Definition { origin, span, takes, .. } = &self.scopes[scope].blocks[at];
        let (origin, span) = (*origin, span.clone());
        if let Some(first) = place.within.iter().position(|(known, _)| *known == origin) {
            let names = place.within[first..].iter().map(|(_, name)| name).chain([&name]);
            let chain: Vec<String> = names.map(|name| format!("`{name}`")).collect();
            let message = format!("block `{name}` uses itself: {}", chain.join(" -> "));
            let help = "a block cannot contain itself; Repeat makes copies that follow one another";
            return Err(error(&user.layer, message, help.into()));
        }
        if place.within.len() == DEEPEST {
            let message = format!("blocks in blocks, more than {DEEPEST} deep");
            return Err(error(&user.layer, message, "let fewer blocks do the work".into()));
        }
        let Some(takes) = takes else {
            self.scopes[scope].blocks[at].used = true;
            return Ok(None);
        };
        let inputs: Vec<String> = takes.inputs.iter().map(|name| format!("`{name}`")).collect();
        if user.inputs != inputs.len() {
            let message =
                format!("block `{name}` has {} inputs, found {}", inputs.len(), user.inputs);
            let help = match inputs.is_empty() {
                true => "leave `from` empty: from: []".to_owned(),
                false => format!("`from` gives, in this order: {}", inputs.join(", ")),
            };
            return Err(error(&user.layer, message, help));
        }
        let times = usage.times;
        if times.is_some() && inputs.is_empty() {
            let message = format!("block `{name}` has no input to go through its copies");
            return Err(error(&user.layer, message, "give it one, or use it with Use".into()));
        }
        let values = values(self.document, &usage, takes).map_err(|faults| {
            let tagged =
                |fault: Fault| Fault { message: format!(", {tag}: {}", fault.message), ..fault };
            faults.into_iter().map(tagged).collect::<Vec<Fault>>()
        })?;
        self.scopes[scope].blocks[at].used = true;
        Ok(Some(Asked { tag, scope, span, origin, name, times, values }))
    }

    /// A copy of a block's text with values in the place of its arguments; `None` at a limit.
    fn copy(
        &mut self,
        block: &Range<usize>,
        values: &[(String, Range<usize>)],
    ) -> Option<Range<usize>> {
        let names: Vec<&str> = values.iter().map(|(name, _)| name.as_str()).collect();
        let mut pieces = Vec::new();
        let mut from = block.start;
        let mut length = 0;
        for (word, name) in mentions(&self.document.whole()[block.clone()], &names) {
            let value = &values[name].1;
            length += value.len();
            if length > MOST_TEXT {
                break;
            }
            pieces.extend(self.document.pieces_of(from..block.start + word.start));
            pieces.extend(self.document.pieces_of(value.clone()));
            from = block.start + word.end;
        }
        pieces.extend(self.document.pieces_of(from..block.end));
        let whole = self.document.whole().len() - self.document.text().len();
        if self.nodes > MOST_NODES || whole + block.len() + length > MOST_TEXT {
            self.full = true;
            return None;
        }
        // A copy counts, however little is in it.
        self.nodes += 1;
        Some(self.document.append(pieces))
    }

    /// Goes on in a copy.
    fn inside(
        &mut self,
        copy: &Range<usize>,
        scope: usize,
        path: String,
        within: &[(Origin, String)],
    ) {
        let fields = children(&self.document.whole()[copy.clone()]).unwrap_or_default();
        let field = |name: &str| named(&fields, name).map(|text| self.document.span_of(text));
        let (blocks, Some(nodes)) = (field("blocks"), field("nodes")) else { return };
        let scope = self.scope(blocks, Some(scope));
        self.list(&nodes, &Place { scope, path, within: within.to_vec() });
    }
}

fn named<'a>(fields: &[Child<'a>], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.name.as_deref() == Some(name)).map(|field| field.text)
}

/// What stands for each argument: what the use says, else the default.
fn values(
    document: &Document,
    usage: &Usage<'_>,
    takes: &Takes,
) -> Result<Vec<(String, Range<usize>)>, Vec<Fault>> {
    let block = &usage.block.value;
    let names = || takes.arguments.iter().map(|(name, _)| name.as_str());
    let unknown = usage.with.iter().filter(|(name, _)| !names().any(|known| known == name));
    let mut faults: Vec<Fault> = unknown
        .map(|(name, text)| {
            Fault::error(format!("block `{block}` has no argument `{name}`"))
                .at(document.span_of(text))
                .help(did_you_mean(name, names()))
        })
        .collect();
    let mut values = Vec::new();
    for (name, default) in &takes.arguments {
        let said = usage.with.iter().find(|(known, _)| known == name);
        match (said.map(|(_, text)| document.span_of(text)), default) {
            (Some(value), _) => values.push((name.clone(), value)),
            (None, Some(default)) => values.push((name.clone(), default.clone())),
            (None, None) => faults.push(
                Fault::error(format!("block `{block}` needs the argument `{name}`"))
                    .at(usage.block.span.clone())
                    .help(format!("say with: {{\"{name}\": ..}}")),
            ),
        }
    }
    if faults.is_empty() { Ok(values) } else { Err(faults) }
}
