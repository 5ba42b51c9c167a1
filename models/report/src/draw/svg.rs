//! A placed diagram as SVG.

use maud::{Markup, PreEscaped, html};

use super::diagram::{Arrow, Block, BlockKind};
use super::layout::{LINE_HEIGHT, NAME, PADDING, Placed, Rectangle, SMALL, Way};

const STYLE: &str = include_str!("draw.css");

/// How far an arrow's head reaches back from its tip, in pixels.
const HEAD: f64 = 8.0;

/// The whole document: it takes the width that it is given, up to its own.
pub(super) fn document(placed: &Placed, name: &str) -> String {
    let (width, height) = (placed.width.ceil(), placed.height.ceil());
    let diagram = &placed.diagram;
    let title = format!("The network {name}");
    html! {
        svg class="engine-graph" xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) }
            width=(width) height=(height) role="img" aria-label=(title) style="max-width:100%;height:auto" {
            title { (title) }
            desc { (described(placed)) }
            style { (PreEscaped(STYLE)) }
            rect class="paper" width=(width) height=(height) {}
            @for at in &placed.groups { g class="frame" { (outline(at, 8.0)) } }
            @for way in &placed.arrows { (line(way)) }
            @for (block, at) in diagram.blocks.iter().zip(&placed.blocks) { (drawn(block, at)) }
            @for (arrow, way) in diagram.arrows.iter().zip(&placed.arrows) { (label(arrow, way)) }
            @for (group, at) in diagram.groups.iter().zip(&placed.groups) {
                text class="small title" x=(round(at.x - at.width / 2.0 + PADDING))
                    y=(round(at.y - at.height / 2.0 + SMALL + 2.0)) { (group.title) }
            }
        }
    }
    .into_string()
}

/// The network in words, for those who do not see the picture.
fn described(placed: &Placed) -> String {
    let diagram = &placed.diagram;
    let arrow = |arrow: &Arrow| {
        let (from, to) = (&diagram.blocks[arrow.from].path, &diagram.blocks[arrow.to].path);
        let label = if arrow.label.is_empty() { "the same" } else { &arrow.label };
        format!("{from} to {to}: {label}")
    };
    diagram.arrows.iter().map(arrow).collect::<Vec<_>>().join("; ")
}

fn outline(at: &Rectangle, radius: f64) -> Markup {
    html! {
        rect x=(round(at.x - at.width / 2.0)) y=(round(at.y - at.height / 2.0))
            width=(round(at.width)) height=(round(at.height)) rx=(round(radius)) {}
    }
}

fn drawn(block: &Block, at: &Rectangle) -> Markup {
    let (class, radius) = match block.kind {
        BlockKind::Input => ("block input", at.height / 2.0),
        BlockKind::Node => ("block node", 4.0),
        BlockKind::Output => ("block output", at.height / 2.0),
    };
    let first = at.y - at.height / 2.0 + 0.7 * PADDING + NAME;
    let baseline = |line: usize| first + LINE_HEIGHT * SMALL * (line + 1) as f64;
    html! {
        g class=(class) {
            title { (block.details.join("\n")) }
            (outline(at, radius.min(18.0)))
            text class="name" x=(round(at.x)) y=(round(first)) text-anchor="middle" { (block.name) }
            @for (i, line) in block.lines.iter().enumerate() {
                text class="small" x=(round(at.x)) y=(round(baseline(i))) text-anchor="middle" { (line.trim()) }
            }
        }
    }
}

fn label(arrow: &Arrow, way: &Way) -> Markup {
    let at = &way.label;
    if arrow.label.is_empty() {
        return html! {};
    }
    html! {
        rect class="paper" x=(round(at.x - at.width / 2.0 + 3.0)) y=(round(at.y - 0.55 * SMALL))
            width=(round(at.width - 6.0)) height=(round(1.1 * SMALL)) {}
        text class="small" x=(round(at.x)) y=(round(at.y + 0.35 * SMALL)) text-anchor="middle" { (arrow.label) }
    }
}

/// A line through the points, round at those in between, with a head at its end.
fn line(way: &Way) -> Markup {
    let [first, .., before, tip] = way.points[..] else { return html! {} };
    let (dx, dy) = (tip.0 - before.0, tip.1 - before.1);
    let length = dx.hypot(dy).max(f64::MIN_POSITIVE);
    let (dx, dy) = (dx / length, dy / length);
    let end = (tip.0 - HEAD * dx, tip.1 - HEAD * dy);
    let corner = |side: f64| (end.0 - side * HEAD * 0.5 * dy, end.1 + side * HEAD * 0.5 * dx);
    let mut path = format!("M{}", point(first));
    for pair in way.points[1..].windows(2) {
        let last = pair[1] == tip;
        let next = if last { end } else { middle(pair[0], pair[1]) };
        path += &format!("Q{} {}", point(pair[0]), point(next));
    }
    let head = format!("M{}L{}L{}Z", point(tip), point(corner(1.0)), point(corner(-1.0)));
    html! {
        path class="arrow" d=(path) {}
        path class="head" d=(head) {}
    }
}

fn middle(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    ((a.0 + b.0) / 2.0, (a.1 + b.1) / 2.0)
}

fn point((x, y): (f64, f64)) -> String {
    format!("{} {}", round(x), round(y))
}

/// To a tenth of a pixel.
fn round(x: f64) -> f64 {
    (x * 10.0).round() / 10.0
}
