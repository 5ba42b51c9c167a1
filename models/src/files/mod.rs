//! Files that are written whole, folders that one process holds, checksums, names of files that may be meant.

mod beside;
mod checksum;
mod lock;
mod replace;

pub(crate) use beside::nearest_beside;
pub(crate) use checksum::{hexadecimal, of_file};
pub(crate) use lock::{Lock, LockError};
pub use replace::replace;
pub(crate) use replace::{sync_folder, write_new};
