//! Errors as people read them: where, what was expected, what was found, what to try.

use std::fmt;

use engine_core::engine::checkpoint::CheckpointError;
use engine_core::engine::{BuildError, FeedError};
use engine_core::graph::{Document, Fault, Faults, Severity};
use engine_datasets::DataError;
use miette::{Diagnostic, LabeledSpan, MietteHandlerOpts, NamedSource, Report, SourceCode};
use textwrap::WordSplitter;

use crate::error::Error;

/// Sets how reports are drawn: no wrapping in the middle of a word or of a name with hyphens, whatever the width of the
/// terminal.
pub(crate) fn install() {
    let handler = |_: &_| {
        let options = MietteHandlerOpts::new().width(120).break_words(false);
        Box::new(options.word_splitter(WordSplitter::NoHyphenation).build()) as Box<_>
    };
    // A second call finds the first one's handler in place, which is as good.
    let _ = miette::set_hook(Box::new(handler));
}

/// Prints an error to standard error, or, of a wrong graph file, everything that is wrong.
pub(crate) fn print(error: &Error) {
    match causes(error).find_map(|cause| cause.downcast_ref::<Box<Faults>>()) {
        Some(faults) => print_faults(&faults.document, &faults.faults),
        None => print_report(Text {
            message: error.to_string(),
            help: help(error),
            severity: Severity::Error,
            place: None,
        }),
    }
}

/// An error and what it comes from.
fn causes(error: &Error) -> impl Iterator<Item = &(dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source())
}

/// What to try.
fn help(error: &Error) -> Option<String> {
    error.help().map(|help| help.to_string()).or_else(|| causes(error).find_map(help_below))
}

/// What to try about an error of the crates below the library.
fn help_below(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<DataError>() {
        return error.help();
    }
    if let Some(error) = error.downcast_ref::<BuildError>() {
        return Some(match error {
            BuildError::Unbound { symbol, .. } => format!("the data binds no size `{symbol}`"),
            BuildError::TooLarge { .. } => "is one of its sizes a slip?".into(),
            BuildError::NoRole { role, .. } => {
                format!("name a value so in the graph's `outputs`: {{\"{role}\": NODE}}")
            }
        });
    }
    if error.is::<FeedError>() {
        return Some(
            "the graph's inputs and the data must agree; see `engine data info DIR`".into(),
        );
    }
    error.is::<CheckpointError>().then(|| "is this the checkpoint of another graph?".into())
}

/// Prints faults to standard error, each with the lines of the file that it is about.
pub(crate) fn print_faults(document: &Document, faults: &[Fault]) {
    for fault in faults {
        let place = fault.span.as_ref().filter(|span| !span.is_empty()).map(|span| {
            let place = document.place(span);
            (NamedSource::new(place.source, place.text.to_owned()), place.span)
        });
        let message = match place {
            Some(_) => fault.message.clone(),
            None => format!("{}: {}", document.name(), fault.message),
        };
        print_report(Text { message, help: fault.help.clone(), severity: fault.severity, place });
    }
}

fn print_report(text: Text) {
    eprint!("{:?}", Report::new(text));
}

/// A message with its place, in the form that miette draws.
#[derive(Debug)]
struct Text {
    message: String,
    help: Option<String>,
    severity: Severity,
    place: Option<(NamedSource<String>, std::ops::Range<usize>)>,
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Text {}

impl Diagnostic for Text {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<_>)
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.place.as_ref().map(|(source, _)| source as _)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (_, span) = self.place.as_ref()?;
        let label = LabeledSpan::underline(span.clone());
        Some(Box::new(std::iter::once(label)))
    }
}
