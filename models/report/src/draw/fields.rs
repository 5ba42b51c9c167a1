//! A layer in one short line: its name and the fields that are not as they are by default.

use engine_core::graph::{Document, to_ron};
use engine_core::registry::Entry;
use engine_core::{Layer, Tagged};

/// `Lstm(units: 512)`: what a graph file has to say to get this layer.
pub(super) fn in_short(layer: &Tagged<dyn Layer>) -> String {
    let tag = layer.typetag_name();
    let Ok(text) = to_ron(layer) else { return tag.into() };
    let document = Document::new(tag, text);
    let documented = Entry::named(tag).map(Entry::documentation);
    let default = |name: &str| {
        let field = documented.iter().flat_map(|all| &all.fields).find(|field| field.name == name);
        field.and_then(|field| field.default.as_deref())
    };
    let fields = document.sections().unwrap_or_default();
    let said = fields.iter().filter(|(name, value)| !is_default(value, default(name)));
    let said: Vec<String> = said.map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{tag}({})", said.join(", "))
}

/// Whether a field's text says the same as its default's.
fn is_default(value: &str, default: Option<&str>) -> bool {
    let Some(default) = default else { return false };
    match (value.parse::<f64>(), default.parse::<f64>()) {
        (Ok(value), Ok(default)) => value == default,
        _ => value.eq_ignore_ascii_case(default) || (value == "None" && default == "none"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_said() {
        for text in [
            "Lstm(units: 512)",
            "Gru(units: 256, reset: After)",
            "Projection(units: Hidden)",
            "Relu()",
            "SoftmaxLoss()",
        ] {
            let document = Document::new("layer", text);
            let layer: Tagged<dyn Layer> = document.parse(document.text()).unwrap();
            assert_eq!(in_short(&layer), text);
        }
    }
}
