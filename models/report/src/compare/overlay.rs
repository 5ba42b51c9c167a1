//! The curves of several runs in the same charts, over steps, epochs or time.

use maud::{Markup, html};

use super::best::scores;
use super::contender::Contender;
use crate::chart::{Chart, Curve, STYLES, Stroke};
use crate::curves::{MEASURES, window};
use crate::history::{History, Sample, score_name};
use crate::points::smoothed;

/// What a horizontal axis counts.
struct Axis {
    /// In the page's style sheet and controls.
    id: &'static str,
    /// On the axis.
    label: &'static str,
    /// In the control that chooses it.
    choice: &'static str,
    /// Where a sample is on it.
    at: fn(&History, &Sample) -> f64,
}

const AXES: [Axis; 3] = [
    Axis { id: "step", label: "step", choice: "Steps", at: |_, sample| sample.step as f64 },
    Axis {
        id: "epoch",
        label: "epoch",
        choice: "Epochs",
        at: |history, sample| history.epochs_at(sample.step),
    },
    Axis {
        id: "time",
        label: "seconds of training",
        choice: "Time",
        at: |_, sample| sample.seconds,
    },
];

/// All charts over each axis, and the control that chooses one.
pub(super) fn overlay(contenders: &[Contender]) -> Markup {
    html! {
        fieldset {
            legend { "Against" }
            @for (i, axis) in AXES.iter().enumerate() {
                label { input type="radio" name="axis" id={ "by-" (axis.id) } checked[i == 0]; " " (axis.choice) }
            }
        }
        p class="note" {
            "Point at a chart, or focus it and press the arrow keys, to read its values. Numbers of every step are "
            "averages over a fortieth of their run."
        }
        @for axis in &AXES {
            div class={ "by by-" (axis.id) } {
                div class="charts" { @for chart in charts(contenders, axis) { (chart.figure()) } }
            }
        }
    }
}

fn charts(contenders: &[Contender], axis: &Axis) -> Vec<Chart> {
    let mut charts = vec![
        chart(contenders, axis, "loss", "Training loss", "nats a caption", true),
        chart(contenders, axis, "val_loss", "Validation loss", "nats a caption", false),
    ];
    for key in scores(contenders) {
        let name = score_name(&key).to_owned();
        charts.push(chart(contenders, axis, &key, &name, "", false));
    }
    for measure in &MEASURES {
        let (title, unit) = (measure.title, measure.unit);
        charts.push(chart(contenders, axis, measure.key, title, unit, measure.rough));
    }
    charts.into_iter().filter(|chart| !chart.curves.is_empty()).collect()
}

fn chart(
    contenders: &[Contender],
    axis: &Axis,
    key: &str,
    title: &str,
    unit: &'static str,
    rough: bool,
) -> Chart {
    let evaluated = key == "val_loss" || scores(contenders).iter().any(|score| score == key);
    let curve = |(i, contender): (usize, &Contender)| {
        let history = &contender.history;
        let samples = history.samples(key).iter();
        let points: Vec<_> =
            samples.map(|sample| ((axis.at)(history, sample), sample.value)).collect();
        let points = if rough { smoothed(&points, window(history)) } else { points };
        let stroke = if evaluated { Stroke::Dotted } else { Stroke::Strong };
        let name = contender.name.clone();
        (!points.is_empty()).then_some(Curve { name, points, style: i % STYLES, stroke })
    };
    let curves = contenders.iter().enumerate().filter_map(curve).collect();
    Chart { title: title.into(), unit, x: axis.label, curves }
}
