//! The size of one dimension: a number, or a name whose number is bound later.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use ron::value::RawValue;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::config::windows::Windows;

/// The name of a size, such as `Batch` or `Vocabulary`, or of a sum, product or part of sizes, such as `4*Units`.
///
/// Two symbols are equal when their names are.
#[derive(Clone, Copy)]
pub struct Symbol(&'static Definition);

/// A name, and what it is made of if it was not given by anyone.
struct Definition {
    name: &'static str,
    composed: Option<(Sign, Dim, Dim)>,
}

#[derive(Clone, Copy)]
enum Sign {
    Plus,
    Times,
    Over,
    /// Of the first size; the second one is not looked at.
    Windows(Windows),
}

impl Sign {
    fn apply(self, a: usize, b: usize) -> usize {
        match self {
            Sign::Plus => a.saturating_add(b),
            Sign::Times => a.saturating_mul(b),
            Sign::Over => a / b.max(1),
            Sign::Windows(windows) => windows.count(a).unwrap_or(0),
        }
    }
}

static BATCH: Definition = Definition { name: "Batch", composed: None };
static TIME: Definition = Definition { name: "Time", composed: None };

impl Symbol {
    /// How many sequences are processed together.
    pub const BATCH: Symbol = Symbol(&BATCH);
    /// How many steps a sequence has.
    pub const TIME: Symbol = Symbol(&TIME);

    /// The symbol of this name.
    pub fn new(name: &str) -> Self {
        Self::define(name, None)
    }

    /// A name is kept for the life of the process, once however often it is asked for.
    fn define(name: &str, composed: Option<(Sign, Dim, Dim)>) -> Self {
        static KNOWN: Mutex<BTreeMap<&'static str, &'static Definition>> =
            Mutex::new(BTreeMap::new());
        let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(definition) = known.get(name) {
            return Symbol(definition);
        }
        let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
        let definition: &'static Definition = Box::leak(Box::new(Definition { name, composed }));
        known.insert(name, definition);
        Symbol(definition)
    }

    /// The name itself.
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// The number that follows from the parts of a composed size, if `number` knows both.
    pub(crate) fn compose(self, number: impl Fn(Dim) -> Option<usize>) -> Option<usize> {
        let (sign, a, b) = self.0.composed?;
        Some(sign.apply(number(a)?, number(b)?))
    }

    /// Whether this is a sum, product or part of other sizes.
    pub fn is_composed(self) -> bool {
        self.0.composed.is_some()
    }
}

impl PartialEq for Symbol {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Symbol {}

impl std::hash::Hash for Symbol {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One dimension: a number, or a name whose number is bound later.
///
/// In a graph file it is a whole number of at least 1 or a bare name: `512`, `Vocabulary`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A size written as a number.
    Fixed(usize),
    /// A size known by name, and by number once it is bound.
    Named(Symbol, Option<usize>),
}

impl Dim {
    /// `Batch`, unbound.
    pub const BATCH: Dim = Dim::Named(Symbol::BATCH, None);
    /// `Time`, unbound.
    pub const TIME: Dim = Dim::Named(Symbol::TIME, None);

    /// A size known by name only.
    pub fn named(name: &str) -> Self {
        Dim::Named(Symbol::new(name), None)
    }

    /// The number, if it is known.
    pub fn size(self) -> Option<usize> {
        match self {
            Dim::Fixed(size) => Some(size),
            Dim::Named(_, size) => size,
        }
    }

    /// The name, if it has one.
    pub fn symbol(self) -> Option<Symbol> {
        match self {
            Dim::Fixed(_) => None,
            Dim::Named(symbol, _) => Some(symbol),
        }
    }

    /// Whether this is the dimension called `symbol`.
    pub fn is(self, symbol: Symbol) -> bool {
        self.symbol() == Some(symbol)
    }

    /// `n` times this size.
    pub fn times(self, n: usize) -> Self {
        Dim::Fixed(n).by(self)
    }

    /// The sum of two sizes.
    pub fn plus(self, other: Self) -> Self {
        self.compose(Sign::Plus, other)
    }

    /// The product of two sizes.
    pub fn by(self, other: Self) -> Self {
        self.compose(Sign::Times, other)
    }

    /// The size of one of `of` equal parts, or `None` where there are none: a number is left over.
    pub fn part(self, of: usize) -> Option<Self> {
        if of == 0 || self.size().is_some_and(|size| size % of != 0) {
            return None;
        }
        match self.symbol().and_then(|symbol| symbol.0.composed) {
            // A part of so many times a size is that size again.
            Some((Sign::Times, Dim::Fixed(n), rest)) if n.is_multiple_of(of) => {
                let size = self.size().map(|size| size / n);
                let rest = match rest {
                    Dim::Named(symbol, None) => Dim::Named(symbol, size),
                    known => known,
                };
                Some(if n == of { rest } else { rest.times(n / of) })
            }
            _ if of == 1 => Some(self),
            _ => Some(self.compose(Sign::Over, Dim::Fixed(of))),
        }
    }

    /// How many windows there are over this size, or `None` where there are none: the first does not fit.
    pub fn windows(self, windows: Windows) -> Option<Self> {
        match self {
            Dim::Fixed(size) => windows.count(size).map(Dim::Fixed),
            Dim::Named(symbol, size) => {
                let Windows { kernel, stride, padding, dilation, ceil } = windows;
                let size = match size {
                    Some(size) => Some(windows.count(size)?),
                    None => None,
                };
                let rounded = if ceil { " up" } else { "" };
                let name = format!("({symbol} by {kernel}/{stride}+{padding}*{dilation}{rounded})");
                let parts = (Sign::Windows(windows), self.unbound(), Dim::Fixed(1));
                Some(Dim::Named(Symbol::define(&name, Some(parts)), size))
            }
        }
    }

    fn compose(self, sign: Sign, other: Self) -> Self {
        let size = self.size().zip(other.size()).map(|(a, b)| sign.apply(a, b));
        if let (Dim::Fixed(_), Dim::Fixed(_), Some(size)) = (self, other, size) {
            return Dim::Fixed(size);
        }
        let mark = match sign {
            Sign::Plus => '+',
            Sign::Times => '*',
            Sign::Over | Sign::Windows(_) => '/',
        };
        let name = format!("{}{mark}{}", self.label(), other.label());
        Dim::Named(Symbol::define(&name, Some((sign, self.unbound(), other.unbound()))), size)
    }

    /// The same size, whatever its name was bound to forgotten.
    fn unbound(self) -> Self {
        match self {
            Dim::Named(symbol, _) => Dim::Named(symbol, None),
            fixed => fixed,
        }
    }

    /// The name, or the number where there is no name.
    pub fn label(self) -> Cow<'static, str> {
        match self {
            Dim::Fixed(size) => size.to_string().into(),
            Dim::Named(symbol, _) => symbol.name().into(),
        }
    }

    /// Whether two dimensions can be the same size, as far as is known.
    ///
    /// Numbers decide where both are known, else names. A number against an unbound name may agree, except that the
    /// batch and the time are never a number: they change from batch to batch.
    pub fn agrees(self, other: Self) -> bool {
        if let (Some(a), Some(b)) = (self.size(), other.size()) {
            return a == b;
        }
        let varies = |dim: Dim| dim.is(Symbol::BATCH) || dim.is(Symbol::TIME);
        match (self.symbol(), other.symbol()) {
            (Some(a), Some(b)) => a == b || !(varies(self) || varies(other)),
            _ => !(varies(self) || varies(other)),
        }
    }
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Dim::Fixed(size)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Named(symbol, None) => write!(f, "{symbol}"),
            Dim::Named(symbol, Some(size)) => write!(f, "{symbol}={size}"),
        }
    }
}

impl fmt::Debug for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for Dim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let text = raw.get_ron().trim();
        let is_name = text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        match text.replace('_', "").parse::<usize>() {
            _ if is_name => Ok(Dim::named(text)),
            Ok(size) if (1..=MAX_SIZE).contains(&size) => Ok(Dim::Fixed(size)),
            _ => Err(D::Error::custom(format!(
                "expected a size, a whole number from 1 to {MAX_SIZE} or a name such as Vocabulary, found `{text}`"
            ))),
        }
    }
}

/// The largest size of one dimension; anything above is a slip of the pen rather than a network.
const MAX_SIZE: usize = 1 << 28;

impl Serialize for Dim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Dim::Fixed(size) => serializer.serialize_u64(*size as u64),
            Dim::Named(symbol, _) => serializer.serialize_unit_variant("Dim", 0, symbol.name()),
        }
    }
}

impl JsonSchema for Dim {
    fn schema_name() -> Cow<'static, str> {
        "size".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "format": crate::config::registry::SIZE })
    }
    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_one_a_name() {
        assert_eq!(Symbol::new("Batch"), Symbol::BATCH);
        assert_ne!(Symbol::new("Regions"), Symbol::TIME);
    }

    #[test]
    fn dims_read_and_write_as_in_a_graph_file() {
        let dims: Vec<Dim> = ron::from_str("[Batch, 1_024, Vocabulary]").unwrap();
        assert_eq!(dims, [Dim::BATCH, Dim::Fixed(1024), Dim::named("Vocabulary")]);
        assert_eq!(ron::to_string(&dims).unwrap(), "[Batch,1024,Vocabulary]");
        for bad in ["0", "-3", "5.5", "\"x\"", "lower", "99999999999999999999", "[3]"] {
            let error = ron::from_str::<Dim>(bad).unwrap_err().to_string();
            assert!(error.contains("expected a size"), "{bad}: {error}");
        }
    }

    #[test]
    fn agreement_follows_numbers_then_names() {
        let bound = Dim::Named(Symbol::new("Features"), Some(512));
        assert!(bound.agrees(Dim::Fixed(512)) && !bound.agrees(Dim::Fixed(128)));
        assert!(Dim::named("Features").agrees(Dim::Fixed(3)), "not yet bound");
        assert!(!Dim::BATCH.agrees(Dim::Fixed(100)) && !Dim::BATCH.agrees(Dim::TIME));
    }

    #[test]
    fn parts_are_whole_or_none() {
        assert_eq!(Dim::Fixed(12).part(4), Some(Dim::Fixed(3)));
        assert_eq!(Dim::Fixed(12).part(5), None);
        assert_eq!(Dim::Fixed(12).part(0), None);
        let units = Dim::named("Units");
        assert_eq!(units.times(4).part(4), Some(units));
        assert_eq!(units.times(4).part(2), Some(units.times(2)));
        assert_eq!(units.part(1), Some(units));
        assert_eq!(units.part(3).map(|part| part.to_string()), Some("Units/3".to_owned()));
        let bound = Dim::Named(Symbol::new("Units"), Some(6));
        assert_eq!(bound.times(4).part(4), Some(bound));
        assert_eq!(bound.part(3).map(|part| part.to_string()), Some("Units/3=2".to_owned()));
    }

    #[test]
    fn windows_are_counted_once_the_size_is_known() {
        let windows = Windows { kernel: 3, stride: 2, padding: 0, dilation: 1, ceil: false };
        assert_eq!(Dim::Fixed(7).windows(windows), Some(Dim::Fixed(3)));
        assert_eq!(Dim::Fixed(2).windows(windows), None);
        let over = Dim::named("Height").windows(windows).unwrap();
        let sizes = crate::Sizes::new().with(Symbol::new("Height"), 9);
        assert_eq!((over.size(), sizes.resolve(over)), (None, Ok(4)));
        let bound = sizes.bind(Dim::named("Height")).windows(windows).unwrap();
        assert!(bound.size() == Some(4) && bound.agrees(over));
    }

    #[test]
    fn sums_and_products_keep_their_names() {
        assert_eq!(Dim::named("A").plus(Dim::Fixed(3)).to_string(), "A+3");
        assert_eq!(Dim::Fixed(4).times(3), Dim::Fixed(12));
        let bound = Dim::Named(Symbol::new("A"), Some(5));
        assert_eq!(bound.times(4).to_string(), "4*A=20");
    }
}
