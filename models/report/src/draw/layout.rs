//! Where blocks and arrows go: layers by longest path, few crossings (Sugiyama, Tagawa and Toda 1981), as `dagre` does it.

use dagre::graph::{Graph, GraphOptions};
use dagre::layout::types::LabelPos;
use dagre::{EdgeLabel, LayoutOptions, NodeLabel};

use super::diagram::{Block, Diagram};

/// The size of the letters of names, in pixels.
pub(super) const NAME: f64 = 15.0;
/// The size of all other letters, in pixels.
pub(super) const SMALL: f64 = 12.5;
/// The distance of two lines of text, as a share of the size of letters.
pub(super) const LINE_HEIGHT: f64 = 1.4;
/// Between the text of a block and its outline, in pixels.
pub(super) const PADDING: f64 = 10.0;
/// The width of a letter as a share of its size. Monospaced fonts are between 0.55 and 0.61.
const LETTER: f64 = 0.615;

/// A diagram with the place of everything in it, in pixels from the top left corner.
#[derive(Debug, Clone)]
pub struct Placed {
    /// What is placed.
    pub diagram: Diagram,
    /// The width of the whole.
    pub width: f64,
    /// The height of the whole.
    pub height: f64,
    /// The outline of each block.
    pub blocks: Vec<Rectangle>,
    /// The way of each arrow, and the middle of its label.
    pub arrows: Vec<Way>,
    /// The outline of each frame.
    pub groups: Vec<Rectangle>,
}

/// A rectangle around its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rectangle {
    /// The middle.
    pub x: f64,
    /// The middle.
    pub y: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// The way of an arrow.
#[derive(Debug, Clone, PartialEq)]
pub struct Way {
    /// From block to block.
    pub points: Vec<(f64, f64)>,
    /// The space that its label takes.
    pub label: Rectangle,
}

impl Rectangle {
    /// Whether two rectangles have more than their edges in common.
    pub fn overlaps(&self, other: &Self) -> bool {
        (self.x - other.x).abs() < (self.width + other.width) / 2.0 - 1e-6
            && (self.y - other.y).abs() < (self.height + other.height) / 2.0 - 1e-6
    }
}

/// The width of a text in letters of this size.
fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * size * LETTER
}

fn block_size(block: &Block) -> (f64, f64) {
    let lines = block.lines.iter().map(|line| text_width(line, SMALL));
    let width = lines.fold(text_width(&block.name, NAME), f64::max);
    let height = LINE_HEIGHT * (NAME + SMALL * block.lines.len() as f64);
    (width + 2.0 * PADDING, height + 1.5 * PADDING)
}

/// Finds a place for everything. The same diagram is placed the same way each time.
pub fn place(diagram: &Diagram) -> Placed {
    let mut graph = layered(diagram);
    let options = LayoutOptions {
        nodesep: 18.0,
        edgesep: 14.0,
        ranksep: 34.0,
        marginx: 6.0,
        marginy: 6.0,
        ..LayoutOptions::default()
    };
    dagre::layout(&mut graph, Some(options));
    let rectangle = |key: &str| {
        let node = graph.node(key).expect("the layout keeps the nodes that it was given");
        let (x, y) = (node.x.unwrap_or_default(), node.y.unwrap_or_default());
        Rectangle { x, y, width: node.width, height: node.height }
    };
    let blocks: Vec<Rectangle> =
        (0..diagram.blocks.len()).map(|at| rectangle(&block_key(at))).collect();
    let groups: Vec<Rectangle> =
        (0..diagram.groups.len()).map(|at| rectangle(&group_key(at))).collect();
    let arrows: Vec<Way> = (0..diagram.arrows.len()).map(|at| way(&graph, diagram, at)).collect();
    let labels = arrows.iter().map(|way| &way.label);
    let all = || blocks.iter().chain(&groups).chain(labels.clone());
    let width = all().map(|r| r.x + r.width / 2.0).fold(0.0, f64::max) + 6.0;
    let height = all().map(|r| r.y + r.height / 2.0).fold(0.0, f64::max) + 6.0;
    Placed { diagram: diagram.clone(), width, height, blocks, arrows, groups }
}

fn block_key(at: usize) -> String {
    format!("block {at}")
}

fn group_key(at: usize) -> String {
    format!("group {at}")
}

/// The diagram as `dagre` takes it: blocks and labels with their sizes.
fn layered(diagram: &Diagram) -> Graph<NodeLabel, EdgeLabel> {
    let options = GraphOptions { directed: true, multigraph: true, compound: true };
    let mut graph = Graph::with_options(options);
    for (at, block) in diagram.blocks.iter().enumerate() {
        let (width, height) = block_size(block);
        graph.set_node(block_key(at), Some(NodeLabel { width, height, ..NodeLabel::default() }));
    }
    for (at, _) in diagram.groups.iter().enumerate() {
        graph.set_node(group_key(at), Some(NodeLabel::default()));
    }
    for (at, block) in diagram.blocks.iter().enumerate() {
        if let Some(group) = block.group {
            graph.set_parent(&block_key(at), Some(&group_key(group)));
        }
    }
    for (at, group) in diagram.groups.iter().enumerate() {
        if let Some(parent) = group.parent {
            graph.set_parent(&group_key(at), Some(&group_key(parent)));
        }
    }
    for (at, arrow) in diagram.arrows.iter().enumerate() {
        let (width, height) = match arrow.label.as_str() {
            "" => (0.0, 0.0),
            label => (text_width(label, SMALL) + 6.0, SMALL * LINE_HEIGHT),
        };
        let label = EdgeLabel { width, height, labelpos: LabelPos::Center, ..EdgeLabel::default() };
        let (from, to, name) = (block_key(arrow.from), block_key(arrow.to), at.to_string());
        graph.set_edge(from, to, Some(label), Some(&name));
    }
    graph
}

fn way(graph: &Graph<NodeLabel, EdgeLabel>, diagram: &Diagram, at: usize) -> Way {
    let arrow = &diagram.arrows[at];
    let (from, to, name) = (block_key(arrow.from), block_key(arrow.to), at.to_string());
    let edge = graph.edge(&from, &to, Some(&name));
    let edge = edge.expect("the layout keeps the edges that it was given");
    let label = Rectangle {
        x: edge.x.unwrap_or_default(),
        y: edge.y.unwrap_or_default(),
        width: edge.width,
        height: edge.height,
    };
    Way { points: edge.points.iter().map(|p| (p.x, p.y)).collect(), label }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    use super::super::diagram::{Arrow, BlockKind, Group};
    use super::*;

    /// A random network: each block reads some of those before it, the last ones lie in a frame.
    fn random(seed: u64) -> Diagram {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let count = rng.random_range(2..14usize);
        let framed = rng.random_range(0..count);
        let block = |at: usize| Block {
            kind: BlockKind::Node,
            name: "n".repeat(at % 9 + 1),
            path: at.to_string(),
            lines: vec!["x".repeat(at * 7 % 27)],
            details: Vec::new(),
            group: (at > framed).then_some(0),
        };
        let blocks = (0..count).map(block).collect();
        let mut arrows = Vec::new();
        for to in 1..count {
            for _ in 0..rng.random_range(1..3usize) {
                let from = rng.random_range(0..to);
                arrows.push(Arrow { from, to, label: "[Batch, Time, 512]".into() });
            }
        }
        let groups = vec![Group { title: "body".into(), parent: None }];
        Diagram { blocks, arrows, groups }
    }

    #[test]
    fn nothing_lies_on_anything_else() {
        for seed in 0..40 {
            println!("seed {seed}");
            let placed = place(&random(seed));
            let labels = placed.arrows.iter().map(|way| way.label);
            let all: Vec<Rectangle> = placed.blocks.iter().copied().chain(labels).collect();
            for (i, a) in all.iter().enumerate() {
                assert!(a.x - a.width / 2.0 >= 0.0 && a.x + a.width / 2.0 <= placed.width);
                assert!(a.y - a.height / 2.0 >= 0.0 && a.y + a.height / 2.0 <= placed.height);
                for b in &all[i + 1..] {
                    assert!(!a.overlaps(b), "{a:?} {b:?}");
                }
            }
        }
    }

    #[test]
    fn frames_hold_their_blocks() {
        for seed in 0..40 {
            println!("seed {seed}");
            let placed = place(&random(seed));
            for (block, outline) in placed.diagram.blocks.iter().zip(&placed.blocks) {
                let frame = &placed.groups[0];
                let inside = (outline.x - frame.x).abs() + outline.width / 2.0 <= frame.width / 2.0
                    && (outline.y - frame.y).abs() + outline.height / 2.0 <= frame.height / 2.0;
                assert!(block.group.is_none() || inside, "{outline:?} in {frame:?}");
            }
        }
    }

    #[test]
    fn arrows_lead_down() {
        let placed = place(&random(3));
        for (arrow, way) in placed.diagram.arrows.iter().zip(&placed.arrows) {
            assert!(way.points.len() >= 2);
            assert!(placed.blocks[arrow.from].y < placed.blocks[arrow.to].y);
        }
    }
}
