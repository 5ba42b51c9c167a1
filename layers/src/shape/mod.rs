//! The same numbers in another shape or order, and parts of them.

pub mod along_time;
pub mod at_end;
pub mod chunk;
pub(crate) mod columns;
pub mod concat;
pub mod coordinates;
pub mod flatten;
pub mod pad;
pub mod reshape;
pub mod slice;
pub mod transpose;
mod view;

pub use along_time::AlongTime;
pub use at_end::AtEnd;
pub use chunk::Chunk;
pub use concat::Concat;
pub use coordinates::Coordinates;
pub use flatten::Flatten;
pub use pad::Pad;
pub use reshape::Reshape;
pub use slice::Slice;
pub use transpose::Transpose;
