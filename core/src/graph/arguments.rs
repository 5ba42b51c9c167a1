//! A block's arguments: the words in its text that stand for them, and what a use puts in their place.

use std::ops::Range;

use super::block::BLOCK;
use super::syntax::{children, title};
use super::tokens::{Token, tokens};

/// Where a block's text says one of its arguments: which of them, in the order of the text.
///
/// Strings, comments and names of fields are none of its business, nor are the defaults of arguments. A block within this
/// one that has an argument of the same name means its own.
pub(super) fn mentions(block: &str, names: &[&str]) -> Vec<(Range<usize>, usize)> {
    let hidden = hidden(block);
    let words: Vec<(Token, Range<usize>)> =
        tokens(block).filter(|(token, _)| *token != Token::Blank).collect();
    let mut found = Vec::new();
    for (at, (token, range)) in words.iter().enumerate() {
        let word = &block[range.clone()];
        let names_field = words.get(at + 1).is_some_and(|(_, next)| &block[next.clone()] == ":");
        let is_hidden = hidden.iter().any(|hidden| hidden.hides(word, range.start));
        if let (Token::Word, false, false) = (*token, names_field, is_hidden)
            && let Some(name) = names.iter().position(|name| *name == word)
        {
            found.push((range.clone(), name));
        }
    }
    found
}

/// A stretch of a block's text that does not say its arguments.
struct Hidden {
    whole: Range<usize>,
    /// A part of it that does.
    but: Range<usize>,
    /// The arguments; none for all.
    names: Option<Vec<String>>,
}

impl Hidden {
    fn hides(&self, word: &str, at: usize) -> bool {
        self.whole.contains(&at)
            && !self.but.contains(&at)
            && self.names.as_ref().is_none_or(|names| names.iter().any(|name| name == word))
    }
}

fn hidden(block: &str) -> Vec<Hidden> {
    let range = |text: &str| {
        let start = text.as_ptr() as usize - block.as_ptr() as usize;
        start..start + text.len()
    };
    let mut found = Vec::new();
    let mut open = vec![(block, true)];
    while let Some((text, outermost)) = open.pop() {
        let fields = children(text).unwrap_or_default();
        let field = |name: &str| fields.iter().find(|field| field.name.as_deref() == Some(name));
        let arguments = field("arguments").map_or("", |field| field.text);
        let own = || children(arguments).into_iter().flatten().filter_map(|child| child.name);
        let but = if arguments.is_empty() { 0..0 } else { range(arguments) };
        found.push(match outermost {
            true => Hidden { whole: but, but: 0..0, names: None },
            false => Hidden { whole: range(text), but, names: Some(own().collect()) },
        });
        let inner = field("blocks").and_then(|field| children(field.text)).unwrap_or_default();
        open.extend(inner.iter().filter(|b| title(b.text) == BLOCK).map(|b| (b.text, false)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(block: &str, names: &[&str]) -> Vec<String> {
        let found = mentions(block, names);
        found.iter().map(|(range, name)| format!("{}@{}", names[*name], range.start)).collect()
    }

    #[test]
    fn bare_words_are_meant() {
        let block = r#"Block(inputs: ["Width"], arguments: {"Width": Width}, nodes: [
            (name: "Width", layer: L(Width: 1, units: Width /* Width */), from: []), // Width
        ], output: "Width")"#;
        let at = block.find("units: Width").unwrap() + "units: ".len();
        assert_eq!(said(block, &["Width"]), [format!("Width@{at}")]);
    }

    #[test]
    fn a_block_within_means_its_own() {
        let block = r#"Block(blocks: {
            "a": Block(arguments: {"W": W}, nodes: [W]),
            "b": Block(arguments: {"V": 1}, nodes: [W]),
        }, nodes: [W])"#;
        let all: Vec<usize> = block.match_indices('W').map(|(at, _)| at).collect();
        // The default in `a`, the node in `b`, the node outside; not the name of `a`'s argument and its own node.
        let expected = [all[1], all[3], all[4]].map(|at| format!("W@{at}"));
        assert_eq!(said(block, &["W"]), expected);
    }
}
