//! Several runs beside each other: their curves in the same charts, their best values, and what they were told that
//! differs.

mod best;
mod contender;
mod differences;
mod overlay;
mod table;

use maud::{Markup, html};

use crate::page::{Part, page};
use table::Table;

pub use contender::Contender;
pub use differences::Difference;

/// At least two runs.
#[derive(Debug)]
pub struct Comparison {
    contenders: Vec<Contender>,
    best: Table,
    differences: Vec<Difference>,
}

impl Comparison {
    /// Compares runs, which may have different data and lengths.
    pub fn new(contenders: Vec<Contender>) -> Self {
        let documents = contenders.iter().map(|contender| &contender.experiment.document);
        let differences = differences::differences(&documents.collect::<Vec<_>>());
        let best = best::best(&contenders);
        Comparison { contenders, best, differences }
    }

    /// The values of the graph files that are not the same in all runs.
    pub fn differences(&self) -> &[Difference] {
        &self.differences
    }

    /// The tables as a terminal shows them.
    pub fn text(&self) -> String {
        match self.differences.is_empty() {
            true => format!("{}\nThe graph files say the same.\n", self.best.text()),
            false => format!("{}\n{}", self.best.text(), self.configuration().text()),
        }
    }

    /// The page as the text of an HTML file.
    pub fn html(&self) -> String {
        let parts = [
            Part { id: "best", title: "Best values", body: self.best.markup() },
            Part { id: "curves", title: "Curves", body: overlay::overlay(&self.contenders) },
            Part { id: "differences", title: "Differences", body: self.configuration_markup() },
        ];
        let names: Vec<&str> = self.contenders.iter().map(|c| c.name.as_str()).collect();
        page(&names.join(", "), "Comparison of training runs", &parts)
    }

    fn configuration(&self) -> Table {
        let mut table = Table::new("Configuration", self.names());
        for difference in &self.differences {
            let values = difference.values.iter();
            let values = values.map(|value| value.clone().unwrap_or("not given".into())).collect();
            table.push(difference.path.clone(), values, None);
        }
        table
    }

    fn configuration_markup(&self) -> Markup {
        match self.differences.is_empty() {
            true => html! { p { "The graph files say the same." } },
            false => self.configuration().markup(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.contenders.iter().map(|contender| contender.name.clone()).collect()
    }
}
