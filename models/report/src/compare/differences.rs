//! The values of graph files that differ, by path.

use engine_core::graph::Document;

/// A value that is not the same in all runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Where it stands: `train.optimizer.learning_rate`, `nodes.hidden.layer.units`.
    pub path: String,
    /// What each run says; nothing for one that does not mention it.
    pub values: Vec<Option<String>>,
}

/// A value of a graph file by its path.
type Setting = (String, String);

/// What differs between documents, in the order of the first that mentions it.
pub(super) fn differences(documents: &[&Document]) -> Vec<Difference> {
    let all: Vec<Vec<Setting>> = documents.iter().map(|document| settings(document)).collect();
    let mut paths: Vec<&str> = Vec::new();
    for (path, _) in all.iter().flatten() {
        if !paths.contains(&path.as_str()) {
            paths.push(path);
        }
    }
    let value = |settings: &Vec<Setting>, path: &str| {
        settings.iter().find(|(known, _)| known == path).map(|(_, value)| value.clone())
    };
    let of_path = |path: &str| Difference {
        path: path.to_owned(),
        values: all.iter().map(|settings| value(settings, path)).collect(),
    };
    let unlike = |difference: &Difference| {
        difference.values.windows(2).any(|pair| !same(&pair[0], &pair[1]))
    };
    paths.into_iter().map(of_path).filter(unlike).collect()
}

/// Whether two texts are the same value: `1e-3` is `0.001`.
fn same(a: &Option<String>, b: &Option<String>) -> bool {
    let number = |text: &Option<String>| text.as_ref()?.parse::<f64>().ok();
    a == b || number(a).is_some_and(|x| number(b) == Some(x))
}

/// Every value of a graph file by its path.
fn settings(document: &Document) -> Vec<Setting> {
    let mut settings = Vec::new();
    for (name, text) in document.sections().unwrap_or_default() {
        gather(name, text, &mut settings);
    }
    settings
}

/// Adds what stands in `text`: the name that it bears, and its fields; or itself, if it has none.
fn gather(path: String, text: &str, settings: &mut Vec<Setting>) {
    let value = Document::new(path.clone(), text);
    let fields = value.sections().unwrap_or_default();
    let keys: Vec<Option<String>> = fields.iter().map(|(name, text)| key(name, text)).collect();
    if keys.iter().all(Option::is_none) {
        settings.push((path, one_line(text)));
        return;
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(text.len());
    if end > 0 {
        settings.push((path.clone(), text[..end].to_owned()));
    }
    for (i, (key, (_, text))) in keys.into_iter().zip(&fields).enumerate() {
        let key = key.unwrap_or_else(|| i.to_string());
        gather(format!("{path}.{key}"), text, settings);
    }
}

/// What a path calls a value: the name of its field, or the name that an item of a list gives itself.
fn key(name: &str, text: &str) -> Option<String> {
    if !name.is_empty() {
        return Some(name.to_owned());
    }
    let item = Document::new("", text);
    let fields = item.sections().ok()?;
    let (_, name) = fields.iter().find(|(field, _)| field == "name")?;
    item.parse(name).ok()
}

/// A text with single spaces in place of any blanks.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(a: &str, b: &str) -> Vec<(String, Option<String>, Option<String>)> {
        let (a, b) = (Document::new("a", a), Document::new("b", b));
        let pair = |d: Difference| (d.path, d.values[0].clone(), d.values[1].clone());
        differences(&[&a, &b]).into_iter().map(pair).collect()
    }

    const A: &str = r#"Graph(
        inputs: {"features": [Batch, Features]}, // comment
        nodes: [(name: "hidden", layer: Lstm(units: 512), from: ["words", "h0"])],
        train: (optimizer: Adam(learning_rate: 1e-3), epochs: 3),
    )"#;

    #[test]
    fn only_what_differs_is_found() {
        assert_eq!(found(A, &A.replace("1e-3", "0.0010").replace(" // comment", "")), []);
        let other = A.replace("512", "256").replace("epochs: 3", "epochs: 3, seed: 7");
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            found(A, &other),
            [
                ("nodes.hidden.layer.units".into(), some("512"), some("256")),
                ("train.seed".into(), None, some("7")),
            ]
        );
    }

    #[test]
    fn names_and_lists_are_values() {
        let other = A.replace("Lstm", "Gru").replace("\"words\", \"h0\"", "\"words\"");
        let other = other.replace("Adam", "Sgd").replace("[Batch, Features]", "[Batch, 512]");
        let paths: Vec<String> = found(A, &other).into_iter().map(|found| found.0).collect();
        let expected =
            ["inputs.features", "nodes.hidden.layer", "nodes.hidden.from", "train.optimizer"];
        assert_eq!(paths, expected);
    }

    #[test]
    fn a_node_that_one_has_is_found() {
        let more = A.replace("nodes: [", "nodes: [(name: \"h0\", layer: Relu(), from: [\"x\"]), ");
        let paths: Vec<String> = found(A, &more).into_iter().map(|found| found.0).collect();
        assert_eq!(paths, ["nodes.h0", "nodes.h0.name", "nodes.h0.layer", "nodes.h0.from"][1..]);
    }
}
