//! Networks as pictures: SVG that stands alone or inside a page.

mod diagram;
mod drawing;
mod fields;
mod layout;
mod svg;

use engine_core::Sizes;
use engine_core::graph::Plan;

pub use diagram::{Arrow, Block, BlockKind, Diagram, Group};
pub use layout::{Placed, place};

/// The network of a plan as an SVG document, from its inputs at the top to its results at the bottom.
///
/// Every input, node and result is a block, every array that is passed on an arrow with its symbolic shape. Numbers of
/// parameters are given where `sizes` binds what they depend on. The same plan gives the same bytes.
pub fn draw(plan: &Plan, sizes: &Sizes, name: &str) -> String {
    svg::document(&place(&Diagram::of(plan, sizes)), name)
}
