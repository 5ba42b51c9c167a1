//! Which blocks a text defines, and which of them a name means.

use std::collections::BTreeSet;
use std::ops::Range;

use super::arguments::mentions;
use super::block::{BLOCK, Block, read_in};
use super::document::Origin;
use super::expand::Expander;
use super::fault::Fault;
use super::import::FILE;
use super::read::Reader;
use super::scope::{Definition, Scope, Takes};
use super::syntax::title;

impl Expander<'_> {
    /// The blocks of a map.
    pub(super) fn scope(&mut self, blocks: Option<Range<usize>>, outer: Option<usize>) -> usize {
        let at = self.scopes.len();
        self.scopes.push(Scope { outer, blocks: Vec::new() });
        let Some(blocks) = blocks else { return at };
        let tell = !self.known.contains(&self.document.origin(blocks.start));
        self.known.insert(self.document.origin(blocks.start));
        let named: Vec<(String, Range<usize>)> = self.read(tell, |reader| {
            let text = &reader.document.whole()[blocks];
            let named = reader.named_values(text, "blocks", "{\"name\": Block(..)}");
            named.into_iter().map(|(name, text)| (name, reader.document.span_of(text))).collect()
        });
        for (name, span) in named {
            let definition = self.definition(at, name, span);
            self.scopes[at].blocks.push(definition);
        }
        at
    }

    fn definition(&mut self, scope: usize, name: String, span: Range<usize>) -> Definition {
        let origin = self.document.origin(span.start);
        let tell = self.known.insert(origin);
        let second = self.scopes[scope].blocks.iter().any(|other| other.name == name);
        let takes = self.read(tell, |reader| {
            let text = &reader.document.whole()[span.clone()];
            if second {
                reader.fault(text, format!("a second block `{name}`"), "rename one of them");
            }
            match title(text) {
                BLOCK => reader.block(&name, text).map(|block| takes(reader, &name, text, &block)),
                // What is wrong with a file is told.
                FILE => None,
                _ => {
                    let found = text.lines().next().unwrap_or_default();
                    let message = format!(
                        "block `{name}`: expected Block(..) or File(\"..\"), found `{found}`"
                    );
                    reader.fault(text, message, "");
                    None
                }
            }
        });
        Definition { name, span, origin, takes, used: false }
    }

    /// The block of a name, from the inside out.
    pub(super) fn find(&self, scope: usize, name: &str) -> Option<(usize, usize)> {
        let at = self.scopes[scope].blocks.iter().position(|block| block.name == name);
        match at {
            Some(at) => Some((scope, at)),
            None => self.find(self.scopes[scope].outer?, name),
        }
    }

    pub(super) fn visible(&self, scope: usize) -> Vec<&str> {
        let Scope { outer, blocks } = &self.scopes[scope];
        let outer = outer.map_or(Vec::new(), |outer| self.visible(outer));
        blocks.iter().map(|block| block.name.as_str()).chain(outer).collect()
    }

    /// Warns of blocks that nobody uses.
    pub(super) fn unused(&mut self) {
        let all = || self.scopes.iter().flat_map(|scope| &scope.blocks);
        let used: BTreeSet<Origin> =
            all().filter(|block| block.used).map(|block| block.origin).collect();
        let mut told = BTreeSet::new();
        for block in all() {
            if !used.contains(&block.origin) && told.insert(block.origin) {
                let end = self.document.whole()[block.span.clone()].find('(');
                let span = block.span.start..block.span.start + end.unwrap_or(block.span.len());
                let message = format!("block `{}` is not used", block.name);
                let help = "remove it, or let a node use it";
                self.faults.push(Fault::warning(message).at(span).help(help));
            }
        }
    }
}

/// What a use has to give a block, and warnings of what the block does not need.
fn takes(reader: &mut Reader<'_>, name: &str, text: &str, block: &Block<'_>) -> Takes {
    let arguments: Vec<&str> = block.arguments.iter().map(|(name, _)| name.as_str()).collect();
    let said: BTreeSet<usize> = mentions(text, &arguments).iter().map(|(_, name)| *name).collect();
    let read = read_in(block.nodes);
    let span = |text: &str| reader.document.span_of(text);
    let idle = (0..arguments.len()).filter(|at| !said.contains(at)).map(|at| {
        let place = block.arguments[at].1.map_or_else(|| span(text), span);
        (format!("argument `{}`", arguments[at]), place)
    });
    let unread = block.inputs.iter().filter(|input| !read.contains(&input.value));
    let unread = unread.map(|input| (format!("input `{}`", input.value), input.span.clone()));
    let warnings: Vec<Fault> = idle
        .chain(unread)
        .map(|(what, place)| {
            Fault::warning(format!("block `{name}`: {what} is not used"))
                .at(place)
                .help("remove it")
        })
        .collect();
    let default = |value: &Option<&str>| value.map(span);
    let takes = Takes {
        inputs: block.inputs.iter().map(|input| input.value.clone()).collect(),
        arguments: block
            .arguments
            .iter()
            .map(|(name, value)| (name.clone(), default(value)))
            .collect(),
    };
    reader.faults.extend(warnings);
    takes
}
