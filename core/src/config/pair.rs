//! Two whole numbers of a configuration, one for each side of a picture.

use std::borrow::Cow;
use std::fmt;

use ron::value::RawValue;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize, Serializer};

/// A number for the height and one for the width, such as the size of a kernel.
///
/// In a graph file it is `(3, 5)`, or `3` where both are the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// Along the height.
    pub height: usize,
    /// Along the width.
    pub width: usize,
}

impl Pair {
    /// The same number for both sides.
    pub const fn both(number: usize) -> Self {
        Pair { height: number, width: number }
    }
}

impl Default for Pair {
    fn default() -> Self {
        Pair::both(1)
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({}, {})", self.height, self.width)
    }
}

impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Pair {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.height == self.width {
            true => self.height.serialize(serializer),
            false => (self.height, self.width).serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Pair {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get_ron().trim();
        let one = || ron::from_str(text).ok().map(Pair::both);
        let two = || ron::from_str(text).ok().map(|(height, width)| Pair { height, width });
        one().or_else(two).ok_or_else(|| {
            D::Error::custom(format!(
                "expected a whole number, or one for the height and one for the width as in `(3, 3)`, found `{text}`"
            ))
        })
    }
}

impl JsonSchema for Pair {
    fn schema_name() -> Cow<'static, str> {
        "Pair".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "format": "whole number, or (height, width)" })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_stands_for_both() {
        let read = |text: &str| ron::from_str::<Pair>(text).unwrap();
        assert_eq!(read("3"), Pair::both(3));
        assert_eq!(read("(3, 5)"), Pair { height: 3, width: 5 });
        for text in ["3", "(3,5)"] {
            assert_eq!(ron::to_string(&read(text)).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_pair_is_refused_in_words() {
        for bad in ["-1", "(3)", "(1, 2, 3)", "2.5", "\"3\"", "(1, -2)", "99999999999999999999"] {
            let error = ron::from_str::<Pair>(bad).unwrap_err().to_string();
            assert!(error.contains("as in `(3, 3)`, found `"), "{bad}: {error}");
        }
    }
}
