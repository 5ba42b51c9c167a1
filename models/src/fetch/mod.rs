//! Data sets that others publish: fetched, checked, unpacked.
//!
//! Everything happens in a hidden folder beside the one that is to be made, so that a download that is stopped goes on
//! where it was, and the data set gets its name with one rename when all of it is there.

mod download;
mod error;
mod unpack;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine_datasets::{check_free, hidden_beside, take_name};

use crate::files::{self, Lock, LockError};

pub use download::download;
pub use error::FetchError;
pub use unpack::unpack;

/// Where the CS231n course publishes its captioning set: COCO 2014 captions with VGG-16 features.
pub const COCO: &str = "https://cs231n.stanford.edu/coco_captioning.zip";

/// What a folder in this layout cannot do without: one of each row.
const LAYOUT: [&[&str]; 4] = [
    &["coco2014_captions.h5"],
    &["coco2014_vocab.json"],
    &["train2014_vgg16_fc7_pca.h5", "train2014_vgg16_fc7.h5"],
    &["val2014_vgg16_fc7_pca.h5", "val2014_vgg16_fc7.h5"],
];

/// What to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// The archive's address.
    pub url: String,
    /// The folder to make.
    pub out: PathBuf,
    /// The SHA-256 that the archive must have, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What is put up with.
    pub patience: Patience,
    /// The most bytes of the archive, and of all that is in it.
    pub limits: Limits,
}

/// How long a server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Times that a broken download is taken up again without a byte more.
    pub attempts: u32,
    /// The pause before the first of these; each later one is twice as long.
    pub pause: Duration,
    /// The longest silence of a server.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience { attempts: 5, pause: Duration::from_secs(1), silence: Duration::from_secs(60) }
    }
}

/// The most bytes of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Of itself.
    pub packed: u64,
    /// Of all files in it together.
    pub unpacked: u64,
}

impl Default for Limits {
    /// Several times what the COCO set takes.
    fn default() -> Self {
        Limits { packed: 16 << 30, unpacked: 64 << 30 }
    }
}

/// How far a fetch has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Bytes that are there, of so many if the server says how many there are.
    Download {
        /// Bytes.
        done: u64,
        /// All bytes.
        total: Option<u64>,
    },
    /// Bytes that are unpacked.
    Unpack {
        /// Bytes.
        done: u64,
        /// All bytes.
        total: u64,
    },
}

/// What was fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes of the archive.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The files that were in it.
    pub files: usize,
}

/// Fetches an archive of a data set in the CS231n layout and unpacks it.
///
/// # Errors
/// When the folder is in use, the archive cannot be fetched, is another than it should be, damaged or too large, or holds
/// something else, and when a file cannot be written. What has been downloaded by then is kept for the next try, unless it
/// is of no use.
pub fn fetch(options: &Options, watch: &mut dyn FnMut(Stage)) -> Result<Fetched, FetchError> {
    check_free(&options.out)?;
    let room = Room::open(&options.out)?;
    let archive = room.path.join("archive.zip");
    download(options, &archive, watch)?;
    let fetched = open_archive(options, &room, &archive, watch);
    if let Err(FetchError::Archive { .. } | FetchError::Sum { .. } | FetchError::Layout { .. }) =
        &fetched
    {
        // It is whole and still of no use: the next try is to fetch it again.
        let _ = fs::remove_file(&archive);
    }
    let fetched = fetched?;
    take_name(&room.set(), &options.out)?;
    // The data set stands; what is left over of its making does no harm.
    let _ = fs::remove_dir_all(&room.path);
    Ok(fetched)
}

fn open_archive(
    options: &Options,
    room: &Room,
    archive: &Path,
    watch: &mut dyn FnMut(Stage),
) -> Result<Fetched, FetchError> {
    let sum = files::of_file(archive);
    let unread = |error| FetchError::Io { action: "read", path: archive.to_owned(), error };
    let (bytes, sha256) = sum.map_err(unread)?;
    if let Some(expected) = &options.sha256
        && !expected.eq_ignore_ascii_case(&sha256)
    {
        let (url, expected) = (options.url.clone(), expected.clone());
        return Err(FetchError::Sum { url, expected, found: sha256 });
    }
    let set = room.set();
    match fs::remove_dir_all(&set) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(FetchError::Io { action: "empty", path: set, error });
        }
        _ => {}
    }
    let files = unpack(archive, &set, options.limits.unpacked, watch)?;
    check_layout(&options.url, &set)?;
    Ok(Fetched { bytes, sha256, files })
}

/// Makes sure that a data set has been unpacked, and not something else.
fn check_layout(url: &str, set: &Path) -> Result<(), FetchError> {
    let missing = LAYOUT.iter().find(|names| !names.iter().any(|name| set.join(name).is_file()));
    let Some([missing, ..]) = missing else { return Ok(()) };
    let entries = fs::read_dir(set).into_iter().flatten().flatten();
    let mut holds: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    holds.sort();
    Err(FetchError::Layout { url: url.to_owned(), missing, holds })
}

/// The hidden folder, held by this process.
struct Room {
    path: PathBuf,
    _lock: Lock,
}

impl Room {
    fn open(out: &Path) -> Result<Self, FetchError> {
        let path = hidden_beside(out, ".fetching")?;
        let failed = |error| FetchError::Io { action: "make", path: path.clone(), error };
        fs::create_dir_all(&path).map_err(failed)?;
        match Lock::take(&path.join("lock")) {
            Ok(lock) => Ok(Room { path, _lock: lock }),
            Err(LockError::Taken(process)) => {
                Err(FetchError::Taken { out: out.to_owned(), process })
            }
            Err(LockError::Io(error)) => Err(failed(error)),
        }
    }

    fn set(&self) -> PathBuf {
        self.path.join("set")
    }
}
