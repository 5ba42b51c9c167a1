//! Names that may have been meant in the place of one that is not there.

use std::fs;
use std::path::{Path, PathBuf};

use engine_core::graph::did_you_mean;

/// The files or folders of this kind in the folder of `path`, the nearest name first, as a help text lists them.
pub(crate) fn nearest_beside(path: &Path, is_of_kind: impl Fn(&Path) -> bool) -> String {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let entries = fs::read_dir(parent.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    let join = |name| parent.map_or(PathBuf::from(&name), |parent| parent.join(&name));
    let mut names: Vec<String> = entries
        .filter(|entry| is_of_kind(&entry.path()))
        .map(|entry| join(entry.file_name()).display().to_string())
        .collect();
    names.sort();
    did_you_mean(&path.display().to_string(), names.iter().map(String::as_str))
}
