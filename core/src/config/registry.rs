//! Everything that a graph file can name, with its documentation.
//!
//! typetag cannot list its tags, so each implementation also [`register!`](crate::register)s itself here. The
//! documentation is the type's own: doc comments, field types and defaults reach this list through its JSON schema.

use serde_json::Value;

/// What kind of thing an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Family {
    /// Where it stands among the families.
    pub order: u8,
    /// What one of them is called: `layer`.
    pub name: &'static str,
    /// The heading over all of them: `Layers`.
    pub title: &'static str,
}

/// Layers: [`Layer`](crate::Layer).
pub const LAYER: Family = Family { order: 0, name: "layer", title: "Layers" };
/// Update rules: [`Optimizer`](crate::Optimizer).
pub const UPDATE_RULE: Family =
    Family { order: 1, name: "update rule", title: "Update rules (train.optimizer)" };
/// Schedules: [`Schedule`](crate::Schedule).
pub const SCHEDULE: Family =
    Family { order: 2, name: "schedule", title: "Learning-rate schedules (train.schedule)" };
/// Data sets, in the section `data`.
pub const DATASET: Family = Family { order: 3, name: "data set", title: "Data sets (data)" };
/// Ways to choose words, in the section `sample`.
pub const DECODER: Family = Family { order: 4, name: "decoder", title: "Decoders (sample)" };

/// What [`Field::takes`] says of a size: [`Dim`](crate::Dim).
pub const SIZE: &str = "size";

/// One thing that a graph file can name.
pub struct Entry {
    /// What kind of thing it is.
    pub family: Family,
    /// The name that graph files use.
    pub name: &'static str,
    /// How a graph file writes it.
    pub example: &'static str,
    /// Ways to write it that between them use every option. Generic checks, such as finite differences, take each;
    /// symbolic sizes in them are drawn at random.
    pub checks: &'static [&'static str],
    /// Its JSON schema, which holds its documentation.
    pub schema: fn() -> schemars::Schema,
}

inventory::collect!(Entry);

/// Puts a type that a graph file can name on the list.
///
/// ```text
/// register!(Lstm in LAYER, example: "Lstm(units: 512)", checks: ["Lstm(units: Units)"]);
/// ```
#[macro_export]
macro_rules! register {
    ($type:ident in $family:expr, example: $example:literal $(, checks: [$($check:literal),* $(,)?])? $(,)?) => {
        $crate::config::registry::inventory::submit! {
            $crate::config::registry::Entry {
                family: $family,
                name: stringify!($type),
                example: $example,
                checks: &[$($($check),*)?],
                schema: || $crate::config::registry::schemars::schema_for!($type),
            }
        }
    };
}

#[doc(hidden)]
pub use {inventory, schemars};

/// A type's documentation, taken from its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documentation {
    /// The first sentence.
    pub summary: String,
    /// The whole text.
    pub text: String,
    /// Its fields, required ones first.
    pub fields: Vec<Field>,
}

/// One field of a type that a graph file can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name.
    pub name: String,
    /// What it takes: `size`, `number above 0`, `true or false`.
    pub takes: String,
    /// What it is when left out; `None` for one that must be given.
    pub default: Option<String>,
    /// Meaning, unit, range.
    pub text: String,
}

impl Entry {
    /// All entries, by family and name.
    pub fn all() -> Vec<&'static Entry> {
        let mut all: Vec<&Entry> = inventory::iter::<Entry>.into_iter().collect();
        all.sort_by_key(|entry| (entry.family.order, entry.name));
        all
    }

    /// The entries of one family, by name.
    pub fn of(family: Family) -> impl Iterator<Item = &'static Entry> {
        Self::all().into_iter().filter(move |entry| entry.family == family)
    }

    /// The entry of this name.
    pub fn named(name: &str) -> Option<&'static Entry> {
        inventory::iter::<Entry>.into_iter().find(|entry| entry.name == name)
    }

    /// The documentation.
    pub fn documentation(&self) -> Documentation {
        let schema = (self.schema)();
        let text = string(schema.get("description")).to_owned();
        let summary = text.split("\n\n").next().unwrap_or_default().replace('\n', " ");
        let summary = summary.split_inclusive(". ").next().unwrap_or_default().trim().to_owned();
        let required: Vec<&str> =
            list(schema.get("required")).iter().map(|v| string(Some(v))).collect();
        let definitions = schema.get("$defs");
        let mut fields: Vec<Field> = schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, about)| Field {
                name: name.clone(),
                takes: takes(about, definitions),
                default: (!required.contains(&name.as_str())).then(|| default(about)),
                text: string(about.get("description")).to_owned(),
            })
            .collect();
        fields.sort_by_key(|field| field.default.is_some());
        Documentation { summary, text, fields }
    }
}

fn string(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// What a property's schema takes, in words.
fn takes(about: &Value, definitions: Option<&Value>) -> String {
    if let Some(reference) = about.get("$ref").and_then(Value::as_str) {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return definitions
            .and_then(|all| all.get(name))
            .map_or(name.into(), |d| takes(d, definitions));
    }
    let variants = [about.get("oneOf"), about.get("anyOf"), about.get("enum")]
        .into_iter()
        .flat_map(list)
        .filter(|variant| variant.get("type") != Some(&Value::from("null")) && !variant.is_null());
    let names: Vec<String> = variants.map(|variant| variant_name(variant, definitions)).collect();
    if !names.is_empty() {
        return names.join(" | ");
    }
    if let Some(format) = about.get("format").and_then(Value::as_str)
        && !matches!(format, "double" | "float" | "uint" | "uint32" | "uint64")
    {
        return format.into();
    }
    let kinds: Vec<&str> = match about.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        one => vec![string(one)],
    };
    match kinds.into_iter().find(|kind| *kind != "null") {
        Some("integer") => "whole number".into(),
        Some("boolean") => "true or false".into(),
        Some("string") => "text".into(),
        other => other.unwrap_or("value").into(),
    }
}

fn variant_name(variant: &Value, definitions: Option<&Value>) -> String {
    if let Some(word) = variant.as_str().or_else(|| variant.get("const").and_then(Value::as_str)) {
        return word.into();
    }
    match variant.get("properties").and_then(Value::as_object).and_then(|p| p.iter().next()) {
        Some((name, inner)) => format!("{name}({})", takes(inner, definitions)),
        None => takes(variant, definitions),
    }
}

fn default(about: &Value) -> String {
    match about.get("default") {
        None | Some(Value::Null) => "none".into(),
        Some(Value::String(word)) => word.clone(),
        Some(Value::Object(variant)) if variant.len() == 1 => {
            let inner = |(name, value): (&String, &Value)| format!("{name}({value})");
            variant.iter().next().map(inner).unwrap_or_default()
        }
        Some(value) => value.to_string(),
    }
}
