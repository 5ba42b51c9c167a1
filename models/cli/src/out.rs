//! Where results go: standard output that may close early, as under `engine layers | head`, and files.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use crate::error::Error;

/// Writes to standard output. A reader that has seen enough ends the command, without complaint.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    match io::stdout().write_fmt(text) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        // Nowhere to say it: standard output is what failed.
        _ => {}
    }
}

/// A line on standard output.
macro_rules! say {
    ($($text:tt)*) => {
        $crate::out::write(format_args!("{}\n", format_args!($($text)*)))
    };
}
pub(crate) use say;

/// Refuses a file that cannot be written before time goes into what it is to hold.
pub(crate) fn writable(path: &Path) -> Result<(), Error> {
    let refuse = |message: String, help: String| Err(Error::Usage { message, help });
    if path.is_dir() {
        let message = format!("cannot write {}: it is a folder", path.display());
        return refuse(message, "give the name of a file".into());
    }
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) if !folder.is_dir() => {
            let folder = folder.display();
            let message = format!("cannot write {}: there is no folder {folder}", path.display());
            refuse(message, format!("make it first: mkdir -p {folder}"))
        }
        _ => Ok(()),
    }
}
