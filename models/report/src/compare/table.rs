//! A table with a column for each run, for pages and terminals.

use maud::{Markup, html};

/// Rows of values, one for each run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Table {
    title: String,
    runs: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    what: String,
    values: Vec<String>,
    /// The run whose value is the best, where values have an order.
    best: Option<usize>,
}

impl Table {
    pub(super) fn new(title: &str, runs: Vec<String>) -> Self {
        Table { title: title.into(), runs, rows: Vec::new() }
    }

    /// Adds a row with a value for each run.
    pub(super) fn push(&mut self, what: String, values: Vec<String>, best: Option<usize>) {
        self.rows.push(Row { what, values, best });
    }

    /// The table in columns of letters; `*` marks the best. Digits stand together, so that other programs can read them.
    pub(super) fn text(&self) -> String {
        let head = Row { what: self.title.clone(), values: self.runs.clone(), best: None };
        let rows: Vec<Vec<String>> = std::iter::once(&head).chain(&self.rows).map(cells).collect();
        let width = |column: usize| {
            rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..=self.runs.len()).map(width).collect();
        let line = |row: &Vec<String>| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
        };
        rows.iter().map(line).collect()
    }

    pub(super) fn markup(&self) -> Markup {
        html! {
            div class="scroll" tabindex="0" role="region" aria-label=(self.title) {
                table class="plain" {
                    thead { tr { td {} @for run in &self.runs { th scope="col" { (run) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                th scope="row" { (row.what) }
                                @for (run, value) in row.values.iter().enumerate() {
                                    @if row.best == Some(run) {
                                        td class="best" { (value) " " span title="best" { "★" } }
                                    } @else { td { (value) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn cells(row: &Row) -> Vec<String> {
    let mark = |run| if row.best == Some(run) { " *" } else { "" };
    let values = row.values.iter().enumerate().map(|(run, value)| format!("{value}{}", mark(run)));
    let values = values.map(|value| value.replace('\u{202f}', ""));
    std::iter::once(row.what.clone()).chain(values).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new("Best", vec!["a".into(), "a longer name".into()]);
        table.push("loss".into(), vec!["1.5".into(), "12".into()], Some(0));
        assert_eq!(table.text(), "Best  a      a longer name\nloss  1.5 *  12\n");
        let markup = table.markup().into_string();
        assert!(markup.contains("<td class=\"best\">1.5 ") && markup.contains("<td>12</td>"));
    }
}
