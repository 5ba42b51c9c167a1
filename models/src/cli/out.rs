//! Standard output that may close early, as under `engine layers | head`.

use std::fmt;
use std::io::{self, Write};

/// Writes to standard output. A reader that has seen enough ends the command, without complaint.
pub(super) fn write(text: fmt::Arguments<'_>) {
    match io::stdout().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        // Nowhere to say it: standard output is what failed.
        _ => {}
    }
}

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::cli::out::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(super) use say;
