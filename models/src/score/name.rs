//! The name of a score as a graph file writes it.

use miette::Diagnostic;
use ron::value::RawValue;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::named;

/// A score by its name, a bare word in a graph file: `CIDEr`. Quotes around it do no harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScoreName(pub &'static str);

impl ScoreName {
    /// The score that a word names, also with other case and signs.
    ///
    /// # Errors
    /// The message about a word that names none, with the nearest name.
    pub(crate) fn of<E: Error>(word: &str) -> Result<Self, E> {
        let unknown = |error: super::ScoreError| {
            let help = error.help().map_or(String::new(), |help| help.to_string());
            E::custom(format!("{error}: {help}"))
        };
        named(word).map(|score| ScoreName(score.name)).map_err(unknown)
    }
}

impl Serialize for ScoreName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("ScoreName", 0, self.0)
    }
}

impl<'de> Deserialize<'de> for ScoreName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::of(&bare_word(deserializer)?)
    }
}

/// A value that is one word in RON, with or without quotes.
pub(crate) fn bare_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = Box::<RawValue>::deserialize(deserializer)?;
    let text = text.get_ron().trim();
    Ok(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text).to_owned())
}
