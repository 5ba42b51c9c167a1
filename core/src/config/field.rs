//! Numbers in configurations that carry their range in their type, so that a value outside it is refused where it is read.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU64;

use ron::value::RawValue;
use schemars::JsonSchema;
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};

/// A number outside the range of its field.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("expected a number {range}, found `{found}`")]
pub struct OutOfRange {
    range: &'static str,
    found: f64,
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $range:literal, $x:ident => $ok:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
        #[serde(try_from = "f64", into = "f64")]
        pub struct $name(f64);

        impl $name {
            #[doc = concat!("The value as a number ", $range, ", if it is one.")]
            ///
            /// # Errors
            /// When it is outside that range or not finite.
            pub const fn new(value: f64) -> Result<Self, OutOfRange> {
                if Self::fits(value) {
                    Ok($name(value))
                } else {
                    Err(OutOfRange { range: $range, found: value })
                }
            }

            #[doc = concat!("The value, known when the program is written to be a number ", $range, ".")]
            ///
            /// # Panics
            /// When it is not; in a `const`, that is an error of the compiler.
            pub const fn constant(value: f64) -> Self {
                assert!(Self::fits(value), "a constant within its field's range");
                $name(value)
            }

            const fn fits($x: f64) -> bool {
                $x.is_finite() && $ok
            }

            /// The number itself.
            pub fn get(self) -> f64 {
                self.0
            }
        }

        impl TryFrom<f64> for $name {
            type Error = OutOfRange;
            fn try_from(value: f64) -> Result<Self, OutOfRange> {
                Self::new(value)
            }
        }

        impl From<$name> for f64 {
            fn from(value: $name) -> f64 {
                value.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "number", "format": concat!("number ", $range) })
            }
            fn inline_schema() -> bool {
                true
            }
        }
    };
}

number! {
    /// A finite number above 0, such as a learning rate.
    Positive, "above 0", x => x > 0.0
}
number! {
    /// A finite number of at least 0, such as a weight decay.
    NonNegative, "of at least 0", x => x >= 0.0
}
number! {
    /// A number from 0 to below 1, such as a decay rate or a share to drop.
    Fraction, "from 0 to below 1", x => x >= 0.0 && x < 1.0
}
number! {
    /// A number that shrinks what it multiplies, or keeps it, such as a decay of the learning rate.
    Factor, "above 0 and at most 1", x => x > 0.0 && x <= 1.0
}
number! {
    /// Any finite number, such as a bias.
    Finite, "that is finite", x => !x.is_nan()
}

/// A whole number of at least 1, such as a number of epochs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Count(NonZeroU64);

impl Count {
    /// The value as a count, known when the program is written to be at least 1.
    ///
    /// # Panics
    /// When it is not; in a `const`, that is an error of the compiler.
    pub const fn constant(value: u64) -> Self {
        Count(NonZeroU64::new(value).expect("a constant of at least 1"))
    }

    /// The number itself.
    pub fn get(self) -> u64 {
        self.0.get()
    }

    /// The number as a length.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.get()).unwrap_or(usize::MAX)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get_ron().trim();
        text.replace('_', "").parse().map(Count).map_err(|_| {
            D::Error::custom(format!("expected a whole number of at least 1, found `{text}`"))
        })
    }
}

impl fmt::Debug for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl JsonSchema for Count {
    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "integer", "format": "whole number of at least 1" })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_kept() {
        assert!(Positive::new(0.0).is_err() && Positive::new(1e-9).is_ok());
        assert!(NonNegative::new(0.0).is_ok() && NonNegative::new(-1e-9).is_err());
        assert!(Fraction::new(1.0).is_err() && Fraction::new(0.0).is_ok());
        assert!(Factor::new(0.0).is_err() && Factor::new(1.0).is_ok());
        assert!(Finite::new(f64::NAN).is_err() && Positive::new(f64::INFINITY).is_err());
    }

    #[test]
    fn counts_are_whole_and_at_least_one() {
        assert_eq!(ron::from_str::<Count>("1_000").unwrap().get(), 1000);
        for bad in ["0", "-1", "2.5", "\"many\"", "99999999999999999999"] {
            let error = ron::from_str::<Count>(bad).unwrap_err().to_string();
            assert!(error.contains("expected a whole number of at least 1, found"), "{error}");
        }
    }

    #[test]
    fn errors_say_what_was_expected() {
        let error = ron::from_str::<Fraction>("1.5").unwrap_err().to_string();
        assert!(error.contains("expected a number from 0 to below 1, found `1.5`"), "{error}");
    }
}
