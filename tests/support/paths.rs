//! Where things lie.

use std::path::PathBuf;

/// A path from the workspace's root.
pub(crate) fn in_workspace(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
