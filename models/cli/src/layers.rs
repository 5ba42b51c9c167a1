//! `engine layers`.

use engine_core::graph::did_you_mean;
use engine_core::layer::port::{Kind, Need};
use engine_core::registry::{Entry, LAYER};
use engine_core::{Layer, Tagged};

use crate::error::Error;
use crate::out::say;

/// List what graph files can name, or explain one of them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  engine layers
  engine layers Lstm
  engine layers Adam")]
pub(crate) struct Args {
    /// A layer, update rule, schedule, data set or decoder
    name: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<(), Error> {
    let Some(name) = &args.name else {
        list();
        return Ok(());
    };
    let entry = Entry::named(name).ok_or_else(|| Error::Usage {
        message: format!("there is no layer `{name}`, nor anything else of that name"),
        help: did_you_mean(name, Entry::all().iter().map(|entry| entry.name)),
    })?;
    explain(entry);
    Ok(())
}

fn list() {
    let entries = Entry::all();
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or(0);
    let mut family = None;
    for entry in entries {
        if family != Some(entry.family) {
            say!("{}{}", if family.is_some() { "\n" } else { "" }, entry.family.title);
            family = Some(entry.family);
        }
        say!("  {:width$}  {}", entry.name, entry.documentation().summary);
    }
    say!("\n`engine layers NAME` explains one of them.");
}

fn explain(entry: &Entry) {
    let documentation = entry.documentation();
    say!("{} ({})\n", entry.name, entry.family.name);
    say!("{}\n", plain(&documentation.text));
    if entry.family == LAYER {
        ports(entry);
    }
    if documentation.fields.is_empty() {
        say!("It has no fields.");
    } else {
        say!("Fields:");
    }
    for field in &documentation.fields {
        let default = field.default.as_ref().map_or("required".into(), |d| format!("default {d}"));
        say!("  {}: {} ({default})", field.name, field.takes);
        for line in field.text.lines() {
            say!("      {line}");
        }
    }
    say!("\nExample:\n  {}", entry.example);
}

/// Documentation for a terminal: what stands between fences is indented instead.
fn plain(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter_map(|line| {
        if line.starts_with("```") {
            fenced = !fenced;
            return None;
        }
        Some(if fenced && !line.is_empty() { format!("    {line}") } else { line.to_owned() })
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The ports of the layer that the example writes.
fn ports(entry: &Entry) {
    let document = engine_core::graph::Document::new(entry.name, entry.example);
    let Ok(layer) = document.parse::<Tagged<dyn Layer>>(document.text()) else { return };
    say!("Ports, as in {}:", entry.example);
    for port in layer.ports() {
        let kind = match port.kind {
            Kind::Real => "numbers".into(),
            Kind::Tokens { below } => format!("indices below {below}"),
        };
        let need = match port.need {
            Need::Required => String::new(),
            Need::Optional => ", optional".into(),
            Need::AtLeast(n) => format!(", {n} or more"),
        };
        say!("  {}: {} {}{need}", port.name, port.pattern(), kind);
    }
    say!("");
}
