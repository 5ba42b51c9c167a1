//! The section about the machine and the program, as far as the run has recorded them.

use std::fs;

use maud::{Markup, html};
use serde_json::Value;

use crate::error::ReportError;
use crate::section::{Body, Section};
use crate::subject::Subject;

pub(crate) const SECTION: Section = Section { id: "machine", title: "Machine", body: machine };

/// The file that a run may keep about itself.
const RECORD: &str = "run.json";

fn machine(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let path = subject.run.path().join(RECORD);
    let Ok(text) = fs::read_to_string(&path) else { return Ok(None) };
    let record: Value = serde_json::from_str(&text).map_err(|error| ReportError::Machine {
        line: error.line(),
        column: error.column(),
        message: error.to_string(),
        path,
    })?;
    let facts = facts(&record);
    Ok((!facts.is_empty()).then(|| table(&facts)))
}

fn table(facts: &[(String, String)]) -> Markup {
    html! {
        div class="scroll" {
            table class="plain" {
                tbody { @for (key, value) in facts { tr { th scope="row" { (key) } td { (value) } } } }
            }
        }
    }
}

/// Every value of the record with its path, in its order.
fn facts(record: &Value) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    gather("", record, &mut facts);
    facts
}

fn gather(path: &str, value: &Value, facts: &mut Vec<(String, String)>) {
    match value {
        Value::Null => {}
        Value::Array(items) if items.is_empty() => {}
        Value::Object(object) => {
            for (key, value) in object {
                let key = key.replace('_', " ");
                let path = if path.is_empty() { key } else { format!("{path}, {key}") };
                gather(&path, value, facts);
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            facts.push((path.into(), items.join(" ")));
        }
        other => facts.push((path.into(), plain(other))),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_shown() {
        let record = serde_json::json!({
            "command": ["engine", "train"], "created": null, "machine": { "cpu": "X", "memory_gib": 8 },
        });
        let found = facts(&record);
        let find = |key: &str| found.iter().find(|fact| fact.0 == key).map(|fact| fact.1.as_str());
        assert_eq!(find("command"), Some("engine train"));
        assert_eq!(find("machine, cpu"), Some("X"));
        assert_eq!(find("machine, memory gib"), Some("8"));
        assert_eq!(found.len(), 3);
    }
}
