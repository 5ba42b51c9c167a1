//! What can stop a data set from being fetched.

use std::io;
use std::path::PathBuf;

use engine_datasets::quote;

/// Why a data set was not fetched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The address is none.
    #[error("`{url}` is no address of a file on the web: {message}")]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        message: String,
    },
    /// No server answers.
    #[error("cannot reach {url}: {message}")]
    Unreachable {
        /// The address.
        url: String,
        /// The reason.
        message: String,
    },
    /// The server answers with something else than a file.
    #[error("{url} answers with status {status}, expected 200")]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
    },
    /// The download broke, again and again.
    #[error("the download of {url} broke at {done}{} bytes: {message}", total.map(|total| format!(" of {total}")).unwrap_or_default())]
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
    TooLarge {
        /// The address of the archive, or what is in it.
        what: String,
        /// The most that is taken in.
        limit: u64,
    },
    /// Not the archive that is wanted.
    #[error("{url} has the SHA-256 {found}, expected {expected}")]
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
    Taken {
        /// The folder to make.
        out: PathBuf,
        /// Its number.
        process: Option<u32>,
    },
}

impl FetchError {
    /// What to try.
    pub fn help(&self) -> String {
        use FetchError::*;
        match self {
            Address { .. } => "give an address that begins with https:// or http://".into(),
            Unreachable { .. } => "is the machine on the web? Another place that has the file is given with --url".into(),
            Status { status: 404 | 410, .. } => "the file has moved: give its new address with --url".into(),
            Status { status: 401 | 403, .. } => "the server does not give it to everybody: give another address with --url".into(),
            Status { .. } => "try again later, or give another address with --url".into(),
            Broken { .. } => "what is there is kept: the same command goes on".into(),
            TooLarge { .. } => "is it the right file? Give another address with --url".into(),
            Sum { .. } => "the file has changed, or was damaged on the way: fetch it again, or from another place with --url".into(),
            Archive { .. } => "the file was not what it should be and has been removed: the same command fetches it again".into(),
            Layout { .. } => "give the address of coco_captioning.zip, or of an archive with the same files".into(),
            Io { path, .. } => format!(
                "is the disk full? What has been fetched is kept beside the folder to make, at {}: the same command goes on",
                quote(path.parent().unwrap_or(path))
            ),
            Taken { .. } => "wait for it, or give another folder to make".into(),
        }
    }
}
