//! The report of one run.

use crate::error::ReportError;
use crate::page::{Part, page};
use crate::section::Section;
use crate::subject::Subject;
use crate::{configuration, curves, gallery, machine, network, summary};

/// The sections of a report in their order.
const SECTIONS: [Section; 6] = [
    summary::SECTION,
    curves::SECTION,
    gallery::SECTION,
    network::SECTION,
    configuration::SECTION,
    machine::SECTION,
];

/// The report of a run as the text of an HTML file.
///
/// # Errors
/// When captions cannot be written, or the run's record of its machine is broken.
pub fn report(subject: &Subject<'_>) -> Result<String, ReportError> {
    let mut parts = Vec::new();
    for Section { id, title, body } in &SECTIONS {
        if let Some(body) = body(subject)? {
            parts.push(Part { id, title, body });
        }
    }
    Ok(page(&subject.name, "Report of a training run", &parts))
}
