//! What a report consists of.

use maud::Markup;

use crate::error::ReportError;
use crate::subject::Subject;

/// What stands in a section; nothing where a run does not have what it shows.
pub(crate) type Body = Option<Markup>;

/// A section of a report.
pub(crate) struct Section {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) body: fn(&Subject<'_>) -> Result<Body, ReportError>,
}
