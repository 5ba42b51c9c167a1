//! `engine caption` as it is used: files, folders, addresses, and pictures that are none.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "serve/client.rs"]
mod client;
#[path = "front_door/mod.rs"]
mod front_door;
#[path = "serve/pictures.rs"]
mod pictures;

use std::collections::BTreeMap;
use std::fs;

use engine::decode::{Beam, Decoder, Greedy};
use engine::photographs::{Captioned, Photographs, reading};
use engine_core::graph::Passes;
use front_door::{Room, edited, report};
use image::ImageFormat;
use pictures::{COLOURS, picture, truth};
use serde_json::Value;

/// A room with runs and pictures.
fn furnished() -> Room {
    let room = pictures::furnished();
    fs::create_dir(room.path("photos")).unwrap();
    for (at, (name, _)) in COLOURS.iter().enumerate() {
        room.write(&format!("photos/{name}.png"), picture(at, 10, ImageFormat::Png));
    }
    room.write("photos/notes.txt", "not a picture");
    room.write("red.jpg", picture(0, 5, ImageFormat::Jpeg));
    room
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn pictures_are_captioned_by_name() {
    let room = furnished();
    let said = room.runs(&["caption", "R", "red.jpg"]).out;
    assert_eq!(said, "red.jpg\n  caption    a red wall\n");
    let said = room.runs(&["caption", "R", "photos", "red.jpg", "--probabilities"]).out;
    let mut names: Vec<String> =
        COLOURS.iter().map(|(name, _)| format!("photos/{name}.png")).collect();
    names.sort();
    names.push("red.jpg".into());
    let found: Vec<&str> = said.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(found, names);
    assert!(said.contains("a 0.") || said.contains("a 1.000"), "{said}");
    assert_eq!(said.matches("<END> ").count(), names.len(), "{said}");
}

#[test]
fn both_kinds_of_networks_see_colours() {
    let room = furnished();
    for run in ["R", "A"] {
        let said = room.runs(&["caption", run, "photos", "--json"]).out;
        for line in lines(&said) {
            let name = line["picture"].as_str().unwrap();
            let colour = COLOURS.iter().position(|(colour, _)| name.contains(colour)).unwrap();
            assert_eq!(line["caption"], truth(colour), "{run}: {line}");
        }
    }
}

#[test]
fn lines_of_json_have_all_that_is_known() {
    let room = furnished();
    let decode = ["--decode", "Beam(width: 3, best: 3)"];
    let arguments = [&["caption", "A", "red.jpg", "--json"][..], &decode].concat();
    let line = lines(&room.runs(&arguments).out).remove(0);
    let alternatives = line["alternatives"].as_array().unwrap();
    assert_eq!(alternatives.len(), 3, "{line}");
    assert_eq!(alternatives[0]["sentence"], line["caption"]);
    let scores: Vec<f64> = alternatives.iter().map(|way| way["score"].as_f64().unwrap()).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    for way in alternatives {
        let words = way["words"].as_array().unwrap().iter();
        let all = words.map(|word| word["probability"].as_f64().unwrap());
        let product: f64 = all.chain(way["end"].as_f64()).product();
        let whole = way["log_probability"].as_f64().unwrap().exp();
        assert!((product - whole).abs() < 1e-9, "{way}");
    }
    let attention = &line["attention"];
    assert_eq!((&attention["rows"], &attention["columns"]), (&8.into(), &8.into()));
    let weights = attention["weights"].as_array().unwrap();
    assert_eq!(weights.len(), alternatives[0]["words"].as_array().unwrap().len());
    for weights in weights {
        let weights = weights.as_array().unwrap();
        let sum: f64 = weights.iter().map(|weight| weight.as_f64().unwrap()).sum();
        assert!(weights.len() == 64 && (sum - 1.0).abs() < 1e-5, "{sum}");
    }
    let line = lines(&room.runs(&["caption", "R", "red.jpg", "--json"]).out).remove(0);
    assert_eq!(line["attention"], Value::Null);
}

#[test]
fn runs_that_have_not_stored_the_sizes_of_their_data_are_captioned_alike() {
    let room = furnished();
    for run in ["R", "A"] {
        let arguments = ["caption", run, "photos", "--json"];
        let said = room.runs(&arguments).out;
        let path = format!("{run}/run.json");
        let mut about: Value = serde_json::from_str(&room.read(&path)).unwrap();
        assert!(about.as_object_mut().unwrap().remove("sizes").is_some(), "{about}");
        room.write(&path, about.to_string());
        assert_eq!(room.runs(&arguments).out, said, "{run}");
    }
}

#[test]
fn pictures_that_cannot_be_read_are_named_and_others_go_on() {
    let room = furnished();
    let whole = picture(1, 0, ImageFormat::Jpeg);
    room.write("half.jpg", &whole[..whole.len() / 2]);
    room.write("head.png", &picture(1, 0, ImageFormat::Png)[..20]);
    room.write("text.jpg", "this is a text");
    room.write("empty.jpg", "");
    let bad = ["half.jpg", "head.png", "text.jpg", "empty.jpg", "absent.jpg"];
    let arguments = [&["caption", "R", "red.jpg"][..], &bad, &["photos/blue.png"]].concat();
    let outcome = room.engine(&arguments);
    assert_eq!(outcome.code, Some(2), "{}", outcome.raw);
    assert!(!outcome.raw.contains("panicked"), "{}", outcome.raw);
    assert_eq!(
        outcome.out,
        "red.jpg\n  caption    a red wall\nphotos/blue.png\n  caption    a blue wall\n"
    );
    for name in bad {
        assert!(
            outcome.err.contains(&format!("cannot read the picture {name}: ")),
            "{}",
            outcome.raw
        );
    }
    assert_eq!(outcome.err.matches("help: ").count(), bad.len(), "{}", outcome.raw);
    // In JSON each has a line of its own.
    let outcome = room.engine(&["caption", "R", "text.jpg", "red.jpg", "--json"]);
    assert_eq!(outcome.code, Some(2));
    let lines = lines(&outcome.out);
    assert!(lines[0]["error"].is_string() && lines[0]["picture"] == "text.jpg", "{lines:?}");
    assert_eq!(lines[1]["caption"], "a red wall");
    // Strictly, the first one is the end.
    let outcome = room.engine(&["caption", "R", "text.jpg", "red.jpg", "--strict"]);
    assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""));
    assert!(outcome.err.contains("text.jpg"), "{}", outcome.raw);
}

#[test]
fn addresses_are_pictures_too() {
    let room = furnished();
    let at = client::elsewhere(picture(2, 3, ImageFormat::Jpeg));
    let (photo, absent) = (format!("http://{at}/photo.jpg"), format!("http://{at}/absent.jpg"));
    let said = room.runs(&["caption", "R", &photo, "--allow-private"]).out;
    assert_eq!(said, format!("{photo}\n  caption    a blue wall\n"));
    let outcome = room.engine(&["caption", "R", &photo, "red.jpg"]);
    assert_eq!(outcome.code, Some(2));
    assert_eq!(outcome.out, "red.jpg\n  caption    a red wall\n");
    assert!(outcome.err.contains("--allow-private"), "{}", outcome.raw);
    for (url, says) in [
        (&*absent, "404"),
        ("http://127.0.0.1:1/a.jpg", "refuses"),
        ("ftp://example.org/a.jpg", "`http`"),
        (&*format!("http://{at}/around"), "redirect | leads"),
    ] {
        let outcome = room.engine(&["caption", "R", url, "--allow-private"]);
        assert_eq!((outcome.code, outcome.out.as_str()), (Some(2), ""), "{url}");
        assert!(says.split(" | ").any(|part| outcome.err.contains(part)), "{}", outcome.raw);
    }
}

#[test]
fn what_cannot_be_captioned_is_refused() {
    let room = furnished();
    fs::create_dir(room.path("none")).unwrap();
    room.write("none/readme.txt", "no pictures");
    room.runs(&["train", "plain.ron", "--out", "blind", "--steps", "2"]);
    let gridless = room.read("A/encoder/graph.ron").replace(r#", "grid": "squares""#, "");
    room.write("A/encoder/graph.ron", gridless);
    room.runs(&["train", "plain.ron", "--out", "torn", "--steps", "2"]);
    pictures::give_encoder(&room, "torn");
    let weights = fs::read(room.path("torn/encoder/weights.safetensors")).unwrap();
    fs::write(room.path("torn/encoder/weights.safetensors"), &weights[..100]).unwrap();
    report([
        room.refusal(&["caption", "absent", "red.jpg"], "absent is no run"),
        room.refusal(&["caption", "R"], "PICTURE"),
        room.refusal(&["caption", "R", "none"], "none has no pictures: | .jpeg | found 1 other"),
        room.refusal(
            &["caption", "blind", "red.jpg"],
            "no encoder | blind/encoder | engine data build",
        ),
        room.refusal(&["caption", "torn", "red.jpg"], "weights.safetensors"),
        room.refusal(&["caption", "A", "red.jpg"], "`grid`, which the run's encoder does not give"),
        room.refusal(&["caption", "R", "red.jpg", "--decode", "Beam(width: 99)"], "`width` | 12"),
        room.refusal(&["caption", "R", "red.jpg", "--decode", "Bean()"], "`Beam`"),
    ]);
}

#[test]
fn a_run_on_data_that_was_built_sees_as_its_data_was_made() {
    let room = furnished();
    fs::create_dir(room.path("many")).unwrap();
    let mut table = String::new();
    for (at, (name, _)) in COLOURS.iter().enumerate() {
        for shade in [0, 6, 12, 18] {
            let file = format!("{name}{shade}.png");
            room.write(&format!("many/{file}"), picture(at, shade, ImageFormat::Png));
            table += &format!("{file}\t{}\n", truth(at));
        }
    }
    room.write("captions.tsv", table);
    let build = "data build --images many --captions captions.tsv --encoder E/graph.ron --weights \
                 E/weights.safetensors --out B --pca 5 --grid 4x4 --standardize --min-count 1";
    room.runs(&build.split_whitespace().collect::<Vec<_>>());
    for (graph, set) in [
        ("plain.ron", "data.pca_features=true"),
        ("plain.ron", "data.pca_features=false"),
        ("attending.ron", "data.pca_features=true"),
    ] {
        let run = format!("{graph}-{set}");
        room.runs(&["train", graph, "--data", "B", "--set", set, "--out", &run]);
        let found = lines(&room.runs(&["caption", &run, "many", "--json"]).out);
        for line in &found {
            let name = line["picture"].as_str().unwrap();
            let colour = COLOURS.iter().position(|(colour, _)| name.contains(colour)).unwrap();
            assert_eq!(line["caption"], truth(colour), "{run}: {line}");
        }
        let rows = if graph == "plain.ron" { Value::Null } else { 4.into() };
        assert_eq!(found[0]["attention"]["rows"], rows, "{run}");
        // Of a picture the network says what it says of the features that the data keeps of it, and is as sure of it.
        let by_picture = written(&room.runs(&["caption", &run, "many", "--probabilities"]).out);
        let sample = ["sample", &run, "--split", "train", "--count", "24", "--probabilities"];
        let by_features = written(&room.runs(&sample).out);
        assert!(by_features.len() >= 12, "{by_features:?}");
        for (name, said) in by_features {
            assert_eq!(by_picture[&name], said, "{run}: {name}");
        }
    }
}

/// A network that reads pictures itself.
const PIXELS: &str = r#"Graph(
    inputs: {"images": [Batch, 3, 64, 64], "words_in": [Batch, Time], "words_out": [Batch, Time]},
    nodes: [
        (name: "maps", layer: Conv2d(units: 4, kernel: 8, stride: 8), from: ["images"]),
        (name: "flat", layer: Flatten(), from: ["maps"]),
        (name: "h0", layer: Projection(units: Hidden), from: ["flat"]),
        (name: "words", layer: Embedding(units: 8), from: ["words_in"]),
        (name: "hidden", layer: Rnn(units: 16), from: ["words", "h0"]),
        (name: "scores", layer: TemporalAffine(units: Vocabulary), from: ["hidden"]),
        (name: "loss", layer: SoftmaxLoss(), from: ["scores", "words_out"]),
    ],
    data: CocoHdf5(dir: "S", pca_features: false, pixels: true),
    train: (epochs: 4, batch: 20),
)"#;

#[test]
fn networks_that_read_pixels_need_no_encoder() {
    let room = Room::new();
    room.runs(&["data", "scenes", "S", "--train", "24", "--val", "6"]);
    room.write("pixels.ron", PIXELS);
    room.runs(&["train", "pixels.ron", "--out", "P"]);
    // The data set's own pictures have the size that the network reads, so both read the same numbers but for rounding.
    let by_data = written(&room.runs(&["sample", "P", "--count", "6", "--probabilities"]).out);
    assert_eq!(by_data.len(), 6, "{by_data:?}");
    fs::rename(room.path("S/images"), room.path("pictures")).unwrap();
    fs::remove_dir_all(room.path("S")).unwrap();
    let by_picture = written(&room.runs(&["caption", "P", "pictures", "--probabilities"]).out);
    for (name, said) in by_data {
        assert_eq!(by_picture[&name], said, "{name}");
    }
    let of_any_size = edited(PIXELS, "64, 64", "Height, Width");
    let of_any_size = edited(
        &of_any_size,
        "(name: \"maps\", layer: Conv2d(units: 4, kernel: 8, stride: 8)",
        "(name: \"maps\", layer: GlobalAvgPool()",
    );
    room.runs(&["data", "scenes", "S", "--train", "24", "--val", "6"]);
    room.write(
        "any.ron",
        edited(&of_any_size, "(name: \"flat\", layer: Flatten()", "(name: \"flat\", layer: Tanh()"),
    );
    room.runs(&["train", "any.ron", "--steps", "1", "--out", "Q"]);
    room.refuses(&["caption", "Q", "pictures"], "height and width in numbers | engine sample");
}

/// The caption of each picture and the probabilities of its words, by the picture's name.
fn written(out: &str) -> BTreeMap<String, [String; 2]> {
    let mut all = BTreeMap::new();
    let mut rest = out.lines();
    while let Some(line) = rest.next() {
        if !line.starts_with(' ') && line.ends_with(".png") {
            let name = line.rsplit('/').next().unwrap_or(line);
            // Of generated pictures a verdict follows, which only their data set can give.
            let said = |line: &str| line.split("   [").next().unwrap_or(line).to_owned();
            let lines = [rest.next(), rest.next()].map(|line| said(line.unwrap_or_default()));
            all.insert(name.to_owned(), lines);
        }
    }
    all
}

#[test]
fn no_caption_depends_on_other_pictures() {
    let room = furnished();
    for run in ["R", "A"] {
        let pictures: Vec<_> = (0..COLOURS.len())
            .flat_map(|colour| [0, 3, 9].map(|shade| picture(colour, shade, ImageFormat::Jpeg)))
            .map(|bytes| reading::decode(&bytes).unwrap())
            .collect();
        let decoders: [Box<dyn Decoder>; 2] =
            [Box::new(Greedy::default()), Box::new(Beam::default())];
        let photographs = Photographs::open(&room.path(run), &[]).unwrap();
        let compared = photographs.describe(&Passes::default(), |describe| {
            for decoder in &decoders {
                let together = describe.caption(&pictures, &**decoder).unwrap();
                let alone = |picture| describe.caption(std::slice::from_ref(picture), &**decoder);
                let alone: Vec<Captioned> = pictures.iter().flat_map(alone).flatten().collect();
                assert_eq!(together, alone, "{run}: {decoder:?}");
            }
        });
        compared.unwrap();
    }
}
