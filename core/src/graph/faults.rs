//! Faults in words, with their places.

use std::fmt;

use super::document::Document;
use super::fault::{Fault, Severity};

impl Fault {
    /// The fault as one paragraph that starts with its place.
    pub fn display<'a>(&'a self, document: &'a Document) -> impl fmt::Display + 'a {
        fmt::from_fn(move |f| {
            match &self.span {
                Some(span) => write!(f, "{}: ", document.place(span))?,
                None => write!(f, "{}: ", document.name())?,
            }
            if self.severity == Severity::Warning {
                f.write_str("warning: ")?;
            }
            f.write_str(&self.message)?;
            match &self.help {
                Some(help) => write!(f, " ({help})"),
                None => Ok(()),
            }
        })
    }
}

/// Everything that is wrong with one document.
#[derive(Debug, Clone, thiserror::Error)]
pub struct Faults {
    /// The text that the faults' places refer to.
    pub document: Document,
    /// At least one error, and any warnings.
    pub faults: Vec<Fault>,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "\n" }, fault.display(&self.document))?;
        }
        Ok(())
    }
}
