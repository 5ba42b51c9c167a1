//! The section of curves: what was measured, step by step.

use maud::html;

use crate::chart::{Chart, Curve, Stroke};
use crate::error::ReportError;
use crate::history::{History, Sample, score_name};
use crate::points::smoothed;
use crate::section::{Body, Section};
use crate::subject::Subject;

pub(crate) const SECTION: Section = Section { id: "curves", title: "Curves", body: curves };

/// A number of every step that has a chart of its own.
pub(crate) struct Measure {
    pub(crate) key: &'static str,
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    /// Whether it varies so much from step to step that its average is to be seen.
    pub(crate) rough: bool,
}

/// What has a chart besides loss and scores.
pub(crate) const MEASURES: [Measure; 4] = [
    Measure { key: "learning_rate", title: "Learning rate", unit: "", rough: false },
    Measure { key: "gradient_norm", title: "Gradient norm", unit: "before clipping", rough: true },
    Measure { key: "captions_per_second", title: "Speed", unit: "captions a second", rough: true },
    Measure { key: "data_wait", title: "Waiting for data", unit: "seconds a step", rough: true },
];

/// The part of a run that smoothing looks back over.
const WINDOW: f64 = 1.0 / 40.0;

fn curves(subject: &Subject<'_>) -> Result<Body, ReportError> {
    let history = &subject.history;
    let charts = charts(history);
    Ok(Some(html! {
        p class="note" {
            "Point at a chart, or focus it and press the arrow keys, to read its values. Strong lines are averages over "
            "about " (window(history).round()) " steps, pale ones single steps."
        }
        div class="charts" { @for chart in &charts { (chart.figure()) } }
    }))
}

/// A chart for everything that was measured.
fn charts(history: &History) -> Vec<Chart> {
    let chart = |title: &str, unit, curves: Vec<Curve>| {
        (!curves.is_empty()).then(|| Chart { title: title.into(), unit, x: "step", curves })
    };
    let mut loss = rough_curves(history, "loss", "training");
    loss.extend(dotted(history, "train_loss", "training, evaluated", 2));
    loss.extend(dotted(history, "val_loss", "validation", 1));
    let mut charts: Vec<Chart> = chart("Loss", "nats a caption", loss).into_iter().collect();
    for key in history.scores() {
        let name = score_name(key);
        charts.extend(chart(name, "", dotted(history, key, name, 1).into_iter().collect()));
    }
    for measure in &MEASURES {
        let curves = match measure.rough {
            true => rough_curves(history, measure.key, "average"),
            false => plain_curve(history, measure.key, measure.title).into_iter().collect(),
        };
        charts.extend(chart(measure.title, measure.unit, curves));
    }
    charts
}

/// The steps that averages are taken over.
pub(crate) fn window(history: &History) -> f64 {
    (history.samples("loss").len() as f64 * WINDOW).max(4.0)
}

fn by_step(samples: &[Sample]) -> Vec<(f64, f64)> {
    samples.iter().map(|sample| (sample.step as f64, sample.value)).collect()
}

/// The single steps, pale, and their average.
fn rough_curves(history: &History, key: &str, name: &str) -> Vec<Curve> {
    let points = by_step(history.samples(key));
    if points.is_empty() {
        return Vec::new();
    }
    let smooth = smoothed(&points, window(history));
    vec![
        Curve { name: "single steps".into(), points, style: 0, stroke: Stroke::Faint },
        Curve { name: name.into(), points: smooth, style: 0, stroke: Stroke::Strong },
    ]
}

fn plain_curve(history: &History, key: &str, name: &str) -> Option<Curve> {
    let points = by_step(history.samples(key));
    let name = name.to_lowercase();
    (!points.is_empty()).then_some(Curve { name, points, style: 0, stroke: Stroke::Strong })
}

fn dotted(history: &History, key: &str, name: &str, style: usize) -> Option<Curve> {
    let points = by_step(history.samples(key));
    let name = name.to_owned();
    (!points.is_empty()).then_some(Curve { name, points, style, stroke: Stroke::Dotted })
}
