//! RON as graph files use it: values inside values, without reading them, and where an error lies.

use std::fmt;
use std::ops::Range;

use ron::extensions::Extensions;
use ron::value::RawValue;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::fault::Fault;

/// RON as graph files use it: `Some` and the inner parentheses of newtype variants are left out.
pub(crate) fn ron_options() -> ron::Options {
    ron::Options::default()
        .with_default_extension(Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME)
}

/// The byte offset of a position that RON reports.
fn byte(text: &str, position: ron::error::Position) -> usize {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines.by_ref().take(position.line.saturating_sub(1)).map(str::len).sum();
    let line = lines.next().unwrap_or_default();
    let column = position.col.saturating_sub(1);
    before + line.char_indices().nth(column).map_or(line.len(), |(at, _)| at)
}

/// `text` without the blanks, comments and `#![..]` attributes that it starts with.
pub(super) fn skip_blank(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        let next = if rest.starts_with("//") {
            rest.find('\n').map_or("", |end| &rest[end..])
        } else if rest.starts_with("/*") {
            after_block_comment(rest)
        } else if rest.starts_with("#!") {
            rest.find(']').map_or("", |end| &rest[end + 1..])
        } else {
            return rest.trim_end();
        };
        rest = next.trim_start();
    }
}

/// The name that a value bears: `Lstm` in `Lstm(units: 512)`, nothing in `(units: 512)`.
pub(super) fn title(text: &str) -> &str {
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// What follows the comment that `text` starts with; comments nest.
fn after_block_comment(text: &str) -> &str {
    let mut depth = 0;
    for (at, _) in text.char_indices() {
        let here = &text[at..];
        if here.starts_with("/*") {
            depth += 1;
        } else if let Some(after) = here.strip_prefix("*/") {
            depth -= 1;
            if depth == 0 {
                return after;
            }
        }
    }
    ""
}

/// RON's error about `text` in this project's words, and the bytes that it is about.
pub(super) fn fault_in(text: &str, error: &ron::error::SpannedError) -> (Fault, Range<usize>) {
    let mut fault = Fault::from_ron(&error.code);
    let (start, end) = (byte(text, error.span.start), byte(text, error.span.end));
    let next = text[start..].chars().next().map_or(0, char::len_utf8);
    let said = start..end.max(start + next);
    let word = text[said.clone()].trim();
    if !word.is_empty() && fault.message.ends_with(&format!("`{word}`")) {
        return (fault, said);
    }
    let Some(value) = value_at(text, start) else {
        let found = text[said.clone()].escape_default();
        fault.message = format!("{}, found `{found}`", fault.message);
        return (fault, said);
    };
    let explained = ["found", "unknown", "missing", "second", "duplicate"];
    if !explained.iter().any(|word| fault.message.contains(word)) {
        let found = value.text.lines().next().unwrap_or_default();
        fault.message = format!("{}, found `{found}`", fault.message);
    }
    if let Some(name) = value.name {
        fault.message = format!("field `{name}`: {}", fault.message);
    }
    let start = value.text.as_ptr() as usize - text.as_ptr() as usize;
    (fault, start..start + value.text.len())
}

/// The innermost value around a byte of `text`. RON reports some errors before the blank that a value follows, others
/// behind the value; either belongs to it. `None` in what cannot be read as values.
fn value_at(text: &str, at: usize) -> Option<Child<'_>> {
    let start = |inner: &str| inner.as_ptr() as usize - text.as_ptr() as usize;
    let mut inside = children(text)?.into_iter();
    let around = inside.find(|child| start(child.text) + child.text.len() >= at)?;
    let deeper = at.checked_sub(start(around.text));
    let deeper = deeper.filter(|at| *at > 0 && *at < around.text.len());
    Some(deeper.and_then(|at| value_at(around.text, at)).unwrap_or(around))
}

/// A value inside a struct, map or list.
#[derive(Debug, Clone)]
pub(crate) struct Child<'a> {
    pub(crate) name: Option<String>,
    pub(crate) text: &'a str,
}

impl Child<'_> {
    pub(super) fn answers_to(&self, segment: &str, index: usize) -> bool {
        match &self.name {
            Some(name) => name == segment,
            None => {
                segment == index.to_string() || self.item_name().is_some_and(|name| name == segment)
            }
        }
    }

    /// What the item of a list calls itself: the value of its field `name`.
    pub(super) fn item_name(&self) -> Option<String> {
        let fields = children(self.text)?;
        let name = fields.iter().find(|field| field.name.as_deref() == Some("name"))?;
        ron_options().from_str(name.text).ok()
    }
}

/// The values directly inside the struct, map or list that `text` holds.
pub(crate) fn children(text: &str) -> Option<Vec<Child<'_>>> {
    ron_options().from_str::<Fields<'_>>(text).ok().map(|fields| fields.0)
}

pub(super) fn is_list(text: &str) -> bool {
    text.starts_with('[')
}

/// Any struct, map or list, its values unread.
pub(super) struct Fields<'a>(pub(super) Vec<Child<'a>>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values;
        impl<'de> Visitor<'de> for Values {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("named values in parentheses")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut children = Vec::new();
                while let Some(name) = map.next_key()? {
                    let raw: &'de RawValue = map.next_value()?;
                    children.push(Child { name: Some(name), text: skip_blank(raw.get_ron()) });
                }
                Ok(Fields(children))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Fields<'de>, A::Error> {
                let mut children = Vec::new();
                while let Some(raw) = seq.next_element::<&'de RawValue>()? {
                    children.push(Child { name: None, text: skip_blank(raw.get_ron()) });
                }
                Ok(Fields(children))
            }
            fn visit_unit<E>(self) -> Result<Fields<'de>, E> {
                Ok(Fields(Vec::new()))
            }
        }
        deserializer.deserialize_any(Values)
    }
}

/// `value` in the syntax of graph files.
///
/// # Errors
/// When it cannot be written as RON.
pub fn to_ron<T: Serialize + ?Sized>(value: &T) -> Result<String, ron::Error> {
    ron_options().to_string(value)
}
