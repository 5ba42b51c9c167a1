//! What can stop a data set from being fetched.

use std::io;
use std::path::PathBuf;

use engine_datasets::{DataError, quote};

/// Why a data set was not fetched.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[non_exhaustive]
pub enum FetchError {
    /// The folder to make cannot be made.
    #[error("{0}")]
    Data(#[from] DataError),
    /// The address is none.
    #[error("`{url}` is no address of a file on the web: {message}")]
    #[diagnostic(help("give an address that begins with https:// or http://"))]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// No server answers.
    #[error("cannot reach {url}: {message}")]
    #[diagnostic(help(
        "is the machine on the web? Another place that has the file is given with --url"
    ))]
    Unreachable {
        /// The address.
        url: String,
        /// The reason.
        message: String,
    },
    /// The server answers with something else than a file.
    #[error("{url} answers with status {status}, expected 200")]
    #[diagnostic(help("{}", status_help(*status)))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// The download broke, again and again.
    #[error("the download of {url} broke at {done}{} bytes: {message}", total.map(|total| format!(" of {total}")).unwrap_or_default())]
    #[diagnostic(help("what is there is kept: the same command goes on"))]
    Broken {
        /// The address.
        url: String,
        /// Bytes that are there.
        done: u64,
        /// All bytes, if the server says how many there are.
        total: Option<u64>,
        /// The last reason.
        message: String,
    },
    /// More bytes than are taken in.
    #[error("{what} is larger than {limit} bytes")]
    #[diagnostic(help("is it the right file? Give another address with --url"))]
    TooLarge {
        /// The address of the archive, or what is in it.
        what: String,
        /// The most that is taken in.
        limit: u64,
    },
    /// Not the archive that is wanted.
    #[error("{url} has the SHA-256 {found}, expected {expected}")]
    #[diagnostic(help(
        "the file has changed, or was damaged on the way: fetch it again, or from another place with --url"
    ))]
    Sum {
        /// The address.
        url: String,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The file is no archive, or damaged.
    #[error("{} cannot be unpacked: {message}", path.display())]
    #[diagnostic(help(
        "the file was not what it should be and has been removed: the same command fetches it again"
    ))]
    Archive {
        /// The file.
        path: PathBuf,
        /// Why not.
        message: String,
    },
    /// An archive of something else.
    #[error(
        "{url} is no data set in the CS231n layout: it has no `{missing}`; it holds {}",
        if holds.is_empty() { "nothing".into() } else { holds.join(", ") }
    )]
    #[diagnostic(help(
        "give the address of coco_captioning.zip, or of an archive with the same files"
    ))]
    Layout {
        /// The address.
        url: String,
        /// A file that it should hold.
        missing: &'static str,
        /// What it holds.
        holds: Vec<String>,
    },
    /// The file system refused.
    #[error("cannot {action} {}: {error}", path.display())]
    #[diagnostic(help(
        "is the disk full? What has been fetched is kept beside the folder to make, at {}: the same command goes on",
        quote(path.parent().unwrap_or(path))
    ))]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        #[source]
        error: io::Error,
    },
    /// Another process fetches into the same folder.
    #[error(
        "another process{} fetches {}",
        process.map(|number| format!(" ({number})")).unwrap_or_default(),
        out.display()
    )]
    #[diagnostic(help("wait for it, or give another folder to make"))]
    Taken {
        /// The folder to make.
        out: PathBuf,
        /// Its number.
        process: Option<u32>,
    },
}

fn status_help(status: u16) -> &'static str {
    match status {
        404 | 410 => "the file has moved: give its new address with --url",
        401 | 403 => "the server does not give it to everybody: give another address with --url",
        _ => "try again later, or give another address with --url",
    }
}
