//! The section of the few numbers that a run comes to.

use maud::html;

use crate::error::ReportError;
use crate::history::{Sample, score_name};
use crate::number::{duration, grouped, shown};
use crate::section::{Body, Section};
use crate::subject::Subject;

pub(crate) const SECTION: Section = Section { id: "summary", title: "Summary", body: summary };

fn summary(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let facts = facts(subject);
    Ok(Some(html! {
        dl class="facts" {
            @for fact in &facts {
                div { dt { (fact.what) } dd { (fact.value) @if !fact.more.is_empty() { small { (fact.more) } } } }
            }
        }
    }))
}

/// One number and what it is.
struct Fact {
    what: String,
    value: String,
    more: String,
}

impl Fact {
    fn new(what: &str, value: String, more: String) -> Self {
        Fact { what: what.into(), value, more }
    }
}

fn facts(subject: &Subject<'_>) -> Vec<Fact> {
    let history = &subject.history;
    let after = |at: &Sample| format!("after epoch {}, step {}", at.epoch, at.step);
    let mut facts = Vec::new();
    if let Some(best) = history.lowest_val_loss() {
        let unit = format!("nats a caption, {}", after(&best));
        facts.push(Fact::new("Best validation loss", format!("{:.4}", best.value), unit));
    }
    for key in history.scores() {
        if let Some(best) = history.highest(key) {
            let name = score_name(key);
            facts.push(Fact::new(&format!("Best {name}"), shown(best.value), after(&best)));
        }
    }
    if let Some(last) = history.last() {
        let epochs = if last.epoch == 1 { "epoch" } else { "epochs" };
        let more = format!("{} {epochs}", last.epoch);
        facts.push(Fact::new("Steps", grouped(last.step as usize), more));
        facts.push(Fact::new("Time", duration(last.seconds), "of training".into()));
    }
    if let Some(speed) = history.usual_speed() {
        let more = "captions a second, the median".into();
        facts.push(Fact::new("Speed", grouped(speed.round() as usize), more));
    }
    if let Some(count) = subject.plan.parameter_count(&subject.sizes) {
        let more = format!("in {} arrays", subject.plan.parameters.len());
        facts.push(Fact::new("Parameters", grouped(count), more));
    }
    facts
}
