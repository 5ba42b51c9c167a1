//! The names of what a use of a block computes, which are names of values in its copy.

use std::collections::BTreeMap;

use super::spec::{Located, Node};

/// The nodes of a list, blocks put in the place of their uses.
#[derive(Default)]
pub(super) struct Nodes {
    pub(super) nodes: Vec<Node>,
    pub(super) aliases: Aliases,
}

/// Which value is meant by the name of a use, or of a further output of it: `ff` is `ff/down`.
#[derive(Default)]
pub(super) struct Aliases(BTreeMap<String, String>);

impl Aliases {
    pub(super) fn insert(&mut self, name: String, value: String) {
        self.0.insert(name, value);
    }

    /// Puts the value's name in the place of the use's.
    pub(super) fn resolve(&self, name: &mut String) {
        if let Some(value) = self.0.get(name) {
            name.clone_from(value);
        }
    }

    pub(super) fn resolve_all<'a>(&self, names: impl Iterator<Item = &'a mut Located<String>>) {
        names.for_each(|name| self.resolve(&mut name.value));
    }

    /// What a use of this name computes, if `name` is an output of it that is not there.
    pub(super) fn instead_of(&self, name: &str) -> Option<Vec<&str>> {
        let (user, _) = name.split_once('.')?;
        if !self.0.contains_key(user) || self.0.contains_key(name) {
            return None;
        }
        let of_user =
            |known: &&String| known.split_once('.').map_or(known.as_str(), |(u, _)| u) == user;
        Some(self.0.keys().filter(of_user).map(String::as_str).collect())
    }

    /// All names with the values that they mean.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &String)> {
        self.0.iter()
    }
}
