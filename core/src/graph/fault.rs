//! What is wrong with a graph file, and where.

use std::ops::Range;

use super::suggest::did_you_mean;

/// Whether a fault keeps a graph from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but it is hardly meant.
    Warning,
}

/// One thing that is wrong: what was expected and found, where, and what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whether it keeps the graph from running.
    pub severity: Severity,
    /// What was expected and what was found.
    pub message: String,
    /// Bytes of the [`Document`](super::Document)'s text, where there is a place.
    pub span: Option<Range<usize>>,
    /// What to try.
    pub help: Option<String>,
}

impl Fault {
    /// A fault that keeps the graph from running.
    pub fn error(message: impl Into<String>) -> Self {
        Fault { severity: Severity::Error, message: message.into(), span: None, help: None }
    }

    /// A fault that does not.
    pub fn warning(message: impl Into<String>) -> Self {
        Fault { severity: Severity::Warning, ..Self::error(message) }
    }

    /// The same fault at a place.
    pub fn at(mut self, span: Range<usize>) -> Self {
        self.span = Some(span);
        self
    }

    /// The same fault with something to try.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// RON's error in this project's words. Errors from inside trait objects reach RON as text, so their names are read
    /// back from it.
    pub(crate) fn from_ron(error: &ron::Error) -> Self {
        use ron::Error::{NoSuchEnumVariant, NoSuchStructField};
        let text = error.to_string();
        let quoted: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let starts = |beginnings: &[&str]| beginnings.iter().any(|b| text.starts_with(b));
        match (error, quoted.as_slice()) {
            (NoSuchEnumVariant { expected, found, .. }, _) => {
                Fault::unknown("name", found, expected.iter().copied())
            }
            (NoSuchStructField { expected, found, .. }, _) => {
                Fault::unknown("field", found, expected.iter().copied())
            }
            (_, [found, names @ ..])
                if starts(&[
                    "Unexpected enum variant",
                    "Unexpected variant",
                    "unknown variant",
                ]) =>
            {
                Fault::unknown("name", found, names.iter().copied())
            }
            (_, [found, names @ ..]) if starts(&["Unexpected field", "unknown field"]) => {
                Fault::unknown("field", found, names.iter().copied())
            }
            (_, [name, ..]) if starts(&["Unexpected missing field", "missing field"]) => {
                Fault::error(format!("the field `{name}` is missing"))
            }
            _ => Fault::error(text),
        }
    }

    fn unknown<'a>(what: &str, found: &str, names: impl Iterator<Item = &'a str>) -> Self {
        Fault::error(format!("unknown {what} `{found}`")).help(did_you_mean(found, names))
    }

    /// The same fault of something that has a name: `node hidden`.
    pub fn of(mut self, whose: &str) -> Self {
        self.message = format!("{whose}: {}", self.message);
        self
    }
}
