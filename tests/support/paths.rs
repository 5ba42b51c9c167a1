//! Where things lie.

use std::path::{Path, PathBuf};

/// A path from the workspace's root, the nearest folder above this package that has graph files.
pub(crate) fn in_workspace(path: &str) -> PathBuf {
    let mut folders = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let root = folders.find(|folder| folder.join("graphs").is_dir());
    root.expect("the package is one of a workspace").join(path)
}
