//! Runs as pages, and networks as pictures: one self-contained HTML file that shows what a run has learned, or how
//! several compare, and SVG of any plan.
//!
//! Each section of a page is a file of its own, whose `SECTION` is named in the list of its page.

#![forbid(unsafe_code)]

mod chart;
mod compare;
mod configuration;
mod curves;
mod draw;
mod error;
mod gallery;
mod history;
mod image_score;
mod machine;
mod network;
mod number;
mod page;
mod picture;
mod points;
mod report;
mod section;
mod selection;
mod subject;
mod summary;

pub use compare::{Comparison, Contender, Difference};
pub use draw::{Arrow, Block, BlockKind, Diagram, Group, Placed, draw, place};
pub use error::ReportError;
pub use history::{History, HistoryError, Sample, Series};
pub use report::report;
pub use subject::Subject;
