//! `Use` and `Repeat` in a graph file: which block stands there, with which arguments, how often.

use serde::Deserialize;

use super::read::Reader;
use super::spec::Located;
use super::syntax::title;
use super::tokens::without_end;
use crate::config::field::Count;

/// How a node begins that a block stands for.
pub(super) const USE: &str = "Use";
/// How a node begins that copies of a block stand for, one after the other.
pub(super) const REPEAT: &str = "Repeat";

const USE_FIELDS: [&str; 2] = ["block", "with"];
const REPEAT_FIELDS: [&str; 4] = ["block", "times", "with", "share"];

const USE_EXAMPLE: &str = "write Use(block: \"its name\", with: {\"Width\": 256})";
const REPEAT_EXAMPLE: &str = "write Repeat(block: \"its name\", times: 2, with: {\"Width\": 256})";

/// What a `Use` or a `Repeat` says.
pub(super) struct Usage<'a> {
    pub(super) block: Located<String>,
    pub(super) with: Vec<(String, &'a str)>,
    /// How many copies a `Repeat` has.
    pub(super) times: Option<usize>,
    /// Whether all copies have the parameters of the first.
    pub(super) share: bool,
}

/// Whether a layer's text is one that a block stands for.
pub(super) fn is_usage(layer: &str) -> bool {
    matches!(title(layer), USE | REPEAT)
}

impl<'a> Reader<'a> {
    /// The text of a `Use` or a `Repeat`. Faults begin with its name.
    pub(super) fn usage(&mut self, text: &'a str) -> Option<Usage<'a>> {
        let tag = title(text);
        let before = self.faults.len();
        let (known, example) = match tag {
            REPEAT => (&REPEAT_FIELDS[..], REPEAT_EXAMPLE),
            _ => (&USE_FIELDS[..], USE_EXAMPLE),
        };
        let fields = self.fields(text, &format!(", {tag}"), known, example)?;
        let field = |name: &str| {
            fields.iter().find(|f| f.name.as_deref() == Some(name)).map(|field| field.text)
        };
        let needed = if tag == REPEAT { &["block", "times"][..] } else { &["block"] };
        for name in needed.iter().filter(|name| field(name).is_none()) {
            self.fault(text, format!(", {tag}: the field `{name}` is missing"), example);
        }
        let block = field("block").and_then(|text| self.located(text));
        let with = field("with").map_or(Vec::new(), |text| {
            let named = self.named_values(text, "with", "{\"Width\": 256}");
            named.into_iter().map(|(name, text)| (name, without_end(text))).collect()
        });
        let times = field("times").and_then(|text| self.field::<Count>("times", text));
        let share = field("share").and_then(|text| self.field("share", text)).unwrap_or(false);
        for fault in &mut self.faults[before..] {
            if !fault.message.starts_with(',') {
                fault.message = format!(", {tag}: {}", fault.message);
            }
        }
        let whole = self.faults.len() == before;
        let times = times.map(Count::as_usize);
        Some(Usage { block: block?, with, times, share }).filter(|_| whole)
    }

    fn field<T: Deserialize<'a>>(&mut self, name: &str, text: &'a str) -> Option<T> {
        let value = self.document.parse(text);
        self.keep(value.map_err(|fault| fault.of(&format!("field `{name}`"))))
    }
}
