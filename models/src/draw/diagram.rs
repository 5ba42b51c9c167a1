//! What a picture of a network shows, before anyone knows where it goes.

use engine_core::Sizes;
use engine_core::graph::{InputPlan, NodePlan, Origin, Plan};

use super::fields::in_short;
use crate::decode::SCORES;

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
    /// Its name.
    pub name: String,
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

impl Diagram {
    /// The picture of a plan.
    pub fn of(plan: &Plan, sizes: &Sizes) -> Self {
        let mut diagram = Diagram::default();
        diagram.blocks.extend(plan.inputs.iter().map(input));
        for node in &plan.nodes {
            let at = diagram.blocks.len();
            diagram.blocks.push(block(plan, node, sizes));
            for origin in plan.origins(node).into_iter().flatten() {
                diagram.arrows.push(arrow(plan, origin, at));
            }
        }
        for (role, value) in results(plan) {
            let at = diagram.blocks.len();
            diagram.blocks.push(Block {
                kind: BlockKind::Output,
                details: vec![format!("result `{role}`: {}", plan.values[value].name)],
                name: role,
                lines: vec!["result".into()],
                group: None,
            });
            let mut arrow = arrow(plan, Origin::Value(value), at);
            // An array that others read as well has its shape written on the way to them.
            if diagram
                .arrows
                .iter()
                .any(|other| other.from == arrow.from && other.label == arrow.label)
            {
                arrow.label.clear();
            }
            diagram.arrows.push(arrow);
        }
        diagram
    }
}

/// The values that are used outside the network, by role: its outputs, and the scores that captions are written by.
fn results(plan: &Plan) -> Vec<(String, usize)> {
    let mut results = plan.outputs.clone();
    if plan.output(SCORES).is_none()
        && let Some(scores) = plan.value(SCORES)
    {
        results.push((SCORES.into(), scores));
    }
    results
}

fn input(input: &InputPlan) -> Block {
    let kind = if input.is_tokens() { "tokens" } else { "numbers" };
    Block {
        kind: BlockKind::Input,
        name: input.name.clone(),
        lines: vec![format!("input, {kind}")],
        details: vec![format!("input `{}`: {kind} {}", input.name, input.shape)],
        group: None,
    }
}

fn block(plan: &Plan, node: &NodePlan, sizes: &Sizes) -> Block {
    let layer = node.layer.as_ref().map_or_else(|| node.tag().to_owned(), in_short);
    let mut details = vec![format!("node `{}`: {layer}", node.name)];
    details.extend(node.outputs().map(|at| format!("gives {}", plan.values[at].shape)));
    let parameters = node.parameters.iter().map(|at| &plan.parameters[*at]);
    details.extend(parameters.map(|p| format!("parameter {} {}", p.name, p.shape)));
    let mut lines = broken(&layer);
    lines.extend(weights(plan, node, sizes));
    Block { kind: BlockKind::Node, name: node.name.clone(), lines, details, group: None }
}

/// How many numbers training changes in a node, or whose it shares.
fn weights(plan: &Plan, node: &NodePlan, sizes: &Sizes) -> Option<String> {
    let parameters: Vec<_> = node.parameters.iter().map(|at| &plan.parameters[*at]).collect();
    let owner = parameters.first()?.name.rsplit_once('.').map_or("", |(owner, _)| owner);
    if owner != node.name {
        return Some(format!("weights of {owner}"));
    }
    let count = |shape: &engine_core::Shape| shape.resolve(sizes).ok().map(|s| s.iter().product());
    let counts: Option<Vec<usize>> = parameters.iter().map(|p| count(&p.shape)).collect();
    Some(match counts {
        Some(counts) => format!("{} parameters", grouped(counts.iter().sum())),
        None => match parameters.len() {
            1 => "1 parameter array".into(),
            many => format!("{many} parameter arrays"),
        },
    })
}

fn arrow(plan: &Plan, origin: Origin, to: usize) -> Arrow {
    let (from, shape) = match origin {
        Origin::Input(at) => (at, &plan.inputs[at].shape),
        Origin::Value(at) => {
            let node = plan.nodes.iter().position(|node| node.outputs().contains(&at));
            let node = node.expect("a value that no data feeds is some node's output");
            (plan.inputs.len() + node, &plan.values[at].shape)
        }
    };
    let label = if shape.rank() == 0 { "one number".into() } else { shape.to_string() };
    Arrow { from, to, label }
}

/// A text in lines of at most [`LINE`] characters, broken behind commas and before parentheses.
fn broken(text: &str) -> Vec<String> {
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

/// A number with thin spaces between groups of three digits.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_grouped_from_the_right() {
        let shown = |number| grouped(number).replace('\u{202f}', " ");
        assert_eq!(shown(7), "7");
        assert_eq!(shown(999), "999");
        assert_eq!(shown(1000), "1 000");
        assert_eq!(shown(12_345_678), "12 345 678");
    }

    #[test]
    fn lines_break_between_fields() {
        let lines = broken("Gru(units: 512, reset: After, bias: false)");
        assert!(lines.len() > 1 && lines.iter().all(|line| line.chars().count() <= LINE + 2));
        let joined: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
        assert_eq!(joined.join(" "), "Gru(units: 512, reset: After, bias: false)");
        assert_eq!(broken("Relu()"), ["Relu()"]);
    }
}
