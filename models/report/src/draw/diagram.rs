//! What a picture of a network shows, before anyone knows where it goes.

/// Blocks, the arrows between them, and the frames around some of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagram {
    /// Inputs first, then nodes in the order of computation, then results.
    pub blocks: Vec<Block>,
    /// What is passed on.
    pub arrows: Vec<Arrow>,
    /// Frames: blocks that belong together, such as the body of a node.
    pub groups: Vec<Group>,
}

/// What a block stands for, which decides its outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlockKind {
    /// An array that data feeds.
    Input,
    /// A layer in its place.
    Node,
    /// A result, by its role.
    Output,
}

/// One block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it stands for.
    pub kind: BlockKind,
    /// Its name, without the path of the frame that it is in.
    pub name: String,
    /// Its name with the path.
    pub path: String,
    /// Lines below the name.
    pub lines: Vec<String>,
    /// What a reader who points at it is told, a line each.
    pub details: Vec<String>,
    /// The frame that it is in: an index into the diagram's groups.
    pub group: Option<usize>,
}

/// An array on its way from one block to another: indices into the diagram's blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrow {
    /// Where it comes from.
    pub from: usize,
    /// Who reads it.
    pub to: usize,
    /// Its symbolic shape; empty where another arrow says it.
    pub label: String,
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// What stands on it.
    pub title: String,
    /// The frame around it: an index into the diagram's groups.
    pub parent: Option<usize>,
}

/// The longest line of a block, in characters, where it can be broken at all.
const LINE: usize = 26;

/// A text in lines of at most [`LINE`] characters, broken behind commas and before parentheses.
pub(super) fn broken(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in text.split_inclusive(", ") {
        let last = lines.last_mut().expect("there is a first line");
        if !last.is_empty() && last.chars().count() + part.trim_end().chars().count() > LINE {
            lines.push(format!("  {part}"));
        } else {
            last.push_str(part);
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_fields() {
        let lines = broken("Gru(units: 512, reset: After, bias: false)");
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= LINE + 2));
        let joined: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        assert_eq!(joined.join(" "), "Gru(units: 512, reset: After, bias: false)");
        assert_eq!(broken("Relu()"), ["Relu()"]);
    }
}
