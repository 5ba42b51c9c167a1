//! Whether a caption is true of its picture.

use std::fmt;

use crate::Split;

/// Knows what the pictures of a data set show. Only generated sets have a judge.
pub trait Judge: Send + Sync {
    /// Whether `caption` is true of picture `image`, with the reason if it is not.
    ///
    /// The caption is the decoded sentence: words with single spaces between them.
    fn judge(&self, split: Split, image: usize, caption: &str) -> Verdict;
}

/// What a [`Judge`] says about one caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Everything the caption says is so.
    True,
    /// The caption can be understood, and something it says is not so.
    False(String),
    /// The caption cannot be understood completely, or says too little to be judged.
    Unreadable(String),
}

impl Verdict {
    /// Whether the caption is true.
    pub fn is_true(&self) -> bool {
        matches!(self, Verdict::True)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::True => write!(f, "true"),
            Verdict::False(why) => write!(f, "false: {why}"),
            Verdict::Unreadable(why) => write!(f, "unreadable: {why}"),
        }
    }
}
