//! A chart: lines in an SVG that stretches with the page, text around it that does not, and its numbers for the script
//! that answers to pointer and keys, and for readers of tables.

use maud::{Markup, PreEscaped, html};
use serde_json::json;

use crate::number::{shown, ticks};
use crate::points::{MOST, Point, thinned};

/// Curves over one axis.
#[derive(Debug, Clone)]
pub(crate) struct Chart {
    /// What is drawn.
    pub(crate) title: String,
    /// What it is counted in; empty for what has no unit.
    pub(crate) unit: &'static str,
    /// What the horizontal axis counts: `step`.
    pub(crate) x: &'static str,
    /// At least one.
    pub(crate) curves: Vec<Curve>,
}

/// One line of a chart.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// Its name in the legend.
    pub(crate) name: String,
    /// From left to right.
    pub(crate) points: Vec<Point>,
    /// Which of the page's colours and dashes it has.
    pub(crate) style: usize,
    /// How it is drawn.
    pub(crate) stroke: Stroke,
}

/// How a curve is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stroke {
    /// A thin, pale line, behind another.
    Faint,
    /// A line.
    Strong,
    /// A line with a dot at every point.
    Dotted,
}

/// Kinds of lines that the page's style sheet knows.
pub(crate) const STYLES: usize = 6;
/// The width and height of the drawing in its own units.
const SIDE: f64 = 1000.0;
/// The most rows of a chart's table.
const ROWS: usize = 40;

/// What the axes span.
struct Range {
    x: (f64, f64),
    y: (f64, f64),
}

impl Range {
    fn of(curves: &[Curve]) -> Self {
        let all = || curves.iter().flat_map(|c| &c.points).filter(|p| p.1.is_finite());
        let span = |pick: fn(&Point) -> f64| {
            let least = all().map(pick).fold(f64::INFINITY, f64::min);
            let most = all().map(pick).fold(f64::NEG_INFINITY, f64::max);
            if least <= most { (least, most) } else { (0.0, 1.0) }
        };
        let (least, most) = span(|p| p.1);
        let room = if most > least { 0.04 * (most - least) } else { 0.5 * most.abs().max(1.0) };
        let (from, to) = span(|p| p.0);
        Range { x: (from, if to > from { to } else { from + 1.0 }), y: (least - room, most + room) }
    }

    fn across(&self, x: f64) -> f64 {
        (x - self.x.0) / (self.x.1 - self.x.0)
    }

    fn down(&self, y: f64) -> f64 {
        (self.y.1 - y) / (self.y.1 - self.y.0)
    }
}

impl Chart {
    /// The chart as a figure.
    pub(crate) fn figure(&self) -> Markup {
        let range = Range::of(&self.curves);
        let (across, down) = (ticks(range.x.0, range.x.1, 5), ticks(range.y.0, range.y.1, 6));
        let unit = if self.unit.is_empty() { String::new() } else { format!(" ({})", self.unit) };
        let last = self.in_words();
        html! {
            figure class="chart" {
                figcaption {
                    h3 { (self.title) small { (unit) } }
                    (self.legend())
                }
                div class="plot" tabindex="0" role="slider" aria-label={ (self.title) " by " (self.x) }
                    aria-valuemin="0" aria-valuemax="0" aria-valuenow="0" aria-valuetext=(last) {
                    @for y in &down {
                        span class="tick y" style={ "top:" (percent(range.down(*y))) } { (shown(*y)) }
                    }
                    @for x in &across {
                        span class="tick x" style={ "left:" (percent(range.across(*x))) } { (shown(*x)) }
                    }
                    svg viewBox={ "0 0 " (SIDE) " " (SIDE) } preserveAspectRatio="none" aria-hidden="true" {
                        @for y in &down {
                            path class="grid" d={ "M0 " (place(range.down(*y))) "H" (SIDE) } {}
                        }
                        @for curve in &self.curves { (line(curve, &range)) }
                    }
                    div class="cross" hidden {}
                    div class="readout" aria-hidden="true" hidden {}
                    span class="axis" { (self.x) }
                }
                script type="application/json" { (PreEscaped(self.data(&range))) }
                (self.table())
            }
        }
    }

    /// The last value of each curve.
    fn in_words(&self) -> String {
        let last = |curve: &Curve| {
            let (x, y) = curve.points.last()?;
            Some(format!("{} {}, {} {}", self.x, shown(*x), curve.name, shown(*y)))
        };
        self.curves.iter().filter_map(last).collect::<Vec<_>>().join("; ")
    }

    fn legend(&self) -> Markup {
        html! {
            ul class="legend" {
                @for curve in &self.curves {
                    li {
                        svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true" {
                            path class=(class(curve)) d="M1 4H27" {}
                            @if curve.stroke == Stroke::Dotted {
                                path class={ "dots c" (curve.style) } d="M14 4h0" {}
                            }
                        }
                        " " (curve.name)
                    }
                }
            }
        }
    }

    /// What the script reads: the axes' range, and every point that is drawn, in six digits.
    fn data(&self, range: &Range) -> String {
        let curves: Vec<_> = self.curves.iter().map(|curve| {
            let points = thinned(&curve.points, MOST);
            let (x, y): (Vec<f64>, Vec<f64>) = points.into_iter().map(|(x, y)| (six(x), six(y))).unzip();
            json!({ "name": curve.name, "style": curve.style, "faint": curve.stroke == Stroke::Faint, "x": x, "y": y })
        }).collect();
        let data = json!({
            "axis": self.x, "x": [range.x.0, range.x.1], "y": [range.y.0, range.y.1], "curves": curves,
        });
        // A name with `</script>` in it must not end the script.
        data.to_string().replace('<', "\\u003c")
    }

    /// The numbers, thinned where there are very many: a column for each curve.
    fn table(&self) -> Markup {
        let drawn = self.curves.iter().filter(|curve| curve.stroke != Stroke::Faint);
        let curves: Vec<&Curve> = drawn.collect();
        let mut xs: Vec<f64> = curves.iter().flat_map(|c| c.points.iter().map(|p| p.0)).collect();
        xs.sort_by(f64::total_cmp);
        xs.dedup();
        let sparse = curves.iter().filter(|curve| curve.points.len() <= ROWS);
        let kept: Vec<f64> = sparse.flat_map(|curve| curve.points.iter().map(|p| p.0)).collect();
        let every = xs.len().div_ceil(ROWS).max(1);
        let last = xs.len().saturating_sub(1);
        let rows = xs.iter().enumerate();
        let rows = rows.filter(|(i, x)| i % every == 0 || *i == last || kept.contains(x));
        let at = |curve: &Curve, x: f64| {
            let found = curve.points.binary_search_by(|p| p.0.total_cmp(&x)).ok();
            found.map_or(String::new(), |i| shown(curve.points[i].1))
        };
        html! {
            details class="numbers" {
                summary { "Numbers: " (self.title) }
                div class="scroll" tabindex="0" role="region" aria-label={ "Numbers of " (self.title) } {
                    table {
                        thead { tr {
                            th scope="col" { (self.x) }
                            @for curve in &curves { th scope="col" { (curve.name) } }
                        } }
                        tbody {
                            @for (_, x) in rows {
                                tr {
                                    th scope="row" { (shown(*x)) }
                                    @for curve in &curves { td { (at(curve, *x)) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(curve: &Curve) -> String {
    let faint = if curve.stroke == Stroke::Faint { " faint" } else { "" };
    format!("line c{}{faint}", curve.style)
}

/// The path of a curve; where a value is not finite it has a gap.
fn line(curve: &Curve, range: &Range) -> Markup {
    let points = thinned(&curve.points, MOST);
    let (mut path, mut dots, mut pen_down) = (String::new(), String::new(), false);
    for (x, y) in points {
        if !y.is_finite() {
            pen_down = false;
            continue;
        }
        let here = format!("{} {}", place(range.across(x)), place(range.down(y)));
        path += &format!("{}{here}", if pen_down { "L" } else { "M" });
        dots += &format!("M{here}h0");
        pen_down = true;
    }
    html! {
        path class=(class(curve)) d=(path) {}
        @if curve.stroke == Stroke::Dotted { path class={ "dots c" (curve.style) } d=(dots) {} }
    }
}

/// A share of the drawing's side, to a tenth of its unit.
fn place(share: f64) -> f64 {
    (share * SIDE * 10.0).round() / 10.0
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

/// Six significant digits.
fn six(x: f64) -> f64 {
    format!("{x:.5e}").parse().unwrap_or(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(name: &str, points: Vec<Point>) -> Chart {
        let curve = Curve { name: name.into(), points, style: 0, stroke: Stroke::Dotted };
        Chart { title: "Loss".into(), unit: "nats", x: "step", curves: vec![curve] }
    }

    #[test]
    fn names_cannot_break_out() {
        let text = chart("</script><b>", vec![(1.0, 2.0), (2.0, 1.0)]).figure().into_string();
        assert_eq!(text.matches("</script>").count(), 1, "{text}");
        assert!(!text.contains("<b>"), "{text}");
    }

    #[test]
    fn odd_curves_are_drawn() {
        for points in [
            vec![],
            vec![(1.0, 5.0)],
            vec![(1.0, f64::NAN), (2.0, f64::INFINITY)],
            vec![(1.0, 0.0), (2.0, 0.0)],
        ] {
            let text = chart("x", points.clone()).figure().into_string();
            let markup = text.split("<script").next().unwrap();
            assert!(!markup.contains("NaN%") && !markup.contains("inf%"), "{points:?} {markup}");
        }
    }

    #[test]
    fn the_table_has_the_numbers() {
        let text = chart("x", vec![(1.0, 2.5), (2.0, 1.25)]).figure().into_string();
        assert!(text.contains("<td>2.5</td>") && text.contains("<td>1.25</td>"), "{text}");
    }
}
