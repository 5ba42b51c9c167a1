//! Graph files as they are opened: their text, or what keeps it from being used.

use std::io;
use std::path::{Path, PathBuf};

use engine_core::graph::{Document, Fault, Faults};

use crate::files::nearest_beside;

/// A graph file that cannot be read, or is wrong.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum GraphError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}", path.display())]
    #[diagnostic(help("give a graph file; {}", nearest_beside(path, is_graph)))]
    Read {
        /// The file.
        path: PathBuf,
        /// The file system's reason.
        #[source]
        error: io::Error,
    },
    /// The file, or a value that takes the place of one of its own, is wrong.
    #[error("{0}")]
    Wrong(#[source] Box<Faults>),
}

fn is_graph(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ron")
}

/// The text of a graph file, with everything that it imports.
///
/// # Errors
/// When a file cannot be read, or an import is wrong.
pub(crate) fn open(path: &Path) -> Result<Document, GraphError> {
    let (document, fault) =
        Document::read(path).map_err(|error| GraphError::Read { path: path.to_owned(), error })?;
    match fault {
        Some(fault) => Err(wrong(&document, vec![fault])),
        None => Ok(document),
    }
}

/// The error of these faults, in the order of the text; those without a place come first.
pub(crate) fn wrong(document: &Document, mut faults: Vec<Fault>) -> GraphError {
    faults.sort_by_key(|fault| fault.span.as_ref().map(|span| span.start));
    GraphError::Wrong(Box::new(Faults { document: document.clone(), faults }))
}
