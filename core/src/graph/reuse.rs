//! Uses of a block that have the parameters of another use: whether they can.

use std::ops::Range;

use super::document::Origin;
use super::fault::Fault;
use super::suggest::did_you_mean;

/// A use of a block.
pub(super) struct Sharer {
    pub(super) path: String,
    /// The block; none for a use whose text has a fault.
    pub(super) block: Option<Origin>,
    /// How many copies it has, if it is a `Repeat`.
    pub(super) times: Option<usize>,
    /// Where its text begins.
    pub(super) layer: usize,
    /// The use that has the parameters, as the file names it.
    pub(super) weights_of: Option<(String, Range<usize>)>,
}

/// The uses that name no fitting one, each with what is wrong.
pub(super) fn unshared(all: &[Sharer]) -> Vec<(usize, Fault)> {
    let faults = all.iter().filter_map(|user| {
        let (owner, span) = user.weights_of.as_ref()?;
        let fault = fault(all, user, owner)?;
        Some((user.layer, fault.at(span.clone())))
    });
    faults.collect()
}

fn fault(all: &[Sharer], user: &Sharer, owner: &str) -> Option<Fault> {
    let whose = format!("node `{}`: `weights_of` names `{owner}`", user.path);
    // Names are looked up where the node is, then further out.
    let mut around = user.path.as_str();
    let found = loop {
        around = around.rsplit_once('/').map_or("", |(outer, _)| outer);
        let path = if around.is_empty() { owner.to_owned() } else { format!("{around}/{owner}") };
        if let Some(found) = all.iter().find(|other| other.path == path) {
            break Some(found);
        }
        if around.is_empty() {
            break None;
        }
    };
    let fitting = |other: &&Sharer| {
        other.block == user.block && other.times == user.times && other.path != user.path
    };
    let fitting = all.iter().filter(fitting).map(|other| other.path.as_str());
    let copies = |times: Option<usize>| match times {
        None => "a Use".to_owned(),
        Some(1) => "a Repeat of one copy".to_owned(),
        Some(times) => format!("a Repeat of {times} copies"),
    };
    let (message, help) = match found {
        None => (format!("{whose}, which is no use of a block"), did_you_mean(owner, fitting)),
        Some(other) if other.block.is_none() => return None,
        Some(other) if other.path == user.path => {
            (format!("{whose}, itself"), "leave it out: the parameters are its own".into())
        }
        Some(other) if other.block != user.block => {
            (format!("{whose}, which uses another block"), did_you_mean(owner, fitting))
        }
        Some(other) if other.times != user.times => {
            let (expected, found) = (copies(user.times), copies(other.times));
            let help = "copies share parameters pairwise: make them as many".into();
            (format!("{whose}: expected {expected}, found {found}"), help)
        }
        Some(other) if other.weights_of.is_some() => (
            format!("{whose}, which itself has another's parameters"),
            "name the one that owns them".into(),
        ),
        Some(_) => return None,
    };
    Some(Fault::error(message).help(help))
}
