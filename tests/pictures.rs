//! Pictures and pages: what `engine draw`, `engine report` and `engine compare` make, and what they refuse.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/browser.rs"]
mod browser;
mod front_door;
#[path = "support/paths.rs"]
mod paths;

use std::fs;
use std::path::PathBuf;

use engine::Experiment;
use engine_core::Sizes;
use engine_core::graph::{Origin, Plan};
use front_door::data::Data;
use front_door::{GRAPH, Room, SMALL, edited, report};
use paths::in_workspace;
use serde_json::Value;

/// Trains `g.ron` on the data in `D` into the folder `out`.
fn train(room: &Room, out: &str, more: &[&str]) {
    let begin = ["train", "g.ron", "--data", "D", "--batch", "2", "--out", out];
    room.runs(&[&begin, SMALL.as_slice(), more].concat());
}

/// A room with the graph and a run `R` of two epochs.
fn trained() -> Room {
    let room = Room::furnished();
    train(&room, "R", &["--epochs", "2"]);
    room
}

/// The lines of a run's metrics.
fn metrics(room: &Room, run: &str) -> Vec<Value> {
    let text = room.read(&format!("{run}/metrics.jsonl"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What the charts of a page hold for its script, in their order.
fn charts(page: &str) -> Vec<Value> {
    let scripts = page.split("<script type=\"application/json\">").skip(1);
    scripts
        .map(|rest| serde_json::from_str(rest.split("</script>").next().unwrap()).unwrap())
        .collect()
}

/// The values of a curve in a chart.
fn curve<'a>(chart: &'a Value, name: &str) -> &'a Vec<Value> {
    let curves = chart["curves"].as_array().unwrap();
    let curve =
        curves.iter().find(|curve| curve["name"] == name).unwrap_or_else(|| panic!("{name}"));
    curve["y"].as_array().unwrap()
}

/// Asserts that a page's numbers are these but for the digits that it leaves out.
fn assert_shows(found: &[Value], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        let found = found.as_f64().unwrap();
        assert!((found - expected).abs() <= 1e-5 * expected.abs(), "{found} {expected}");
    }
}

/// Every graph file of the project.
fn graphs() -> Vec<PathBuf> {
    let mut graphs: Vec<PathBuf> = ["graphs", "graphs/bench", "graphs/zoo"]
        .iter()
        .flat_map(|dir| fs::read_dir(in_workspace(dir)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "ron"))
        .collect();
    graphs.sort();
    graphs
}

/// All texts of a picture, titles included.
fn texts(picture: &str) -> Vec<String> {
    let document = roxmltree::Document::parse(picture).unwrap_or_else(|e| panic!("{e}\n{picture}"));
    let all = document.descendants().filter_map(|node| node.text().map(str::to_owned));
    all.collect()
}

#[test]
fn every_graph_draws_with_everything_in_it() {
    let room = Room::new();
    let graphs = graphs();
    assert!(graphs.len() >= 3);
    for path in graphs {
        let picture = room.runs(&["draw", path.to_str().unwrap()]).out;
        let texts = texts(&picture);
        let has = |text: &str| assert!(texts.iter().any(|t| t == text), "{text} in {picture}");
        let experiment = Experiment::load(&path, &[]).unwrap();
        let (plan, _) = experiment.plan(&Sizes::new()).unwrap();
        shows(&plan, &has);
        plan.outputs.iter().for_each(|(role, _)| has(role));
    }
}

/// Whether everything of a plan is shown, in bodies too. Within a frame, names stand without its path.
fn shows(plan: &Plan, has: &dyn Fn(&str)) {
    let inputs = plan.inputs.iter().map(|input| (&input.name, input.shape.to_string()));
    for (name, shape) in inputs {
        has(name.rsplit('/').next().unwrap());
        has(&shape);
    }
    for node in &plan.nodes {
        let title = node.name.rsplit('/').next().unwrap();
        match &node.body {
            None => has(title),
            Some(body) => {
                has(&format!("{title}: Scan over {}", body.over()));
                shows(&body.plan, has);
            }
        }
        let origin = |value: &usize| Some(Origin::Value(*value));
        let read =
            |value: &usize| plan.nodes.iter().any(|n| plan.origins(n).contains(&origin(value)));
        for value in node.outputs().filter(read) {
            let shape = &plan.values[value].shape;
            has(&if shape.rank() > 0 { shape.to_string() } else { "one number".to_owned() });
        }
    }
}

#[test]
fn a_picture_is_the_same_each_time() {
    let room = Room::furnished();
    let first = room.runs(&["draw", "g.ron", "--data", "D"]).out;
    assert!(first.contains("1\u{202f}574\u{202f}912 parameters"), "{first}");
    for _ in 0..3 {
        room.runs(&["draw", "g.ron", "--data", "D", "--out", "g.svg"]);
        assert_eq!(room.read("g.svg"), first);
    }
    let gru = room.runs(&["draw", "g.ron", "--set", "nodes.hidden.layer=Gru(units: 512)"]).out;
    assert!(texts(&gru).iter().any(|text| text == "Gru(units: 512)"), "{gru}");
}

#[test]
fn names_are_text_in_pictures() {
    let room = Room::new();
    room.write("a<b>&'.ron", GRAPH);
    let picture = room.runs(&["draw", "a<b>&'.ron"]).out;
    assert!(texts(&picture).iter().any(|text| text == "The network a<b>&'"), "{picture}");
}

#[test]
fn a_report_shows_what_was_measured() {
    let room = trained();
    let said = room.runs(&["report", "R"]).out;
    assert!(said.contains("report.html"), "{said}");
    let page = room.read("R/report.html");
    let lines = metrics(&room, "R");
    let all = |key: &str| lines.iter().filter_map(|line| line[key].as_f64()).collect::<Vec<f64>>();
    let charts = charts(&page);
    assert_shows(curve(&charts[0], "single steps"), &all("loss"));
    assert_shows(curve(&charts[0], "validation"), &all("val_loss"));
    assert_shows(curve(&charts[1], "learning rate"), &all("learning_rate"));
    assert_shows(curve(&charts[2], "single steps"), &all("gradient_norm"));
    let best = all("val_loss").into_iter().fold(f64::INFINITY, f64::min);
    assert!(page.contains(&format!("<dd>{best:.4}<small>")), "{best}");
    for heading in ["Summary", "Curves", "Captions", "Network", "Configuration", "Machine"] {
        assert!(page.contains(&format!(">{heading}</h2>")), "{heading}");
    }
}

#[test]
fn scores_and_the_machine_are_shown_where_they_are_known() {
    let room = trained();
    let step = |i: u64| {
        format!("{{\"iteration\":{i},\"epoch\":1,\"loss\":{i}.5,\"captions_per_second\":8.0}}\n")
    };
    let evaluation = "{\"iteration\":2,\"epoch\":1,\"val_loss\":4.25,\"train_loss\":4.0,\"best\":true,\"seconds\":1.0,\"scores\":{\"CIDEr\":0.625}}\n";
    room.write("R/metrics.jsonl", [step(1), step(2), evaluation.to_owned()].concat());
    let mut about: Value = serde_json::from_str(&room.read("R/run.json")).unwrap();
    about["machine"]["cpu"] = "A <cpu>".into();
    room.write("R/run.json", about.to_string());
    room.runs(&["report", "R", "--out", "page.html"]);
    let page = room.read("page.html");
    assert_shows(curve(&charts(&page)[0], "single steps"), &[1.5, 2.5]);
    assert_shows(curve(&charts(&page)[0], "validation"), &[4.25]);
    assert_shows(curve(&charts(&page)[1], "CIDEr"), &[0.625]);
    assert!(page.contains("<dt>Best CIDEr</dt><dd>0.625<small>"), "{page}");
    assert!(page.contains("A &lt;cpu&gt;"), "{page}");
}

#[test]
fn pictures_lie_inside_the_page() {
    let room = Room::new();
    room.write("g.ron", GRAPH);
    room.runs(&["data", "scenes", "D", "--train", "20", "--val", "9"]);
    train(&room, "R", &["--steps", "4"]);
    room.runs(&["report", "R", "--count", "3"]);
    let page = room.read("R/report.html");
    assert!(page.matches("<img src=\"data:image/png;base64,").count() >= 6, "{page}");
    assert!(page.contains("The worst by truth"), "{page}");
    assert_eq!(page.matches("src=\"").count(), page.matches("src=\"data:").count());
    fs::remove_dir_all(room.path("D/images")).unwrap();
    room.runs(&["report", "R"]);
    let page = room.read("R/report.html");
    assert!(page.contains("No picture: images/val_") && !page.contains("<img"), "{page}");
}

#[test]
fn a_report_does_without_data_that_has_gone() {
    let room = trained();
    fs::rename(room.path("D"), room.path("E")).unwrap();
    room.runs(&["report", "R"]);
    let page = room.read("R/report.html");
    assert!(page.contains("No pictures: "), "{page}");
    assert!(page.contains(">Curves</h2>"));
    room.runs(&["report", "R", "--data", "E"]);
    assert!(!room.read("R/report.html").contains("No pictures: "));
    room.refuses(&["report", "R", "--data", "F"], "there is no folder `F`");
}

#[test]
fn whatever_users_name_is_text() {
    let room = Room::new();
    let comment = "// <script>alert(2)</script>\nGraph(";
    room.write("g.ron", edited(GRAPH, "Graph(", comment));
    let mut data = Data::small();
    data.words[4] = "<script>alert(1)</script>";
    data.write(&room.path("D"));
    train(&room, "<b>R", &["--steps", "2"]);
    train(&room, "S", &["--steps", "3"]);
    room.runs(&["report", "<b>R", "--out", "report.html"]);
    room.runs(&["compare", "<b>R", "S"]);
    for file in ["report.html", "compare.html"] {
        let page = room.read(file);
        assert!(!page.contains("<script>alert") && !page.contains("<b>"), "{page}");
        assert!(page.contains("&lt;b&gt;R"), "{page}");
    }
    let page = room.read("report.html");
    assert!(page.contains("&lt;script&gt;alert(1)") && page.contains("&lt;script&gt;alert(2)"));
}

#[test]
fn a_comparison_tells_what_differs() {
    let room = trained();
    train(
        &room,
        "S",
        &[
            "--epochs",
            "1",
            "--set",
            "nodes.hidden.layer.units=8",
            "--set",
            "nodes.h0.layer.units=8",
        ],
    );
    let said = room.runs(&["compare", "R", "S"]).out;
    let row = |path: &str| {
        said.lines().find(|line| line.starts_with(path)).unwrap_or_else(|| panic!("{path}\n{said}"))
    };
    assert_eq!(
        row("nodes.hidden.layer.units").split_whitespace().skip(1).collect::<Vec<_>>(),
        ["16", "8"]
    );
    assert_eq!(row("train.epochs").split_whitespace().skip(1).collect::<Vec<_>>(), ["2", "1"]);
    assert!(!said.contains("train.seed") && !said.contains("nodes.words"), "{said}");
    let page = room.read("compare.html");
    let charts = charts(&page);
    for (run, steps) in [("R", 8), ("S", 4)] {
        let lines = metrics(&room, run);
        assert_eq!(lines.iter().filter(|line| line["loss"].is_f64()).count(), steps);
        let losses: Vec<f64> = lines.iter().filter_map(|line| line["val_loss"].as_f64()).collect();
        assert_shows(curve(&charts[1], run), &losses);
        assert_eq!(curve(&charts[0], run).len(), steps);
    }
    assert!(page.contains("nodes.hidden.layer.units"), "{page}");
    // A run beside itself differs in nothing, and each has a name of its own.
    let said = room.runs(&["compare", "R", "R"]).out;
    assert!(said.contains("The graph files say the same") && said.contains("R (2)"), "{said}");
}

#[test]
fn what_cannot_be_shown_is_refused() {
    let room = trained();
    let broken = |name: &str, metrics: Option<&str>| {
        fs::create_dir(room.path(name)).unwrap();
        for file in ["graph.ron", "run.json", "vocabulary.json"] {
            room.write(&format!("{name}/{file}"), room.read(&format!("R/{file}")));
        }
        if let Some(metrics) = metrics {
            room.write(&format!("{name}/metrics.jsonl"), metrics);
        }
    };
    broken("unmeasured", None);
    broken("empty", Some(""));
    broken("broken", Some("{\"iteration\":1,\"loss\":1}\n{\"iteration\": nine}\n"));
    broken("stepless", Some("{\"loss\":1}\n"));
    broken("listed", Some("[1]\n"));
    report([
        room.refusal(&["report", "absent"], "absent is no run"),
        room.refusal(&["report", "r"], "r is no run | `R`"),
        room.refusal(&["report", "unmeasured"], "cannot read unmeasured/metrics.jsonl"),
        room.refusal(&["report", "empty"], "empty/metrics.jsonl holds no steps"),
        room.refusal(&["report", "broken"], "broken/metrics.jsonl:2:16: | expected ident"),
        room.refusal(&["report", "stepless"], "stepless/metrics.jsonl:1:1: | `iteration`"),
        room.refusal(&["report", "listed"], "listed/metrics.jsonl:1: | JSON object"),
        room.refusal(&["report", "R", "--out", "D"], "cannot write D: it is a folder"),
        room.refusal(&["report", "R", "--out", "no/page.html"], "there is no folder no"),
        room.refusal(&["compare", "R"], "2"),
        room.refusal(&["compare", "R", "absent"], "absent is no run"),
        room.refusal(&["compare", "R", "broken"], "broken/metrics.jsonl:2:16:"),
        room.refusal(&["compare", "R", "R", "--out", "no/page.html"], "there is no folder no"),
        room.refusal(&["draw", "absent.ron"], "cannot read absent.ron"),
        room.refusal(&["draw", "g.ron", "--out", "D"], "cannot write D: it is a folder"),
        room.refusal(&["draw", "g.ron", "--data", "absent"], "absent"),
        room.refusal(&["draw", "g.ron", "--set", "nodes.hiden.layer=Relu()"], "`hidden`"),
    ]);
}

/// What a reader with a narrow screen does: moves over a chart, then takes the keys.
const READER: &str = r#"
const plot = page.querySelector(".plot");
const box = plot.getBoundingClientRect();
const at = { clientX: box.left + box.width / 2, clientY: box.top + 9, bubbles: true };
plot.dispatchEvent(new view.PointerEvent("pointermove", at));
const hovered = page.querySelector(".plot .readout").textContent;
plot.focus();
plot.dispatchEvent(new view.KeyboardEvent("keydown", { key: "Home", bubbles: true }));
return { hovered, keyed: plot.getAttribute("aria-valuetext") };
"#;

#[test]
fn the_browser_sees_what_is_wrong() {
    let Some(browser) = browser::find() else {
        println!("skipped: there is no chromium");
        return;
    };
    let page = "<html><head></head><body style='width:900px'><img src='http://127.0.0.1:9/a.png'>\
                <script>absent.call()</script></body></html>";
    let found = browser::look(&browser, page, 400, "return 1;");
    assert!(found["faults"].to_string().contains("absent is not defined"), "{found}");
    assert!(found["requests"].to_string().contains("a.png"), "{found}");
    assert!(found["overflow"].as_u64().unwrap() > 400, "{found}");
}

#[test]
fn pages_work_in_a_browser() {
    let Some(browser) = browser::find() else {
        println!("skipped: there is no chromium");
        return;
    };
    let room = trained();
    train(&room, "S", &["--epochs", "1"]);
    room.runs(&["report", "R", "--out", "report.html"]);
    room.runs(&["compare", "R", "S", "--out", "compare.html"]);
    for (file, first) in [("report.html", "single steps"), ("compare.html", "R")] {
        let found = browser::look(&browser, &room.read(file), 400, READER);
        assert_eq!(found["faults"], serde_json::json!([]), "{file}");
        assert_eq!(found["requests"], serde_json::json!([]), "{file}");
        assert_eq!(found["width"], 400, "{file}");
        assert_eq!(found["overflow"], 0, "{file}");
        let loss = charts(&room.read(file))[0]["curves"][0]["y"][0].as_f64().unwrap();
        let keyed = found["answer"]["keyed"].as_str().unwrap();
        let (_, value) = keyed.split_once(first).unwrap_or_else(|| panic!("{keyed}"));
        let value: f64 = value.trim().split([';', ' ']).next().unwrap().parse().unwrap();
        assert!((value - loss).abs() <= 1e-4 * loss.abs(), "{keyed} is not of {loss}");
        let hovered = found["answer"]["hovered"].as_str().unwrap();
        assert!(hovered.contains("step ") && hovered.contains(first), "{hovered}");
    }
}
