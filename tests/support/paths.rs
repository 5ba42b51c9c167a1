//! Where things lie.

use std::path::{Path, PathBuf};

/// A path from the workspace's root.
pub(crate) fn in_workspace(path: &str) -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("the package is one of a workspace").join(path)
}
