//! Runs that cannot be reported on.

use std::path::PathBuf;

/// Why there is no report of a run.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum ReportError {
    /// What the run says of its machine is no JSON.
    #[error("{}:{line}:{column}: {message}", path.display())]
    #[diagnostic(help("mend the file, or remove it: a report can do without"))]
    Machine {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong there.
        message: String,
    },
}
