//! The blocks that a text can use by name, and what they take.

use std::ops::Range;

use super::document::Origin;

/// The blocks that a text can use by name.
pub(super) struct Scope {
    pub(super) outer: Option<usize>,
    pub(super) blocks: Vec<Definition>,
}

pub(super) struct Definition {
    pub(super) name: String,
    pub(super) span: Range<usize>,
    pub(super) origin: Origin,
    /// The names of its inputs, its arguments and their defaults; `None` after a fault.
    pub(super) takes: Option<Takes>,
    pub(super) used: bool,
}

/// What a block takes.
pub(super) struct Takes {
    pub(super) inputs: Vec<String>,
    pub(super) arguments: Vec<(String, Option<Range<usize>>)>,
}
