//! The few numbers that runs come to, side by side.

use engine_core::Sizes;

use super::contender::Contender;
use super::table::Table;
use crate::history::{Sample, score_name};
use crate::number::{duration, grouped, shown};

/// What runs have reached and taken.
pub(super) fn best(contenders: &[Contender]) -> Table {
    let runs: Vec<String> = contenders.iter().map(|contender| contender.name.clone()).collect();
    let mut table = Table::new("Best values", runs);
    let losses: Vec<_> = contenders.iter().map(|c| c.history.lowest_val_loss()).collect();
    // Losses on different captions have no order.
    let dir = |contender: &Contender| contender.experiment.data.dir().to_owned();
    let comparable = contenders.windows(2).all(|pair| dir(&pair[0]) == dir(&pair[1]));
    let order = |sign: f64| comparable.then_some(sign);
    row(&mut table, "validation loss", &losses, |at| format!("{:.4}", at.value), order(-1.0));
    row(&mut table, "  after step", &losses, |at| grouped(at.step as usize), None);
    for key in scores(contenders) {
        let name = score_name(&key).to_owned();
        let highest: Vec<_> = contenders.iter().map(|c| c.history.highest(&key)).collect();
        row(&mut table, &name, &highest, |at| shown(at.value), order(1.0));
    }
    let last: Vec<_> = contenders.iter().map(|c| c.history.last()).collect();
    row(&mut table, "steps", &last, |at| grouped(at.step as usize), None);
    row(&mut table, "epochs", &last, |at| grouped(at.epoch as usize), None);
    row(&mut table, "training time", &last, |at| duration(at.seconds), None);
    let speed = |contender: &Contender| {
        let value = contender.history.usual_speed()?;
        Some(Sample { step: 0, epoch: 0, seconds: 0.0, value })
    };
    let speeds: Vec<_> = contenders.iter().map(speed).collect();
    let round = |at: &Sample| grouped(at.value.round() as usize);
    row(&mut table, "captions a second", &speeds, round, Some(1.0));
    let counts: Vec<Option<usize>> = contenders.iter().map(parameters).collect();
    if counts.iter().any(Option::is_some) {
        let count = |count: &Option<usize>| count.map_or("unknown".into(), grouped);
        table.push("parameters".into(), counts.iter().map(count).collect(), None);
    }
    table
}

/// Adds a row where any run has the number. Of numbers with an order, more is better if `sign` is 1, less if it is -1.
fn row(
    table: &mut Table,
    what: &str,
    values: &[Option<Sample>],
    text: impl Fn(&Sample) -> String,
    sign: Option<f64>,
) {
    if values.iter().all(Option::is_none) {
        return;
    }
    let best = sign.and_then(|sign| {
        let ranked = values
            .iter()
            .enumerate()
            .filter_map(|(run, at)| Some((run, sign * at.as_ref()?.value)));
        let ranked: Vec<(usize, f64)> = ranked.collect();
        let best = ranked.iter().copied().reduce(|a, b| if b.1 > a.1 { b } else { a })?;
        // Where all are the same, none is better.
        let unlike = ranked.iter().any(|(_, value)| *value != best.1);
        unlike.then_some(best.0)
    });
    let texts = values.iter().map(|at| at.as_ref().map_or("none".into(), &text)).collect();
    table.push(what.into(), texts, best);
}

/// The keys of all scores that any run has.
pub(super) fn scores(contenders: &[Contender]) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for key in contenders.iter().flat_map(|contender| contender.history.scores()) {
        if !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    keys
}

/// How many numbers training changes, if the data is at hand.
fn parameters(contender: &Contender) -> Option<usize> {
    let sizes: Sizes = contender.experiment.data.peek().ok()?.into_iter().collect();
    let (plan, _) = contender.experiment.plan(&sizes).ok()?;
    plan.parameter_count(&sizes)
}
